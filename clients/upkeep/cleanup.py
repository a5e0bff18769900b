"""The cleaner: deletes uploads that are done with, and erases the cells of old rejected rows.

Whatever it is not sure of it keeps, and says why. An upload is done with when its own latest import has
come to an end that nobody needs the file for any more: imported, rejected, skipped or undone. A failed one
is kept for its re-run; so is one that nobody has imported yet.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from clients.aws import storage
from clients.aws.storage import StoredVersion
from clients.importing.deliveries import RunFacts, runs_by_version
from clients.models import ImportRun
from clients.models.states import FINAL, Mode, State

logger = logging.getLogger(__name__)

_EXAMPLES = 10  # named in the report for each reason
_ROWS_PER_STATEMENT = 10_000

# Why an object is kept.
NEWER = "newer than the limit"
IN_WORK = "in work"
FAILED = "failed"
NEVER_IMPORTED = "never imported"
MARKS_A_DELETION = "marks a deletion of kept versions"


@dataclass
class Cleaning:
    """What a cleaning did and left. Keys are named for a few objects only, the counts are complete."""

    deleted: int = 0
    deleted_bytes: int = 0
    deleted_markers: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    kept_examples: dict[str, list[str]] = field(default_factory=dict)
    failures: int = 0
    failure_examples: list[dict[str, str]] = field(default_factory=list)
    purged_rows: int = 0
    complete: bool = True  # False when the time ran out; the next cleaning goes on

    def keep(self, version: StoredVersion, reason: str) -> None:
        self.kept[reason] += 1
        examples = self.kept_examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(version.key)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"kept": dict(self.kept)}


def clean_up(*, now: datetime | None = None, deadline: float | None = None) -> Cleaning:
    """Delete what is done with and older than settings.CLEANUP_AFTER_HOURS, then purge old cells.

    `deadline` is on time.monotonic()'s clock; past it the report says that it is not complete.
    """
    now = now or timezone.now()
    limit = now - timedelta(hours=settings.CLEANUP_AFTER_HOURS)
    report = Cleaning()
    versioned = storage.keeps_versions()
    lone_markers = _LoneMarkers()
    for page in storage.list_versions():
        if _is_past(deadline):
            report.complete = False
            break
        _delete(_finished(page, limit, report), report, versioned=versioned)
        _delete(_old_markers(lone_markers.feed(page), limit, report), report, versioned=versioned)
    else:
        _delete(_old_markers(lone_markers.rest(), limit, report), report, versioned=versioned)
    purge_cells(report, now=now, deadline=deadline)
    level = logging.ERROR if report.failures else logging.INFO
    logger.log(
        level,
        "cleaned",
        extra={key: value for key, value in report.as_dict().items() if "examples" not in key},
    )
    return report


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


def _finished(page: Iterable[StoredVersion], limit: datetime, report: Cleaning) -> list[StoredVersion]:
    """The page's versions to delete; the others are put into the report. One query a page."""
    doomed = []
    for version, runs in runs_by_version(page).items():
        if version.key.endswith("/"):
            continue  # a folder, as some tools create them
        reason = NEWER if version.last_modified > limit else _reason_to_keep(runs)
        if reason:
            report.keep(version, reason)
        else:
            doomed.append(version)
    return doomed


def _reason_to_keep(runs: list[RunFacts]) -> str:
    """Why a version with these runs, the newest first, stays; empty when it may go."""
    if any(run.state in (State.QUEUED, State.RUNNING) for run in runs):
        return IN_WORK
    imports = [run for run in runs if run.mode == Mode.IMPORT]
    if not imports:
        return NEVER_IMPORTED
    return "" if imports[0].state in FINAL else FAILED


class _LoneMarkers:
    """Finds delete markers under which no version is left; a key's entries may stretch over pages.

    Taking a marker away from a version that is kept would bring a deleted file back to life.
    """

    def __init__(self) -> None:
        self._key = ""
        self._markers: list[StoredVersion] = []
        self._has_versions = False

    def feed(self, page: Iterable[StoredVersion]) -> Iterator[tuple[StoredVersion, bool]]:
        """The markers of every key that this page completes, and whether each is alone."""
        for key, entries in groupby(page, key=lambda version: version.key):
            if key != self._key:
                yield from self.rest()
                self._key = key
            for entry in entries:
                if entry.is_marker:
                    self._markers.append(entry)
                else:
                    self._has_versions = True

    def rest(self) -> Iterator[tuple[StoredVersion, bool]]:
        """The markers of the last key."""
        for marker in self._markers:
            yield marker, not self._has_versions
        self._markers, self._has_versions = [], False


def _old_markers(
    markers: Iterable[tuple[StoredVersion, bool]], limit: datetime, report: Cleaning
) -> list[StoredVersion]:
    old = []
    for marker, alone in markers:
        if marker.last_modified > limit:
            report.keep(marker, NEWER)
        elif alone:
            old.append(marker)
        else:
            report.keep(marker, MARKS_A_DELETION)
    return old


def _delete(versions: list[StoredVersion], report: Cleaning, *, versioned: bool) -> None:
    failures = storage.delete_versions(versions, versioned=versioned)
    failed = {(failure.key, failure.version_id) for failure in failures}
    for version in versions:
        if (version.key, version.version_id) in failed or (version.key, "") in failed:
            continue
        report.deleted_bytes += version.size
        if version.is_marker:
            report.deleted_markers += 1
        else:
            report.deleted += 1
    report.failures += len(failures)
    room = _EXAMPLES - len(report.failure_examples)
    report.failure_examples += [asdict(failure) for failure in failures[: max(0, room)]]


_PURGE = """
    UPDATE rejected_rows SET cells = NULL
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM rejected_rows WHERE run_id = %s AND cells IS NOT NULL LIMIT %s))
"""


def purge_cells(report: Cleaning, *, now: datetime, deadline: float | None = None) -> None:
    """Erase the cells of rows rejected more than settings.REJECTED_CELLS_KEEP_DAYS ago.

    Line numbers and problems, which hold no personal data, stay.
    """
    if not settings.REJECTED_CELLS_KEEP_DAYS:
        return
    limit = now - timedelta(days=settings.REJECTED_CELLS_KEEP_DAYS)
    old = ImportRun.objects.filter(finished_at__lt=limit, cells_purged_at=None).order_by("id")
    for run_id in old.filter(rejected__gt=0).values_list("pk", flat=True):
        purged = _ROWS_PER_STATEMENT
        while purged == _ROWS_PER_STATEMENT:
            if _is_past(deadline):
                report.complete = False
                return
            with connection.cursor() as cursor:
                cursor.execute(_PURGE, [run_id, _ROWS_PER_STATEMENT])
                purged = cursor.rowcount
            report.purged_rows += purged
        ImportRun.objects.filter(pk=run_id).update(cells_purged_at=now, sample={})
