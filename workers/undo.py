"""Undoes the run that the admin names: `{"command": "workers.undo.handler", "run": 1}`."""

import logging
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connection

from clients.errors import ImportFailed, describe
from clients.importing.retry import retrying
from clients.models import ImportRun
from clients.upkeep import undo
from clients.upkeep.undo import UndoRefused

logger = logging.getLogger(__name__)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Undo one run. A refusal is recorded on the run; raises ImportFailed for another delivery otherwise."""
    close_old_connections()
    run_id = event.get("run")
    if not isinstance(run_id, int) or not ImportRun.objects.filter(pk=run_id).exists():
        logger.warning("no such run", extra={"run": repr(run_id)[:40]})
        return {}
    try:
        for attempt in retrying(settings.IMPORT_RETRY_SECONDS):
            with attempt:
                if attempt.number > 1:
                    connection.close()
                run = undo.undo(run_id)
    except UndoRefused as refusal:
        ImportRun.objects.filter(pk=run_id).update(
            undo_requested_at=None, undo_result={"refused": str(refusal)}
        )
        return {"run": run_id, "refused": str(refusal)}
    except Exception as error:  # noqa: BLE001 - whatever it is, Lambda is to deliver the event again
        logger.error("undo failed", extra={"run": run_id, "error": describe(error)})
        raise ImportFailed(f"undo of run {run_id}: {describe(error)}") from None
    return {"run": run.pk, "state": str(run.state)}
