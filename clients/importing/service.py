"""One import from claim to mail: attempts until one succeeds, the file proves faulty, or patience ends.

Whatever goes wrong, a run ends in one of three ways: finished (its effects and its audit committed together),
rejected (the file's fault; nothing changed), or an exception leaves here (our fault; nothing changed) and the
event is delivered again. docs/architecture.md follows a cell along this road.
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
from clients.importing.job import ImportJob, Progress, Source, mail_wanted
from clients.importing.retry import retrying
from clients.models.import_run import ImportRun
from clients.models.states import ImpossibleMove, State, Trigger
from clients.reporting import mails

logger = logging.getLogger(__name__)

_QUERY_CANCELED = "57014"


def _no_progress(run: ImportRun) -> None:
    """Nobody is watching."""


def import_upload(version: ObjectVersion, invocation: Invocation) -> ImportRun:
    """Import one uploaded object version, once, however often its event is delivered.

    Returns the run: finished, or running when another worker is at it, alive. Raises ImportingError when
    the event should be delivered again.
    """
    return _Delivery(lambda: run_for_event(version), lambda: _download(version), invocation).process()


def import_queued(run_id: int, invocation: Invocation) -> ImportRun:
    """Execute a queued run, on the object version it names; else like `import_upload`.

    Raises ImportRun.DoesNotExist when there is no such run.
    """

    def find() -> ImportRun:
        return ImportRun.objects.get(pk=run_id)

    @contextmanager
    def source() -> Iterator[Download]:
        run = find()
        with _download(ObjectVersion(run.bucket, run.key, run.version_id, run.etag)) as download:
            yield download

    return _Delivery(find, source, invocation).process()


def import_file(
    path: Path, *, conflict_policy: str, mode: str, invocation: Invocation, progress: Progress = _no_progress
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

    return _Delivery(lambda: ImportRun.objects.get(pk=run.pk), source, invocation, progress).process()


@contextmanager
def _download(version: ObjectVersion) -> Iterator[Download]:
    download = storage.open_version(version)
    with closing(download.body):
        yield download


class _Delivery:
    """One delivery of an event: the attempts at its run, what is said when they fail, and the mail."""

    def __init__(
        self,
        find: Callable[[], ImportRun],
        source: Source,
        invocation: Invocation,
        progress: Progress = _no_progress,
    ) -> None:
        self._find = find
        self._source = source
        self._invocation = invocation
        self._progress = progress
        self._run: ImportRun | None = None
        self._claims_before: int | None = None

    def process(self) -> ImportRun:
        try:
            run = self._attempt_until_done()
        except (LeaseHeld, Fenced) as other:
            return self._leave_to_another(other)
        except (KeyboardInterrupt, SystemExit):
            self._give_up(Interrupted())
            raise
        except ImportRun.DoesNotExist:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the run says so
            self._log(error)
            self._give_up(error)
            number = self._run.pk if self._run else None
            raise ImportFailed(f"run {number or '?'}: {describe(error)}", run=number) from None
        finally:
            lift_limits()
        mails.send(run)
        return run

    def _attempt_until_done(self) -> ImportRun:
        for attempt in retrying(settings.IMPORT_RETRY_SECONDS):
            with attempt, in_time(self._invocation):
                if attempt.number > 1:
                    connection.close()
                self._run = self._find()
                if self._claims_before is None:
                    self._claims_before = self._run.attempt
                self._attempt(self._run)
        assert self._run is not None
        return self._run

    def _attempt(self, run: ImportRun) -> None:
        if run.is_finished:
            logger.info("already finished", extra={"run": run.pk, "state": run.state})
            return
        claimed = run.claim(
            self._invocation.request_id,
            log_stream=self._invocation.log_stream,
            new_delivery=run.attempt == self._claims_before,
        )
        if not claimed:
            if run.is_finished:
                return
            raise LeaseHeld(f"run {run.pk} is being processed by another worker")
        logger.info("claimed", extra={"run": run.pk, "attempt": run.attempt})
        try:
            ImportJob(run, self._source, self._invocation, self._progress).complete()
        except ImpossibleMove:
            raise Fenced(f"run {run.pk} was taken over by another worker") from None
        except Exception as error:
            if sqlstate(error) == _QUERY_CANCELED and self._invocation.is_out_of_time:
                raise OutOfTime from None
            raise

    def _leave_to_another(self, reason: LeaseHeld | Fenced) -> ImportRun:
        """Return quietly: the worker that holds the run finishes it, and should it die, its own event is
        delivered again. To raise would only fill the dead-letter queue with duplicates. Unless that was its
        last delivery, and this is another event, which has some left.
        """
        run = self._run
        assert run is not None
        run.refresh_from_db()
        logger.info("left to another worker", extra={"run": run.pk, "reason": type(reason).__name__})
        is_last = run.deliveries >= settings.IMPORT_DELIVERIES
        if run.state == State.RUNNING and is_last and run.request_id != self._invocation.request_id:
            raise reason
        return run

    def _log(self, error: Exception) -> None:
        run = self._run.pk if self._run else None
        # An error's own message may quote a row, so where it came from has to do.
        logger.error("import failed", extra={"run": run, "error": describe(error), "trace": trace(error)})

    def _give_up(self, error: Exception) -> None:
        """Say on the run what happened, if the database can be reached; the exception tells Lambda."""
        run = self._run
        if run is None:
            return
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
            if (run.state, run.request_id, run.attempt) != (State.RUNNING, self._invocation.request_id, held):
                return
            if self._invocation.redelivered and run.deliveries < settings.IMPORT_DELIVERIES:
                run.give_back(why)
            else:
                run.fail(why, notification=mail_wanted(run))
        except Exception as second:  # noqa: BLE001 - the first error is what counts
            logger.error("could not record the failure", extra={"run": run.pk, "error": describe(second)})
            return
        if run.state == State.FAILED:
            mails.send(run)
