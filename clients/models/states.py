"""What a run can be, and from where it may move where."""

from django.db import models


class State(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial", "Partly imported"
    REJECTED = "rejected", "File rejected"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNDONE = "undone"


# An import that has come to its end; nothing processes it again.
FINAL = (State.SUCCEEDED, State.PARTIAL, State.REJECTED, State.SKIPPED, State.UNDONE)

# From where a run may move where. A failed run may be claimed again: nothing of it was kept.
MOVES: dict[State, tuple[State, ...]] = {
    State.QUEUED: (
        State.RUNNING,
        State.REJECTED,  # cancelled
        State.SKIPPED,
        State.FAILED,
    ),
    State.RUNNING: (
        State.RUNNING,  # taken over from a worker that died
        State.QUEUED,  # given back, to be delivered again
        State.SUCCEEDED,
        State.PARTIAL,
        State.REJECTED,
        State.FAILED,
        State.SKIPPED,
    ),
    State.FAILED: (State.RUNNING,),
    State.SUCCEEDED: (State.UNDONE,),
    State.PARTIAL: (State.UNDONE,),
    State.REJECTED: (),
    State.SKIPPED: (),
    State.UNDONE: (),
}


class ImpossibleMove(Exception):
    """A run was asked to move to a state that can't follow its own."""


class Trigger(models.TextChoices):
    S3_EVENT = "s3-event", "S3 event"
    UPLOAD_PAGE = "upload-page", "Upload page"
    RERUN = "rerun", "Re-run"
    RECONCILE = "reconcile", "Reconciler"
    COMMAND = "command", "Command line"


class Mode(models.TextChoices):
    IMPORT = "import"
    PREVIEW = "preview"


class ConflictPolicy(models.TextChoices):
    REJECT = "reject", "Leave the client as is and list the row"
    UPDATE = "update", "Update the client"


class Notification(models.TextChoices):
    NONE = "none", "Not wanted"
    PENDING = "pending"
    SENT = "sent"
