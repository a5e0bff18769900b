"""What a round calls in a worker process beside the workers."""

from typing import Any

from django.db import close_old_connections

from clients.importing import reconcile as reconciler
from clients.importing.problems import ImportFailed
from clients.importing.retry import describe


def reconcile(event: dict[str, Any], context: Any) -> dict[str, Any]:
    close_old_connections()
    try:
        return reconciler.reconcile().as_dict()
    except Exception as error:  # noqa: BLE001
        raise ImportFailed(describe(error)) from None
