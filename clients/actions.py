"""What a client admin can ask for: verbs, each with its audit in the same transaction.

A verb that can't be done raises Refused with a sentence for the person who asked. What takes time is
queued here and done by the worker, never in a web request.
"""

import logging
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, transaction
from django.db.models import Model
from django.db.models.functions import Now
from django.utils import timezone

from clients.aws import functions, storage
from clients.aws.functions import WorkerFunction
from clients.aws.storage import ObjectVersion
from clients.contract.problems import FileFault
from clients.errors import describe, sqlstate
from clients.models import ImportRun
from clients.models.states import Mode, State, Trigger
from clients.upkeep import dead_letters
from clients.upkeep import undo as undoing

# Views behind the admin's login have a User; their type says that it might be anybody.
Person = User | AnonymousUser
logger = logging.getLogger(__name__)

# Longer than an invocation with its retries; after that it may be asked for again.
_UNDO_TAKES_AT_MOST = timedelta(minutes=15)
_LOCK_NOT_AVAILABLE = "55P03"
_AT_WORK = (State.QUEUED, State.RUNNING)


class Refused(Exception):
    """What was asked for can't be done; the text says why, and what to do instead."""


def rerun(run: ImportRun, *, by: Person) -> ImportRun:
    """Queue a new run of the same file with the same options; returns it. Raises Refused."""
    return _repeat(run, by=by, mode=Mode(run.mode), did=f"Re-ran run {run.pk}.")


def import_now(preview: ImportRun, *, by: Person) -> ImportRun:
    """Queue the import of what was previewed, with the preview's options; returns it. Raises Refused."""
    if preview.mode != Mode.PREVIEW:
        raise Refused("This run is an import already, not a preview.")
    if preview.state not in (State.SUCCEEDED, State.PARTIAL):
        raise Refused("The preview found nothing that could be imported.")
    if imported := imported_by(preview):
        raise Refused(f"Run {imported.pk} has imported this already.")
    return _repeat(preview, by=by, mode=Mode.IMPORT, did=f"Imported what run {preview.pk} had previewed.")


def imported_by(preview: ImportRun) -> ImportRun | None:
    """The run that has imported what was previewed, if one has."""
    return preview.children.filter(mode=Mode.IMPORT, state__in=(State.SUCCEEDED, State.PARTIAL)).first()


def undo(run: ImportRun, *, by: Person) -> ImportRun:
    """Have the worker undo the run; returns it. Raises Refused."""
    with transaction.atomic():
        run = ImportRun.objects.select_for_update(of=("self",)).get(pk=run.pk)
        if reason := undoing.why_not(run):
            raise Refused(reason)
        if undo_is_under_way(run):
            raise Refused("This run is being undone already.")
        ImportRun.objects.filter(pk=run.pk).update(
            undo_requested_at=Now(), undo_requested_by=by.pk, undo_result={}
        )
        log(by, run, f"Asked for run {run.pk} to be undone.")
        transaction.on_commit(lambda: _ask_for_undo(run))
    return run


