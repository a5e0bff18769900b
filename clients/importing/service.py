"""One import from claim to mail: what decides, and what opens transactions.

The six steps are those of DESIGN.md, section 6. Whatever goes wrong, a run ends in one of three ways:
finished (its effects and its audit committed together), rejected (the file's fault; nothing changed), or
an exception leaves here (our fault; nothing changed) and the event is delivered again.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from clients.aws import storage
from clients.aws.storage import Download, ObjectVersion
from clients.contract.problems import Statement
from clients.errors import Fenced, ImportFailed, Interrupted, LeaseHeld, OutOfTime, describe, sqlstate, trace
from clients.importing.deliveries import run_for_event
from clients.importing.invocation import Invocation, in_time, lift_limits
from clients.importing.job import Progress, Source, complete, mail_wanted
from clients.importing.retry import retrying
from clients.models.import_run import ImportRun, ImpossibleMove, State, Trigger
from clients.reporting import mails

logger = logging.getLogger(__name__)

_QUERY_CANCELED = "57014"


def import_upload(version: ObjectVersion, invocation: Invocation) -> ImportRun:
    """Import one uploaded object version, once, however often its event is delivered.

    Returns the run: finished, or running when another worker is at it, alive. Raises ImportingError when
    the event should be delivered again.
    """
    return _process(lambda: run_for_event(version), lambda: closing_download(version), invocation)


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
    progress: Progress | None = None,
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
    progress: Progress = lambda run: None,
) -> ImportRun:
    """Attempts until one succeeds, the file proves faulty, or patience ends; then the mail."""
    attempts = 0
    run: ImportRun | None = None
    claims_before: int | None = None
    try:
        for attempt in retrying(settings.IMPORT_RETRY_SECONDS):
            with attempt, in_time(invocation):
                attempts += 1
                if attempts > 1:
                    connection.close()
                run = find()
                claims_before = run.attempt if claims_before is None else claims_before
                _attempt(run, source, invocation, progress, new_delivery=run.attempt == claims_before)
    except (LeaseHeld, Fenced) as other:
        # Whoever holds the run finishes it, and should that worker die, its own event is delivered again: to
        # raise would only fill the dead-letter queue with duplicates. Unless that is its last delivery, and
        # this is another event, which has some left.
        assert run is not None
        run.refresh_from_db()
        logger.info("left to another worker", extra={"run": run.pk, "reason": type(other).__name__})
        is_last = run.deliveries >= settings.IMPORT_DELIVERIES
        if run.state == State.RUNNING and is_last and run.request_id != invocation.request_id:
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
        raise ImportFailed(
            f"run {run.pk if run else '?'}: {describe(error)}", run=run.pk if run else None
        ) from None
    finally:
        lift_limits()
    assert run is not None
    mails.send(run)
    return run


def _attempt(
    run: ImportRun,
    source: Source,
    invocation: Invocation,
    progress: Progress,
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
        complete(run, source, invocation, progress)
    except ImpossibleMove:
        raise Fenced(f"run {run.pk} was taken over by another worker") from None
    except Exception as error:
        if sqlstate(error) == _QUERY_CANCELED and invocation.is_out_of_time:
            raise OutOfTime from None
        raise


def _give_up(run: ImportRun, error: Exception, invocation: Invocation) -> None:
    """Say on the run what happened, if the database can be reached; the exception tells Lambda."""
    match error:
        case OutOfTime():
            why = Statement.of("out-of-time")
        case Interrupted():
            why = Statement.of("interrupted")
        case _:
            why = Statement.of("failed", error=describe(error))
    try:
        connection.close()
        held = run.attempt
        run.refresh_from_db()
        if (run.state, run.request_id, run.attempt) != (State.RUNNING, invocation.request_id, held):
            return
        if invocation.redelivered and run.deliveries < settings.IMPORT_DELIVERIES:
            run.give_back(why)
        else:
            run.fail(why, notification=mail_wanted(run))
    except Exception as second:  # noqa: BLE001 - the first error is what counts
        logger.error("could not record the failure", extra={"run": run.pk, "error": describe(second)})
        return
    if run.state == State.FAILED:
        mails.send(run)
