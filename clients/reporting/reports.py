"""A run as others read it: the `--json` object of the commands, and its text on a terminal."""

from typing import Any

from clients.models import ImportRun
from clients.models.states import Mode, State

PROBLEMS_SHOWN = 100


def report(run: ImportRun) -> dict[str, Any]:
    """The run as one JSON object (`--json`); problems are capped, `problems_total` is not."""
    problems = [
        {"line": row.line, "column": problem.column, "code": problem.code, "message": problem.message}
        for row in run.rejected_rows.defer("cells")[:PROBLEMS_SHOWN]
        for problem in row.read_problems()
    ]
    return {
        "run": run.pk,
        "state": str(run.state),
        "read": run.read,
        "inserted": run.inserted,
        "updated": run.updated,
        "unchanged": run.unchanged,
        "rejected": run.rejected,
        "fault": run.fault or None,
        "notices": [notice.sentence() for notice in run.notices],
        "problems": problems[:PROBLEMS_SHOWN],
        "problems_total": sum(run.problem_counts.values()),
    }


def as_text(run: ImportRun) -> str:
    """The same for a person."""
    shown = report(run)
    verb = "Preview" if run.mode == Mode.PREVIEW else "Run"
    lines = [f"{verb} {run.pk}, {run.file_name}: {headline(run)}"]
    if run.fault:
        lines.append(run.fault)
    lines += [f"Note: {notice}" for notice in shown["notices"]]
    lines += [f"  line {problem['line']}: {problem['message']}" for problem in shown["problems"]]
    if shown["problems_total"] > len(shown["problems"]):
        lines.append(f"  … and {shown['problems_total'] - len(shown['problems']):,} problems more")
    return "\n".join(lines)


def headline(run: ImportRun) -> str:
    """What happened, in a few words; the same in the mail, the command and the admin."""
    match run.state:
        case State.SUCCEEDED | State.PARTIAL:
            return _imported(run)
        case State.REJECTED if run.fault_code == "cancelled":
            return "cancelled, nothing imported"
        case State.REJECTED:
            return "file rejected, nothing imported"
        case State.FAILED:
            return "import failed, nothing imported"
        case State.UNDONE:
            return f"undone; it was {_imported(run)}"
        case State.QUEUED:
            return "waiting to start"
        case State.RUNNING:
            return "preview under way" if run.mode == Mode.PREVIEW else "import under way"
        case State.SKIPPED:
            return "skipped: a newer upload replaced it"
    return run.get_state_display().lower()


def _imported(run: ImportRun) -> str:
    if not run.read:
        return "no rows in it, nothing imported"
    counts = {
        "new": run.inserted,
        "updated": run.updated,
        "unchanged": run.unchanged,
        "rejected": run.rejected,
    }
    rows = "1 row" if run.read == 1 else f"{run.read:,} rows"
    return f"{rows}: " + ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
