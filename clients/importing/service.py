"""One import from claim to mail: what decides, and what opens transactions.

The six steps are those of DESIGN.md, section 6. Whatever goes wrong, a run ends in one of three ways:
finished (its effects and its audit committed together), rejected (the file's fault; nothing changed), or
an exception leaves here (our fault; nothing changed) and the event is delivered again.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

from clients import notifications, storage
from clients.importing import origin
from clients.importing.loader import Merged, Staging
from clients.importing.problems import (
    Fenced,
    FileFault,
    ImportFailed,
    Interrupted,
    LeaseHeld,
    OutOfTime,
)
from clients.importing.reader import CsvReader
from clients.importing.retry import describe, retrying, sqlstate, trace
from clients.importing.stored import Limits, too_large
from clients.importing.uploads import is_out_of_date, run_of
from clients.importing.validation import ValidatedRows
from clients.models.import_run import (
    ImportRun,
    ImpossibleMove,
    Mode,
    Notification,
    State,
    Trigger,
)
from clients.storage import Download, ObjectVersion

logger = logging.getLogger(__name__)

_TURN_SECONDS = 1.0  # between signs of life: progress, lease, a look at the clock
_TURN_REJECTED_SIZE = 4 * 1024**2
_SAMPLE = 10  # clients of each kind that a preview shows
_TIME_TO_STOP = 8.0  # seconds kept back to roll back and say so
_WAIT_WITHOUT_DEADLINE = 600  # seconds
_QUERY_CANCELED = "57014"

Source = Callable[[], AbstractContextManager[Download]]


@dataclass(frozen=True, slots=True)
class Invocation:
    """Who is asking: identifies retries of one delivery, and says how much time there is."""

    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    log_stream: str = ""
    deadline: float | None = None  # on time.monotonic()'s clock
    redelivered: bool = False  # whether a failure is followed by another delivery

    @property
    def is_out_of_time(self) -> bool:
        """Whether too little is left to go on; a statement may be cancelled a moment before."""
        return self.deadline is not None and time.monotonic() > self.deadline - _TIME_TO_STOP - 0.1

    def check_time(self) -> None:
        """Raises OutOfTime when too little is left to go on."""
        if self.is_out_of_time:
            raise OutOfTime

    @property
    def milliseconds_for_a_statement(self) -> int:
        """PostgreSQL's statement_timeout; 0, for no limit, without a deadline."""
        if self.deadline is None:
            return 0
        return max(1, int((self.deadline - _TIME_TO_STOP - time.monotonic()) * 1000))

    @property
    def seconds_for_a_lock(self) -> int:
        """How long to wait until other imports have written their clients: half of what is left."""
        if self.deadline is None:
            return _WAIT_WITHOUT_DEADLINE
        return max(settings.LOCK_TIMEOUT_SECONDS, self.milliseconds_for_a_statement // 2_000)


def import_upload(version: ObjectVersion, invocation: Invocation) -> ImportRun:
    """Import one uploaded object version, once, however often its event is delivered.

    Returns the run: finished, or running when another worker is at it, alive. Raises ImportingError when
    the event should be delivered again.
    """
    return _process(lambda: run_of(version), lambda: closing_download(version), invocation)


def import_queued(run_id: int, invocation: Invocation) -> ImportRun:
    """Execute a queued run, on the object version it names; else like `import_upload`.

    Raises ImportRun.DoesNotExist when there is no such run.
    """

    @contextmanager
    def source() -> Iterator[Download]:
        run = ImportRun.objects.get(pk=run_id)
        with closing_download(ObjectVersion(run.bucket, run.key, run.version_id, run.etag)) as download:
            yield download

    return _process(lambda: ImportRun.objects.get(pk=run_id), source, invocation)


def import_file(
    path: Path,
    *,
    conflict_policy: str,
    mode: str,
    invocation: Invocation,
    progress: Callable[[ImportRun], None] | None = None,
) -> ImportRun:
    """Import a local file by the same road as an upload."""
    run = ImportRun.objects.create(
        key=str(path),
        trigger=Trigger.COMMAND,
        mode=mode,
        conflict_policy=conflict_policy,
        max_rejected_rows=settings.IMPORT_MAX_REJECTED_ROWS,
        max_rejected_percent=settings.IMPORT_MAX_REJECTED_PERCENT,
    )

    @contextmanager
    def source() -> Iterator[Download]:
        with path.open("rb") as file:
            yield Download(file, path.stat().st_size, "", "")

    return _process(
        lambda: ImportRun.objects.get(pk=run.pk), source, invocation, progress or (lambda run: None)
    )


@contextmanager
def closing_download(version: ObjectVersion) -> Iterator[Download]:
    download = storage.open_version(version)
    with closing(download.body):
        yield download


def _process(
    find: Callable[[], ImportRun],
    source: Source,
    invocation: Invocation,
    progress: Callable[[ImportRun], None] = lambda run: None,
) -> ImportRun:
    """Attempts until one succeeds, the file proves faulty, or patience ends; then the mail."""
    attempts = 0
    run: ImportRun | None = None
    claims_before: int | None = None
    try:
        for attempt in retrying(settings.IMPORT_RETRY_SECONDS):
            with attempt, _in_time(invocation):
                attempts += 1
                if attempts > 1:
                    connection.close()
                run = find()
                claims_before = run.attempt if claims_before is None else claims_before
                _attempt(run, source, invocation, progress, new_delivery=run.attempt == claims_before)
    except (LeaseHeld, Fenced) as other:
        # Whoever holds the run finishes it, and should that worker die, its own event is delivered again: to
        # raise would only fill the dead-letter queue with duplicates. Unless that is its last delivery.
        assert run is not None
        run.refresh_from_db()
        logger.info("left to another worker", extra={"run": run.pk, "reason": type(other).__name__})
        if run.state == State.RUNNING and run.deliveries >= settings.IMPORT_DELIVERIES:
            raise
        return run
    except (KeyboardInterrupt, SystemExit):
        if run is not None:
            _give_up(run, Interrupted(), invocation)
        raise
    except ImportRun.DoesNotExist:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the run says so
        # An error's own message may quote a row, so where it came from has to do.
        logger.error(
            "import failed",
            extra={
                "run": run and run.pk,
                "error": describe(error),
                "attempts": attempts,
                "trace": trace(error),
            },
        )
        if run is not None:
            _give_up(run, error, invocation)
        raise ImportFailed(f"run {run.pk if run else '?'}: {describe(error)}") from None
    finally:
        _lift_limits()
    assert run is not None
    notifications.send(run)
    return run


def _attempt(
    run: ImportRun,
    source: Source,
    invocation: Invocation,
    progress: Callable[[ImportRun], None],
    *,
    new_delivery: bool,
) -> None:
    if run.is_finished:
        logger.info("already finished", extra={"run": run.pk, "state": run.state})
        return
    if not run.claim(invocation.request_id, log_stream=invocation.log_stream, new_delivery=new_delivery):
        if run.is_finished:
            return
        raise LeaseHeld(f"run {run.pk} is being processed by another worker")
    logger.info("claimed", extra={"run": run.pk, "attempt": run.attempt})
    try:
        _finish(run, source, invocation, progress)
    except ImpossibleMove:
        raise Fenced(f"run {run.pk} was taken over by another worker") from None
    except Exception as error:
        if sqlstate(error) == _QUERY_CANCELED and invocation.is_out_of_time:
            raise OutOfTime from None
        raise


def _finish(
    run: ImportRun, source: Source, invocation: Invocation, progress: Callable[[ImportRun], None]
) -> None:
    """Bring a claimed run to its end. Raises ImpossibleMove when it was taken over meanwhile."""
    if is_out_of_date(run):
        run.finish(State.SKIPPED, fault_code="out-of-date", fault=_OUT_OF_DATE)
        logger.info("skipped as out of date", extra={"run": run.pk})
        return
    try:
        with source() as download:
            _describe_source(run, download)
            _import(run, download, invocation, progress)
    except FileFault as fault:
        run.reject(fault, notification=_wanted(run))
        logger.info("file rejected", extra={"run": run.pk, "fault": fault.code})


def _describe_source(run: ImportRun, download: Download) -> None:
    if download.size > settings.IMPORT_MAX_BYTES:
        raise too_large(settings.IMPORT_MAX_BYTES)
    run.describe(
        size=download.size,
        etag=run.etag or download.etag,
        version_id=run.version_id or download.version_id,
        **_requested(run, download),
    )


def _requested(run: ImportRun, download: Download) -> dict[str, Any]:
    """The options that an upload carries; a run that somebody queued has its own."""
    if run.delivery_id is None:
        return {}
    options = origin.options(download.metadata)
    return {**options, "trigger": Trigger.UPLOAD_PAGE} if options else {}


def _import(
    run: ImportRun, download: Download, invocation: Invocation, progress: Callable[[ImportRun], None]
) -> None:
    started = time.monotonic()
    reader = CsvReader(download.body, _limits())
    with Staging(run.pk, reader.layout) as staging:
        rows = ValidatedRows(reader, settings.IMPORT_STATUSES)
        _stage(run, staging, rows, invocation, progress)
        staged = time.monotonic()
        logger.info(
            "rows validated",
            extra={
                "run": run.pk,
                "valid": rows.valid,
                "rejected": rows.rejected,
                "seconds": round(staged - started, 3),
            },
        )
        timings = {"validate": round(staged - started, 3)}
        try:
            _merge(run, staging, rows, invocation, timings, keep=run.mode == Mode.IMPORT)
        except _TooManyRejected as refusal:
            _reject_everything(run, staging, rows, refusal)
    logger.info("finished", extra={"run": run.pk, "state": run.state, **_counts(run)})


def _stage(
    run: ImportRun,
    staging: Staging,
    rows: ValidatedRows,
    invocation: Invocation,
    progress: Callable[[ImportRun], None],
) -> None:
    """Validate and stage in turns of about a second; between them others see how far we are."""
    blocks = rows.blocks()

    def one_turn() -> Iterator[bytes]:
        until = time.monotonic() + _TURN_SECONDS
        for block in blocks:
            yield block
            if time.monotonic() > until or rows.rejected_size > _TURN_REJECTED_SIZE:
                return

    while not rows.exhausted:
        staging.copy_valid(one_turn())
        staging.copy_rejected(rows.take_rejected())
        invocation.check_time()
        if not rows.exhausted:
            run.describe(read=rows.reader.rows, bytes_read=rows.reader.bytes_read)
            progress(run)


def _merge(
    run: ImportRun,
    staging: Staging,
    rows: ValidatedRows,
    invocation: Invocation,
    timings: dict[str, float],
    *,
    keep: bool,
) -> None:
    """The one transaction: clients, rejected rows, before-images, the run's end, and the mail to send."""
    started = time.monotonic()
    with transaction.atomic():
        # Locks the run's row first: from here on nobody can take the run over until we are done.
        run.describe(read=rows.reader.rows, bytes_read=rows.reader.bytes_read)
        if keep:
            staging.lock_clients(invocation.seconds_for_a_lock)
            if is_out_of_date(run):
                run.finish(State.SKIPPED, fault_code="out-of-date", fault=_OUT_OF_DATE, read=0)
                return
        merged = staging.merge(run.conflict_policy, keep=keep)
        rejected = rows.rejected + merged.rejected
        _check_share(run, rejected, rows.reader.rows)
        facts = {**_file_facts(run, rows), **_lineage(run, rows, staging)}
        if not keep:
            facts["sample"] = staging.sample(run.conflict_policy, _SAMPLE)
        timings["merge"] = round(time.monotonic() - started, 3)
        run.finish(
            State.PARTIAL if rejected else State.SUCCEEDED,
            read=rows.reader.rows,
            inserted=merged.inserted,
            updated=merged.updated,
            unchanged=merged.unchanged,
            rejected=rejected,
            problem_counts=_sum_problems(rows, merged),
            rests_on=list(merged.rests_on) if keep else [],
            timings=timings,
            notification=_wanted(run),
            **facts,
        )


def _lineage(run: ImportRun, rows: ValidatedRows, staging: Staging) -> dict[str, Any]:
    """Of an error file that came back mended: the run it belongs to, and how many of its rows are in now."""
    corrected, position = origin.corrected_run(run.key, rows.reader.layout.header)
    if corrected is None:
        return {}
    if not ImportRun.objects.filter(pk=corrected, rejected__gt=0).exclude(pk=run.pk).exists():
        return {}
    fixed = None if position is None else staging.count_fixed(corrected, position)
    return {"corrects_id": corrected, "fixed": fixed}


def _reject_everything(
    run: ImportRun, staging: Staging, rows: ValidatedRows, refusal: "_TooManyRejected"
) -> None:
    with transaction.atomic():
        run.describe()
        staging.reject_everything()
        run.finish(
            State.REJECTED,
            read=rows.reader.rows,
            rejected=rows.reader.rows,
            fault_code="too-many-rejected",
            fault=str(refusal),
            problem_counts=dict(rows.problem_counts),
            notification=_wanted(run),
            **_file_facts(run, rows),
        )


class _TooManyRejected(Exception):
    """The import is to be called off by the run's own options."""


def _check_share(run: ImportRun, rejected: int, read: int) -> None:
    if run.max_rejected_rows and rejected > run.max_rejected_rows:
        allowed = f"{run.max_rejected_rows:,}"
    elif run.max_rejected_percent and rejected * 100 > run.max_rejected_percent * read:
        allowed = f"{run.max_rejected_percent} %"
    else:
        return
    raise _TooManyRejected(
        f"Nothing was imported: {rejected:,} of {read:,} rows would have been rejected, and at most "
        f"{allowed} are allowed. Mend the rows listed and upload the file again."
    )


def _sum_problems(rows: ValidatedRows, merged: Merged) -> dict[str, int]:
    return {**rows.problem_counts, **merged.problem_counts}


def _file_facts(run: ImportRun, rows: ValidatedRows) -> dict[str, Any]:
    """What is known of a file once it was read to its end."""
    notices = list(rows.reader.notices)
    if not rows.reader.rows:
        notices.append("The file has a header but no rows.")
    sha256 = rows.reader.sha256
    earlier = (
        ImportRun.objects.filter(sha256=sha256, mode=Mode.IMPORT, state__in=(State.SUCCEEDED, State.PARTIAL))
        .exclude(pk=run.pk)
        .first()
    )
    if earlier:
        notices.append(f"A file with the same content was imported before, by run {earlier.pk}.")
    return {
        "sha256": sha256,
        "header": list(rows.reader.layout.header),
        "notices": notices,
        "bytes_read": rows.reader.bytes_read,
    }


_OUT_OF_DATE = "A newer upload of the same key has come in meanwhile; this one was not imported."


def _give_up(run: ImportRun, error: Exception, invocation: Invocation) -> None:
    """Say on the run what happened, if the database can be reached; the exception tells Lambda."""
    match error:
        case OutOfTime():
            code, message = "out-of-time", _OUT_OF_TIME
        case Interrupted():
            code, message = "interrupted", "The import was interrupted; nothing was imported."
        case _:
            code, message = "failed", _FAILED.format(describe(error))
    try:
        connection.close()
        held = run.attempt
        run.refresh_from_db()
        if (run.state, run.request_id, run.attempt) != (State.RUNNING, invocation.request_id, held):
            return
        if invocation.redelivered and run.deliveries < settings.IMPORT_DELIVERIES:
            run.give_back(code, f"{message} It will be tried again.")
        else:
            run.fail(code, message, notification=_wanted(run))
    except Exception as second:  # noqa: BLE001 - the first error is what counts
        logger.error("could not record the failure", extra={"run": run.pk, "error": describe(second)})
        return
    if run.state == State.FAILED:
        notifications.send(run)


_OUT_OF_TIME = (
    "The time of one invocation did not suffice; nothing was imported. "
    "Split the file, or give the function more time or memory."
)
_FAILED = (
    "Something outside the file went wrong ({}); nothing was imported and the file is safe to import again."
)


def _wanted(run: ImportRun) -> Notification:
    """Imports are reported by mail; a preview's reader is looking at it already."""
    return Notification.PENDING if run.mode == Mode.IMPORT else Notification.NONE


def _counts(run: ImportRun) -> dict[str, int]:
    return {name: getattr(run, name) for name in ("read", "inserted", "updated", "unchanged", "rejected")}


def _limits() -> Limits:
    return Limits(
        bytes=settings.IMPORT_MAX_BYTES,
        decompressed_bytes=settings.IMPORT_MAX_DECOMPRESSED_BYTES,
        rows=settings.IMPORT_MAX_ROWS,
        cells_per_row=settings.IMPORT_MAX_CELLS_PER_ROW,
        row_characters=settings.IMPORT_MAX_ROW_CHARACTERS,
    )


def _in_time(invocation: Invocation) -> AbstractContextManager[None]:
    """No statement in the block outlives the invocation: the server cancels it in time for us to say so.

    The limit is set anew before each statement, because it counts from the statement's beginning.
    """

    def limited(execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        session = context["connection"].connection
        # An aborted transaction takes nothing but its end, be it a savepoint's.
        if session.info.transaction_status != TRANSACTION_STATUS_INERROR:
            with session.cursor() as cursor:
                cursor.execute("SET statement_timeout = %s", [invocation.milliseconds_for_a_statement])
        return execute(sql, params, many, context)

    return connection.execute_wrapper(limited)


def _lift_limits() -> None:
    """Leave the connection as others, who share a warm function, expect it."""
    if connection.connection is None or connection.connection.closed:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")
    except (DatabaseError, InterfaceError):
        connection.close()
