"""What CloudWatch learns about a run, in the embedded metric format: one line in the log, no call to AWS.

infra/template.yaml draws and watches these; the dimension `service` is the function's name.
"""

import json
import os
import time

from django.conf import settings

from clients.models import ImportRun
from clients.models.states import State

NAMESPACE = "ClientImport"
_FILES = {
    State.SUCCEEDED: "FilesImported",
    State.PARTIAL: "FilesImported",
    State.REJECTED: "FilesRejected",
    State.SKIPPED: "FilesSkipped",
}


def emit(run: ImportRun, request_id: str) -> ImportRun:
    """Report a run that this request finished; one that it found finished was reported by another."""
    if run.request_id != request_id or State(run.state) not in _FILES:
        return run
    values = {
        _FILES[State(run.state)]: 1,
        "RowsInserted": run.inserted,
        "RowsUpdated": run.updated,
        "RowsUnchanged": run.unchanged,
        "RowsRejected": run.rejected,
    }
    seconds = None
    if run.started_at and run.finished_at:
        seconds = (run.finished_at - run.started_at).total_seconds()
    _write(values, seconds)
    return run


def emit_failures(attempts: int) -> None:
    """Report attempts that failed; Lambda makes others."""
    _write({"FilesFailed": attempts}, None)


def _write(counts: dict[str, int], seconds: float | None) -> None:
    if not settings.ON_LAMBDA:
        return
    values: dict[str, float] = {**counts}
    units = dict.fromkeys(counts, "Count")
    if seconds is not None:
        values["ImportSeconds"], units["ImportSeconds"] = seconds, "Seconds"
    described = {
        "Namespace": NAMESPACE,
        "Dimensions": [["service"]],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
    }
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [described]},
        "service": os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        **values,
    }
    print(json.dumps(line), flush=True)
