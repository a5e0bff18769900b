"""The tables, and the moves between a run's states, which happen here and nowhere else.

Knows the contract (a column of the clients table follows its rules); knows neither files nor AWS.
"""

from clients.models.client import Client
from clients.models.client_change import ClientChange
from clients.models.import_run import ImportRun
from clients.models.rejected_row import RejectedRow

__all__ = ["Client", "ClientChange", "ImportRun", "RejectedRow"]
