"""What a run's page shows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import urlencode

from clients import actions
from clients.admin.labels import badge, problem_kinds
from clients.admin.rejected_rows import RejectedRows
from clients.models import ImportRun
from clients.models.import_run import Mode, Notification, State
from clients.reports import headline


@dataclass(frozen=True, slots=True)
class Step:
    """A moment of a run's life. `note` says more, where there is more to say."""

    when: datetime | None
    what: str
    note: str = ""


def context(run: ImportRun, request: HttpRequest) -> dict[str, Any]:
    """The template's variables, for the person who asks."""
    user = request.user
    may_rerun = user.has_perm("clients.rerun_importrun")
    return {
        "run": run,
        "badge": badge(run),
        "headline": headline(run),
        "counts": counts(run),
        "timeline": timeline(run),
        "kinds": problem_kinds(run),
        "rejected": RejectedRows(run, request.GET, with_cells=user.has_perm("clients.view_rejectedrow"))
        if run.rejected
        else None,
        "children": list(run.children.order_by("id")[:20]),
        "log_url": log_url(run),
        "is_preview": run.mode == Mode.PREVIEW,
        "may_rerun": may_rerun,
        "may_import_now": may_rerun
        and run.mode == Mode.PREVIEW
        and run.state in (State.SUCCEEDED, State.PARTIAL),
        "why_not_rerun": actions.why_not_repeat(run) if may_rerun else "",
    }


def counts(run: ImportRun) -> list[tuple[str, int]]:
    """The rows read, and what they add up from."""
    return [
        ("Read", run.read),
        ("New", run.inserted),
        ("Updated", run.updated),
        ("Unchanged", run.unchanged),
        ("Rejected", run.rejected),
    ]


def timeline(run: ImportRun) -> list[Step]:
    """The run's life in order; a step that has not come yet is left out."""
    attempts = f"attempt {run.attempt}" if run.attempt > 1 else ""
    steps = [
        Step(run.event_at, "Uploaded to S3") if run.event_at else None,
        Step(run.created_at, "Received", run.get_trigger_display()),
        Step(run.started_at, "Started", attempts) if run.started_at else None,
        Step(run.finished_at, "Finished", _duration(run)) if run.finished_at else None,
        _mail(run),
    ]
    return [step for step in steps if step]


def _duration(run: ImportRun) -> str:
    if not (run.started_at and run.finished_at):
        return ""
    return f"after {(run.finished_at - run.started_at).total_seconds():.1f} seconds"


def _mail(run: ImportRun) -> Step | None:
    match run.notification:
        case Notification.SENT:
            return Step(run.notified_at, "Mail sent", f"to {settings.NOTIFICATION_EMAIL}")
        case Notification.PENDING if run.notification_error:
            return Step(None, "Mail not sent yet", f"{run.notification_error}; it will be tried again")
        case Notification.PENDING:
            return Step(None, "Mail waiting to be sent")
    return None


def log_url(run: ImportRun) -> str:
    """The run's log stream in the CloudWatch console; empty where there is none."""
    if not run.log_stream or settings.LOCAL:
        return ""

    def quoted(name: str) -> str:  # the console wants its parts encoded twice, % written as $
        return urlencode({"": name})[1:].replace("+", "%20").replace("%", "$25")

    return (
        f"https://{settings.AWS_REGION}.console.aws.amazon.com/cloudwatch/home?region={settings.AWS_REGION}"
        f"#logsV2:log-groups/log-group/{quoted('/aws/lambda/' + settings.IMPORT_FUNCTION)}"
        f"/log-events/{quoted(run.log_stream)}"
    )
