"""Words for people: what the codes of states, problems and triggers mean."""

from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString

from clients.models import ImportRun
from clients.models.import_run import Mode, State

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
    "control-character": "holds an invisible control character",
    "duplicate": "stands in the file more than once",
    "conflict": "belongs to a client with other data",
    "cell-count": "wrong number of cells",
    "quote": "a double quote in the wrong place",
    "called-off": "valid, but the import was called off",
}


def badge(run: ImportRun) -> SafeString:
    """The run's state as a badge; a preview says that it is one."""
    kind, sign = _BADGES[State(run.state)]
    badge = format_html(
        '<span class="badge badge-{}"><span aria-hidden="true">{}</span> {}</span>',
        kind,
        sign,
        _PREVIEWED.get(State(run.state), run.get_state_display())
        if run.mode == Mode.PREVIEW
        else run.get_state_display(),
    )
    if run.mode == Mode.PREVIEW:
        return format_html('{} <span class="badge badge-wait">Preview</span>', badge)
    return badge


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A line of `ImportRun.problem_counts`: “column: code” and how many rows have it."""

    key: str
    rows: int

    @property
    def column(self) -> str:
        return self.key.rpartition(": ")[0]

    @property
    def code(self) -> str:
        return self.key.rpartition(": ")[2]

    @property
    def label(self) -> str:
        words = _PROBLEMS.get(self.code, self.code)
        return f"{self.column}: {words}" if self.column else f"Row: {words}"


def problem_kinds(run: ImportRun) -> list[ProblemKind]:
    """The run's problems by kind, the most frequent first."""
    kinds = [ProblemKind(key, rows) for key, rows in run.problem_counts.items()]
    return sorted(kinds, key=lambda kind: (-kind.rows, kind.label))
