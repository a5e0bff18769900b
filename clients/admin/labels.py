"""Words for people: what the codes of states mean."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from clients.models import ImportRun
from clients.models.states import Mode, State

# Which of the stylesheet's four badges a state wears, and the sign that tells it without colour.
_BADGES = {
    State.QUEUED: ("wait", "…"),
    State.RUNNING: ("wait", "▸"),
    State.SUCCEEDED: ("good", "✓"),
    State.PARTIAL: ("warn", "!"),
    State.REJECTED: ("bad", "✕"),
    State.FAILED: ("bad", "✕"),
    State.SKIPPED: ("wait", "»"),
    State.UNDONE: ("wait", "↶"),
}

# A preview imports nothing, not even partly.
_PREVIEWED = {State.SUCCEEDED: "No problems", State.PARTIAL: "Some problems"}


def badge(run: ImportRun) -> SafeString:
    """The run's state as a badge; a preview says that it is one."""
    kind, sign = _BADGES[State(run.state)]
    text = run.get_state_display()
    if run.mode == Mode.PREVIEW:
        text = _PREVIEWED.get(State(run.state), text)
    if run.fault_code == "cancelled":
        (kind, sign), text = _BADGES[State.SKIPPED], "Cancelled"
    elif run.mode == Mode.IMPORT and run.state == State.PARTIAL and run.read == run.rejected:
        (kind, sign), text = _BADGES[State.REJECTED], "Nothing imported"
    badge = format_html(
        '<span class="badge badge-{}"><span aria-hidden="true">{}</span> {}</span>',
        kind,
        sign,
        text,
    )
    if run.mode == Mode.PREVIEW:
        return format_html('{} <span class="badge badge-wait">Preview</span>', badge)
    return badge
