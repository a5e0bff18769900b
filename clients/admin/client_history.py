"""What happened to one client: the imports that wrote it, and what people edited."""

from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType

from clients.contract.columns import COLUMNS
from clients.models import Client, ImportRun
from clients.models.states import State

_SHOWN = 100
_VERBS = {ADDITION: "Added", CHANGE: "Edited", DELETION: "Deleted"}
# An email is what an import knows a client by, so none ever changes it.
_COLUMNS = [column for column in COLUMNS if column.field != "email"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `before` holds the client's data until then, as (title, value)."""

    when: datetime
    what: str
    run: ImportRun | None = None
    line: int | None = None
    before: list[tuple[str, str]] = field(default_factory=list)
    note: str = ""


def history(client: Client) -> list[Event]:
    """Everything known, the newest first."""
    events = [*_inserted(client), *_updated(client), *_edited(client)]
    return sorted(events, key=lambda event: event.when, reverse=True)


def _inserted(client: Client) -> list[Event]:
    run = client.created_by_run_id and ImportRun.objects.filter(pk=client.created_by_run_id).first()
    if not run:
        return [] if client.created_by_run_id is None else [Event(client.created_at, "Imported")]
    return [Event(client.created_at, "Imported", run, client.created_from_line)]


def _updated(client: Client) -> list[Event]:
    events = []
    for change in client.changes.select_related("run").order_by("-run")[:_SHOWN]:
        before = [(column.title, getattr(change, column.field)) for column in _COLUMNS]
        events.append(Event(change.created_at, "Updated", change.run, change.line, before))
        if change.run.state == State.UNDONE and change.run.undone_at:
            events.append(Event(change.run.undone_at, _what_the_undo_did(client, change.run), change.run))
    return events


def _what_the_undo_did(client: Client, run: ImportRun) -> str:
    """An undo leaves a client as it is that was changed since; only so many of these are named."""
    listed = run.undo_result.get("listed", [])
    if any(pk == client.pk for pk, _ in listed):
        return "Left as it was when the import was undone"
    if run.undo_result.get("left_alone", 0) > len(listed):
        return "Import undone, for clients not changed since"
    return "Undone"


def _edited(client: Client) -> list[Event]:
    entries = (
        LogEntry.objects.filter(
            content_type=ContentType.objects.get_for_model(Client), object_id=str(client.pk)
        )
        .select_related("user")
        .order_by("-id")[:_SHOWN]
    )
    return [
        Event(
            entry.action_time, f"{_VERBS[entry.action_flag]} by {entry.user}", note=entry.get_change_message()
        )
        for entry in entries
    ]
