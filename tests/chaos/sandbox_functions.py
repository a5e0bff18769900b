"""What a round calls in a worker process beside the workers."""

from typing import Any

from django.db import close_old_connections

from clients.errors import ImportFailed, describe
from clients.upkeep import reconcile as reconciler


def reconcile(event: dict[str, Any], context: Any) -> dict[str, Any]:
    close_old_connections()
    try:
        return reconciler.reconcile().as_dict()
    except Exception as error:  # noqa: BLE001
        raise ImportFailed(describe(error)) from None
