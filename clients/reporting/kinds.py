"""Kinds of problems in a few words, and how many rows of a run have each."""

from dataclasses import dataclass

from clients.contract.problems import ProblemKind
from clients.models.import_run import ImportRun

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
    "several-emails": "more than one address",
    "phone-date": "looks like a date",
    "phone-ip-address": "looks like a computer's address",
    "phone-negative": "looks like a negative number",
    "phone-scientific": "digits lost in a spreadsheet",
    "phone-decimal": "looks like an amount",
    "phone-extension": "has an extension",
    "several-phones": "more than one number",
    "line-quoted": "the whole line is in quotes",
}


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
