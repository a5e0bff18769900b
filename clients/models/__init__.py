from clients.models.client import Client
from clients.models.client_change import ClientChange
from clients.models.import_run import ImportRun
from clients.models.rejected_row import RejectedRow

__all__ = ["Client", "ClientChange", "ImportRun", "RejectedRow"]
