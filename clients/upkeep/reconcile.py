"""The reconciler: finds what fell through, and sets it going again. Safe at any time and in parallel.

- objects in the bucket that no event has brought: a run is created and the worker asked for it;
- runs that wait although nobody will come for them, and runs whose worker died: asked for again, or, after
  as many tries as an event has, failed with a mail;
- mails that have not gone out.

Each call does a bounded amount of work; the next one goes on.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from clients.aws import functions, storage
from clients.aws.functions import WorkerFunction
from clients.aws.storage import StoredVersion
from clients.contract.problems import Statement
from clients.errors import describe
from clients.importing.deliveries import run_for_listed, runs_by_version
from clients.models import ImportRun
from clients.models.states import Mode, Notification, State
from clients.reporting import mails

logger = logging.getLogger(__name__)

_AT_MOST = 200  # of each kind in one call
_EVENT_TAKES_AT_MOST = 120  # seconds; one that comes later finds the run that we made
_MAILS_FAILING_IN_A_ROW = 3  # then the mail server is taken for down


@dataclass
class Reconciliation:
    """What a call found and did."""

    lost_objects: int = 0  # got a run
    waiting_runs: int = 0  # asked for again
    dead_runs: int = 0  # asked for again
    failed_runs: int = 0  # given up
    dispatch_failures: int = 0  # to be asked for by the next call
    mails_sent: int = 0
    mails_failed: int = 0
    complete: bool = True  # False when there was more than one call may do

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def reconcile(*, deadline: float | None = None) -> Reconciliation:
    """Look once for everything above. `deadline` is on time.monotonic()'s clock."""
    report = Reconciliation()
    _take_up_runs(report)
    _find_lost_objects(report, deadline)
    _send_mails(report, deadline)
    logger.log(
        logging.WARNING if report.failed_runs or report.dispatch_failures else logging.INFO,
        "reconciled",
        extra=report.as_dict(),
    )
    return report


# --- runs ---------------------------------------------------------------------------------------


def _take_up_runs(report: Reconciliation) -> None:
    patience = timedelta(seconds=settings.RECONCILE_AFTER_SECONDS)
    waiting = ImportRun.objects.annotate(since=Coalesce("started_at", "created_at")).filter(
        state=State.QUEUED, since__lt=Now() - patience
    )
    dead = ImportRun.objects.filter(state=State.RUNNING, lease_expires_at__lt=Now())
    report.waiting_runs += _take_up(waiting, report)
    report.dead_runs += _take_up(dead, report)


def _take_up(runs: Any, report: Reconciliation) -> int:
    """Ask the worker for each of these runs or give it up; returns how many were asked for.

    A run whose row is locked is being finished at this moment: its lease is renewed where we can't see it.
    """
    asked, given_up = [], []
    with transaction.atomic():
        found = list(runs.order_by("id").select_for_update(skip_locked=True, of=("self",))[:_AT_MOST])
        for run in found:
            # Files of the command line lie on somebody's disk, where the worker can't read them.
            if run.deliveries >= settings.IMPORT_DELIVERIES or not run.bucket:
                run.fail(Statement.of("given-up", times=run.deliveries), notification=_wanted(run))
                given_up.append(run)
            else:
                asked.append(run)
    report.complete &= len(found) < _AT_MOST
    report.failed_runs += len(given_up)
    for run in given_up:
        logger.error("run given up", extra={"run": run.pk, "deliveries": run.deliveries})
    return sum(_ask_for(run, report) for run in asked)


def _wanted(run: ImportRun) -> Notification:
    return Notification.PENDING if run.mode == Mode.IMPORT else Notification.NONE


def _ask_for(run: ImportRun, report: Reconciliation) -> bool:
    try:
        functions.invoke(WorkerFunction.RUN_QUEUED, run=run.pk)
    except (BotoCoreError, ClientError) as error:
        logger.error("worker can't be asked", extra={"run": run.pk, "error": describe(error)})
        report.dispatch_failures += 1
        return False
    logger.info("asked for", extra={"run": run.pk})
    return True


# --- objects ------------------------------------------------------------------------------------


def _find_lost_objects(report: Reconciliation, deadline: float | None) -> None:
    for page in storage.list_versions():
        for version in _lost(page):
            if report.lost_objects >= _AT_MOST or _is_past(deadline):
                report.complete = False
                return
            run = run_for_listed(version)
            if run is not None:
                report.lost_objects += 1
                logger.warning("object without a run", extra={"run": run.pk})
                _ask_for(run, report)


def _lost(page: list[StoredVersion]) -> Iterator[StoredVersion]:
    """The page's uploads that no run is about. Only a key's latest version: older ones are out of date."""
    patience = min(settings.RECONCILE_AFTER_SECONDS, _EVENT_TAKES_AT_MOST)
    until = timezone.now() - timedelta(seconds=patience)
    latest = [
        version
        for version in page
        if version.is_latest and not version.is_marker and not version.key.endswith("/")
    ]
    for version, runs in runs_by_version(latest).items():
        if not runs and version.last_modified < until:
            yield version


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


# --- mails --------------------------------------------------------------------------------------


def _send_mails(report: Reconciliation, deadline: float | None) -> None:
    failing = 0
    for run in mails.due().order_by("id")[:_AT_MOST]:
        if failing == _MAILS_FAILING_IN_A_ROW or _is_past(deadline):
            report.complete = False
            return
        if mails.send(run):
            report.mails_sent += 1
            failing = 0
        else:
            report.mails_failed += 1
            failing += 1
