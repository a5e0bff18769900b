from clients.admin.client import ClientAdmin
from clients.admin.import_run import ImportRunAdmin

__all__ = ["ClientAdmin", "ImportRunAdmin"]
