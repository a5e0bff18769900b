"""The audit of every import: one row a run, its states moved only by the methods here."""

from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.urls import reverse

from clients.contract.problems import FileFault, Statement, visible
from clients.contract.sentences import sentence
from clients.models.states import (
    FINAL,
    MOVES,
    ConflictPolicy,
    ImpossibleMove,
    Mode,
    Notification,
    State,
    Trigger,
)


class ImportRunQuerySet(models.QuerySet["ImportRun"]):
    def claimable(self, request_id: str) -> Self:
        """Runs that this request may take: waiting, failed, its own, or left by a worker that died."""
        return self.filter(
            Q(state__in=(State.QUEUED, State.FAILED))
            | Q(state=State.RUNNING, request_id=request_id)
            | Q(state=State.RUNNING, lease_expires_at__lt=Now())
        )


class ImportRun(models.Model):
    """One processing of one uploaded object version, or of one local file."""

    # --- what came, and from where
    bucket = models.CharField(max_length=63, blank=True)
    key = models.CharField(max_length=1024, help_text="The object's key, or a local file's path.")
    version_id = models.CharField(max_length=1024, blank=True)
    etag = models.CharField("ETag", max_length=128, blank=True)
    sequencer = models.CharField(max_length=64, blank=True, help_text="Orders the events of one key.")
    delivery_id = models.CharField(
        max_length=1200,
        null=True,
        editable=False,
        help_text="What tells one upload of the key from the next; empty on re-runs and commands.",
    )
    size = models.BigIntegerField(null=True, help_text="Stored size in bytes.")
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    trigger = models.CharField(max_length=20, choices=Trigger, default=Trigger.S3_EVENT)
    uploader = models.CharField(max_length=200, blank=True)
    parent = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="children",
        help_text="The run that this one repeats.",
    )
    corrects = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="corrections",
        help_text="The run whose rejected rows this file brings back, corrected.",
    )

    # --- how it is to be done
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.IMPORT)
    conflict_policy = models.CharField(max_length=10, choices=ConflictPolicy, default=ConflictPolicy.REJECT)
    max_rejected_rows = models.PositiveIntegerField(default=0, help_text="0: no limit.")
    max_rejected_percent = models.PositiveSmallIntegerField(default=0, help_text="0: no limit.")

    # --- who is at work
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempt = models.PositiveIntegerField(default=0, help_text="Claims so far; fences off earlier ones.")
    deliveries = models.PositiveSmallIntegerField(default=0, help_text="Invocations that tried.")
    lease_expires_at = models.DateTimeField(null=True, editable=False)
    request_id = models.CharField("Lambda request", max_length=64, blank=True)
    log_stream = models.CharField(max_length=512, blank=True)
    code_version = models.CharField(max_length=64, blank=True)

    # --- what came of it
    read = models.IntegerField(default=0)
    inserted = models.IntegerField(default=0)
    updated = models.IntegerField(default=0)
    unchanged = models.IntegerField(default=0)
    rejected = models.IntegerField(default=0)
    bytes_read = models.BigIntegerField(default=0)
    header = models.JSONField(default=list, help_text="The file's column titles.")
    problem_counts = models.JSONField(default=dict, help_text="Rejected rows by ProblemKind.key.")
    stored_notices = models.JSONField(
        "notices", db_column="notices", default=list, help_text="What to know of how the file was read."
    )
    fault_code = models.CharField(max_length=40, blank=True)
    fault_params = models.JSONField(default=dict, help_text="What the sentence of the fault needs.")
    timings = models.JSONField(default=dict, help_text="Seconds per step.")

    sample = models.JSONField(
        default=dict, help_text="Of a preview: some of the clients it would insert and update."
    )
    fixed = models.IntegerField(
        null=True, help_text="Rows that the corrected run had rejected and this one brought in."
    )

    # --- when
    created_at = models.DateTimeField(db_default=Now())
    event_at = models.DateTimeField(null=True, help_text="When S3 finished the upload.")
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cells_purged_at = models.DateTimeField(
        null=True, editable=False, help_text="When the cells of its rejected rows were erased."
    )

    # --- whether it was taken back
    rests_on = models.JSONField(
        default=list, help_text="Runs whose clients this one found just as its file has them."
    )
    undo_requested_at = models.DateTimeField(null=True)
    undo_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    undone_at = models.DateTimeField(null=True)
    undo_result = models.JSONField(default=dict, help_text="What the undo did, or why it was refused.")

    # --- the mail about it (an outbox: committed with the result, sent afterwards)
    notification = models.CharField(max_length=10, choices=Notification, default=Notification.NONE)
    notification_attempts = models.PositiveSmallIntegerField(default=0)
    notification_error = models.CharField(max_length=500, blank=True)
    notification_claimed_until = models.DateTimeField(null=True, editable=False)
    notified_at = models.DateTimeField(null=True)

    objects = ImportRunQuerySet.as_manager()

    class Meta:
        db_table = "import_runs"
        ordering = ["-id"]
        get_latest_by = "id"
        # An audit is not added to, changed or deleted by hand; what people may do to a run is this.
        default_permissions = ("view",)
        permissions = [
            ("upload_importrun", "Can upload files of clients"),
            ("rerun_importrun", "Can re-run imports, and import what was previewed"),
            ("undo_importrun", "Can undo imports"),
            ("redrive_importrun", "Can deliver failed events again"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["bucket", "key", "delivery_id"], name="import_runs_once_per_upload"
            ),
            models.CheckConstraint(
                name="import_runs_counts_add_up",
                condition=Q(state__in=(State.QUEUED, State.RUNNING))
                | Q(read=F("inserted") + F("updated") + F("unchanged") + F("rejected")),
            ),
            models.CheckConstraint(name="import_runs_state_known", condition=Q(state__in=State.values)),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="import_runs_created_at"),
            models.Index(
                fields=["state"],
                name="import_runs_unfinished",
                condition=Q(state__in=(State.QUEUED, State.RUNNING)),
            ),
            models.Index(fields=["sha256"], name="import_runs_sha256"),
            models.Index(
                fields=["id"],
                name="import_runs_mail_pending",
                condition=Q(notification=Notification.PENDING),
            ),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}: {self.file_name}"

    def get_absolute_url(self) -> str:
        return reverse("admin:clients_importrun_change", args=[self.pk])

    @property
    def file_name(self) -> str:
        """The key's last part, its control characters made visible: keys may hold line breaks."""
        return visible(self.key.rsplit("/", 1)[-1] or self.key)

    @property
    def counts(self) -> dict[str, int]:
        """The rows read, and what they add up from."""
        return {name: getattr(self, name) for name in _NO_COUNTS}

    @property
    def fault(self) -> str:
        """Why the file, or the attempt, came to nothing; empty when it didn't."""
        return sentence(self.fault_code, self.fault_params) if self.fault_code else ""

    @property
    def fault_for_mail(self) -> str:
        """The same with nothing in it that stands in the file."""
        return sentence(self.fault_code, self.fault_params, discreet=True) if self.fault_code else ""

    @property
    def notices(self) -> list[Statement]:
        """What the user should know of how the file was read."""
        return [Statement.from_stored(stored) for stored in self.stored_notices]

    @property
    def is_finished(self) -> bool:
        return self.state in FINAL

    # --- state moves ------------------------------------------------------------------------------

    def claim(self, request_id: str, *, log_stream: str = "", new_delivery: bool = True) -> bool:
        """Take the run for this worker by one conditional UPDATE; False when another worker has it.

        `attempt` is compared and raised in the same statement, so of several workers exactly one wins,
        and the worker that held it before can't move it any more. A failed run starts over: its deliveries
        are counted from one, and a mail about its failure that has not gone out is dropped.
        """
        seen = self.attempt
        claimed = (
            ImportRun.objects.claimable(request_id)
            .filter(pk=self.pk, attempt=seen)
            .update(
                state=State.RUNNING,
                attempt=seen + 1,
                deliveries=Case(
                    When(state=State.FAILED, then=Value(1)),
                    default=F("deliveries") + int(new_delivery),
                ),
                request_id=request_id,
                log_stream=log_stream,
                code_version=settings.CODE_VERSION[:64],
                lease_expires_at=_lease_end(),
                started_at=Now(),
                finished_at=None,
                notification=Notification.NONE,
                notification_attempts=0,
                notification_error="",
                fault_params={},
                fault_code="",
                read=0,
                bytes_read=0,
            )
        )
        self.refresh_from_db()
        return bool(claimed) and self.attempt == seen + 1

    def keep_alive(self, **fields: Any) -> None:
        """Note what is learnt on the way (size, options, progress) and renew the lease.

        Raises ImpossibleMove when another worker has taken the run over.
        """
        self._update(State.RUNNING, lease_expires_at=_lease_end(), **fields)

    def skip_as_out_of_date(self) -> None:
        """A newer upload of the same key takes the place of this one."""
        self.finish(State.SKIPPED, **_fault(Statement.of("out-of-date")), **_NO_COUNTS)

    def finish(self, state: State, **fields: Any) -> None:
        """Move to a final state; raises ImpossibleMove if that can't follow or the run was taken over."""
        self._update(
            state, finished_at=Now(), lease_expires_at=None, notification_claimed_until=None, **fields
        )

    def reject(self, fault: FileFault, **fields: Any) -> None:
        """The file's own fault: nothing changed, no retry helps."""
        self.finish(State.REJECTED, **_fault(fault.statement), **_NO_COUNTS, **fields)

    def call_off(self, fault: FileFault, **fields: Any) -> None:
        """Too many of its rows are faulty: nothing changed, every row is listed."""
        self.finish(State.REJECTED, **_fault(fault.statement), **fields)

    def fail(self, why: Statement, **fields: Any) -> None:
        """We could not finish and nobody will try again by itself: nothing changed, safe to re-run."""
        self.finish(State.FAILED, **_fault(why), **_NO_COUNTS, **fields)

    def give_back(self, why: Statement) -> None:
        """This attempt is over, the event will be delivered again: wait for it."""
        self._update(
            State.QUEUED,
            lease_expires_at=None,
            **_fault(why),
            **_NO_COUNTS,
        )

    def undo(self, **fields: Any) -> None:
        """What this run did has been taken back, in the caller's transaction."""
        self._update(State.UNDONE, undone_at=Now(), **fields)

    def _update(self, state: State, **fields: Any) -> None:
        """One conditional UPDATE, fenced by `attempt`; nothing is written when it no longer holds."""
        if state not in MOVES[State(self.state)]:
            raise ImpossibleMove(f"run {self.pk} can't move from {self.state} to {state}")
        moved = ImportRun.objects.filter(pk=self.pk, attempt=self.attempt, state=self.state).update(
            state=state, **fields
        )
        if not moved:
            raise ImpossibleMove(f"run {self.pk} was taken over: attempt {self.attempt} is not the last")
        self.state = state
        for name, value in fields.items():
            if not hasattr(value, "resolve_expression"):
                setattr(self, name, value)


_NO_COUNTS = {"read": 0, "inserted": 0, "updated": 0, "unchanged": 0, "rejected": 0}


def _fault(statement: Statement) -> dict[str, Any]:
    return {"fault_code": statement.code, "fault_params": dict(statement.params)}


def _lease_end() -> Any:
    return Now() + timedelta(seconds=settings.IMPORT_LEASE_SECONDS)
