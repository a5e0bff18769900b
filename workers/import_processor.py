"""ClientDataImportProcessor: imports each object that an S3 event names, and runs queued by the admin.

A handler takes exactly `(event, context)` and lets no TypeError out: Zappa calls a function again with
fewer arguments when it sees one.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.db import close_old_connections

from clients.aws import metrics
from clients.aws.events import uploaded_objects
from clients.aws.storage import ObjectVersion
from clients.errors import ImportFailed, ImportingError, describe
from clients.importing import service
from clients.importing.invocation import Invocation
from clients.models import ImportRun

logger = logging.getLogger(__name__)


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Import every uploaded object of an S3 event; others, and unknown payloads, are logged and left.

    Each Record is a run of its own; all are finished before anything is raised. Raises ImportFailed
    (without personal data in it) so that Lambda delivers the event again.
    """
    close_old_connections()
    invocation = invocation_of(context)
    jobs = [_job(version, invocation) for version in uploaded_objects(event)]
    return _run_all(jobs)


def run_queued(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Execute a queued run: `{"command": "workers.import_processor.run_queued", "run": 1}`."""
    close_old_connections()
    run_id = event.get("run")
    if not isinstance(run_id, int):
        logger.warning("no run named", extra={"run": repr(run_id)[:40]})
        return {"runs": []}
    invocation = invocation_of(context)
    return _run_all([lambda: metrics.emit(service.import_queued(run_id, invocation), invocation.request_id)])


def invocation_of(context: Any) -> Invocation:
    """What a Lambda context tells about this invocation; S3 events are delivered asynchronously."""
    remaining = context.get_remaining_time_in_millis() / 1000
    return Invocation(
        request_id=str(context.aws_request_id),
        log_stream=str(context.log_stream_name or ""),
        deadline=time.monotonic() + remaining,
        redelivered=True,
    )


def _job(version: ObjectVersion, invocation: Invocation) -> Callable[[], ImportRun]:
    return lambda: metrics.emit(service.import_upload(version, invocation), invocation.request_id)


def _run_all(jobs: list[Callable[[], ImportRun]]) -> dict[str, Any]:
    runs, failures = [], []
    for job in jobs:
        try:
            run = job()
        except ImportRun.DoesNotExist:
            logger.warning("no such run")
        except ImportingError as error:
            failures.append(str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - the other Records come first
            logger.error("record failed", extra={"error": describe(error)})
            failures.append(describe(error))
        else:
            runs.append({"run": run.pk, "state": str(run.state)})
    if failures:
        metrics.emit_failures(len(failures))
        raise ImportFailed("; ".join(failures))
    return {"runs": runs}
