"""Words for people: what the codes of states, problems and triggers mean."""

from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString

from clients.contract.problems import ProblemKind
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

_PROBLEMS = {
    "missing": "empty",
    "too-long": "too long",
    "invalid-email": "not a valid address",
    "invalid-phone": "not a phone number",
    "invalid-status": "not a known status",
    "unknown-client": "no client has this email yet",
    "control-character": "contains an invisible character",
    "duplicate": "same as in an earlier row",
    "conflict": "client already exists with different details",
    "cell-count": "wrong number of cells",
    "quote": "a double quote in the wrong place",
    "called-off": "valid, but the import was cancelled",
}


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


def problem_label(kind: ProblemKind) -> str:
    """A kind of problem in a few words."""
    return f"{kind.column or 'Row'}: {_PROBLEMS.get(kind.code, kind.code)}"


@dataclass(frozen=True, slots=True)
class CountedKind:
    """A kind of problem and how many rows have it."""

    kind: ProblemKind
    rows: int

    @property
    def label(self) -> str:
        return problem_label(self.kind)


def problem_kinds(run: ImportRun) -> list[CountedKind]:
    """The run's problems by kind, the most frequent first."""
    kinds = [CountedKind(ProblemKind.parse(key), rows) for key, rows in run.problem_counts.items()]
    return sorted(kinds, key=lambda counted: (-counted.rows, counted.label))
