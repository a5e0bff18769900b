"""What a run's page shows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import urlencode

from clients import actions
from clients.admin.labels import badge
from clients.admin.rejected_rows import RejectedRows
from clients.admin.undo_page import left_alone
from clients.contract.columns import TITLES
from clients.models import ImportRun
from clients.models.states import Mode, Notification, State
from clients.reporting.kinds import problem_kinds
from clients.reporting.reports import headline

# What the browser's tab says, so that one sees from another tab that it is done.
_TITLES = {
    State.QUEUED: "… Waiting",
    State.RUNNING: "… Importing",
    State.SUCCEEDED: "✓ Done",
    State.PARTIAL: "! Rows need correction",
    State.REJECTED: "✕ Not imported",
    State.FAILED: "✕ Failed",
    State.SKIPPED: "» Skipped",
    State.UNDONE: "↶ Undone",
}


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
    is_preview = run.mode == Mode.PREVIEW
    imported = run.state in (State.SUCCEEDED, State.PARTIAL)
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
        "corrections": list(run.corrections.order_by("id")[:20]),
        "log_url": log_url(run),
        "progress": progress(run),
        "is_preview": is_preview,
        "sample": sample(run) if user.has_perm("clients.view_client") else None,
        "may_rerun": may_rerun,
        "may_import_now": may_rerun and is_preview and imported and run.read > run.rejected,
        "imported_by": actions.imported_by(run) if is_preview else None,
        "may_cancel": may_rerun and run.state in (State.QUEUED, State.RUNNING),
        "page_title": f"{_TITLES[State(run.state)]}: {run.file_name}",
        "may_undo": user.has_perm("clients.undo_importrun")
        and imported
        and not is_preview
        and bool(run.inserted or run.updated or run.rests_on),
        "undo_is_under_way": actions.undo_is_under_way(run),
        "left_alone": left_alone(run, run.undo_result) if user.has_perm("clients.view_client") else [],
        "may_download": user.has_perm("clients.view_rejectedrow"),
        "why_not_rerun": actions.why_not_repeat(run) if may_rerun else "",
    }


def progress(run: ImportRun) -> dict[str, Any]:
    """How far the run is, for its page's script; `percent` is None while nobody can tell."""
    under_way = actions.undo_is_under_way(run)
    working = run.state in (State.QUEUED, State.RUNNING) or under_way
    percent = None
    if run.state == State.RUNNING and run.size:
        # The bytes are read while rows are checked; writing them to the table comes after that.
        percent = min(99, run.bytes_read * 100 // run.size)
    return {"working": working, "percent": percent, "text": _progress_text(run, under_way)}


def _progress_text(run: ImportRun, under_way: bool) -> str:
    if under_way:
        return "The undo is under way."
    match run.state:
        case State.QUEUED if run.fault:
            return f"{run.fault} It will be tried again."
        case State.QUEUED:
            return "Waiting to start."
        case State.RUNNING if run.size and run.bytes_read >= run.size:
            return f"All {run.read:,} rows checked; writing them to the clients table."
        case State.RUNNING:
            return f"{run.read:,} rows checked so far."
    return ""


def sample(run: ImportRun) -> dict[str, Any]:
    """Of a preview: some clients it would insert, and update with what changes. Empty without any."""
    updated = [
        {
            **row,
            "changes": [
                (title, old, new)
                for title, old, new in zip(TITLES, row["old"], row["new"], strict=True)
                if old != new
            ],
            "name": row["old"][0],
            "email": row["old"][1],
        }
        for row in run.sample.get("updated", [])
    ]
    return {"new": run.sample.get("new", []), "updated": updated, "titles": TITLES}


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
    undone_by = f"by {run.undo_requested_by}" if run.undo_requested_by else ""
    steps = [
        Step(run.event_at, "Uploaded to S3") if run.event_at else None,
        Step(run.created_at, "Received", run.get_trigger_display()),
        Step(run.started_at, "Started", attempts) if run.started_at else None,
        Step(run.finished_at, "Finished", _duration(run)) if run.finished_at else None,
        _mail(run),
        Step(run.undone_at, "Undone", undone_by) if run.undone_at else None,
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