def cancel(run: ImportRun, *, by: Person) -> ImportRun:
    """End a run that is not finished; nothing of it is kept. Raises Refused.

    Every move of the worker is fenced by the run's state, its commit included: it stops at its next turn.
    """
    try:
        with transaction.atomic():
            # The worker holds the row while it writes clients; to wait for that would be to wait for the end.
            run = ImportRun.objects.select_for_update(of=("self",), nowait=True).get(pk=run.pk)
            if run.state not in _AT_WORK:
                raise Refused("This run is finished already. To take back what it did, undo it.")
            run.reject(FileFault("cancelled"))
            log(by, run, f"Cancelled run {run.pk}.")
    except OperationalError as error:
        if sqlstate(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise Refused("The clients are being written right now. Wait for it, then undo the run.") from None
    return run


def undo_is_under_way(run: ImportRun) -> bool:
    """Whether somebody asked for the undo, lately enough that the worker may still be at it."""
    return (
        run.state != State.UNDONE
        and run.undo_requested_at is not None
        and run.undo_requested_at > timezone.now() - _UNDO_TAKES_AT_MOST
    )


def _ask_for_undo(run: ImportRun) -> None:
    if not _ask_worker(WorkerFunction.UNDO, run):
        refused = "The worker could not be reached. Nothing was changed; try again in a few minutes."
        ImportRun.objects.filter(pk=run.pk).update(undo_requested_at=None, undo_result={"refused": refused})


def redrive(message_id: str | None, *, by: Person) -> int:
    """Deliver one message of the dead-letter queue again, or all of them; returns how many.

    Raises botocore's errors when the worker can't be reached.
    """
    if message_id is None:
        redriven = dead_letters.redrive_all().redriven
    else:
        redriven = int(dead_letters.redrive(message_id))
    if redriven:
        log_about(by, ImportRun, "Failed deliveries", f"Delivered {redriven:,} again.")
    return redriven


def discard(message_id: str, *, by: Person) -> bool:
    """Delete one message of the dead-letter queue for good; False when it isn't there (any more), or when a
    worker knows it: to deliver that again loses nothing.
    """
    if not dead_letters.discard(message_id):
        return False
    log_about(by, ImportRun, "Failed deliveries", "Discarded one that no worker knows.")
    return True


def why_not_repeat(run: ImportRun) -> str:
    """Why a run can't be repeated as far as the database knows; empty when it can."""
    if not run.bucket:
        return "The file was imported from a local disk, not from S3. Import it from there once more."
    same = ImportRun.objects.filter(
        bucket=run.bucket, key=run.key, version_id=run.version_id, etag=run.etag, state__in=_AT_WORK
    ).first()
    if same:
        return f"Run {same.pk} is at work on this file. Wait until it is finished."
    return ""


def _repeat(run: ImportRun, *, by: Person, mode: Mode, did: str) -> ImportRun:
    with transaction.atomic():
        # A second person asking at the same moment waits here, and then finds the first one's run.
        run = ImportRun.objects.select_for_update(of=("self",)).get(pk=run.pk)
        if reason := why_not_repeat(run):
            raise Refused(reason)
        if not storage.exists(ObjectVersion(run.bucket, run.key, run.version_id, run.etag)):
            raise Refused("The file is no longer in S3: it was deleted or replaced. Upload it again.")
        new = ImportRun.objects.create(
            bucket=run.bucket,
            key=run.key,
            version_id=run.version_id,
            etag=run.etag,
            size=run.size,
            trigger=Trigger.RERUN,
            uploader=by.get_username(),
            parent=run,
            mode=mode,
            conflict_policy=run.conflict_policy,
            max_rejected_rows=run.max_rejected_rows,
            max_rejected_percent=run.max_rejected_percent,
        )
        log(by, new, did)
        transaction.on_commit(lambda: _ask_worker(WorkerFunction.RUN_QUEUED, new))
    return new


def _ask_worker(command: WorkerFunction, run: ImportRun) -> bool:
    """Have the worker do something with the run now; False when it can't be reached.

    A queued run is then found by the reconciler.
    """
    try:
        functions.invoke(command, run=run.pk)
    except (BotoCoreError, ClientError) as error:
        logger.error("worker not reached", extra={"run": run.pk, "error": describe(error)})
        return False
    return True


def log(by: Person, run: ImportRun, did: str) -> None:
    """A line in the admin's log of what people did."""
    entries: Any = LogEntry.objects
    entries.log_actions(by.pk, [run], CHANGE, did, single_object=True)


def log_about(by: Person, model: type[Model], what: str, did: str) -> None:
    """The same about something that is no single row."""
    LogEntry.objects.create(
        user_id=by.pk or 0,  # never 0: nobody comes here without a login
        content_type=ContentType.objects.get_for_model(model),
        object_repr=what,
        action_flag=CHANGE,
        change_message=did,
    )
