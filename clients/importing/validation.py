"""A file's rows through the rules, into COPY text: valid and rejected ones in one stream."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from clients.contract.columns import COLUMNS, ClientRow
from clients.contract.layout import Layout
from clients.contract.problems import Problem, ProblemKind
from clients.contract.rules import Rules
from clients.reading.reader import CsvReader

_KEPT_OUTCOMES = 1_000


@dataclass(slots=True)
class _Outcome:
    """What rejected rows with the same problems have in common."""

    copied: bytes  # the end of their COPY lines
    rows: int = 0


class ValidatedRows:
    """Drives the reader: `blocks()` yields its rows as COPY text, with the columns `copied`."""

    def __init__(self, reader: CsvReader, statuses: tuple[str, ...]) -> None:
        self.reader = reader
        self._rules = Rules(statuses)
        self._layout = reader.layout
        self._delimiter = reader.delimiter.encode()
        self._to_tabs = bytes.maketrans(self._delimiter, b"\t")
        self._order = _order(self._layout)
        self._in_file_order = itemgetter(*self._order)
        self._no_values = b"\t\\N" * len(self._order)
        self.rejected = 0
        self._outcomes: dict[tuple[Problem, ...], _Outcome] = {}
        self._problem_counts: Counter[ProblemKind] = Counter()  # without those of the outcomes at hand
        self.exhausted = False

    @property
    def copied(self) -> tuple[str, ...]:
        """The staging table's columns in the order of the COPY text: a row's line; as JSON its cells, where
        they differ from what is stored, and its problems; then what is stored, in the file's order."""
        return ("line", "cells", "problems", *(COLUMNS[n].field for n in self._order))

    @property
    def valid(self) -> int:
        return self.reader.rows - self.rejected

    @property
    def problem_counts(self) -> dict[ProblemKind, int]:
        """Rows that have each kind of problem."""
        counts = self._problem_counts.copy()
        for problems, outcome in self._outcomes.items():
            for problem in problems:
                counts[problem.kind] += outcome.rows
        return dict(counts)

    def blocks(self) -> Iterator[bytes]:
        """COPY text of about a block of the file at a time."""
        tests = (
            self._rules.canonical_line(self._layout, self.reader.delimiter, quotes=quotes)
            for quotes in (False, True)
        )
        as_they_stand = self._with_cells if self._layout.unknown else self._as_they_stand
        for batch in self.reader.batches(*tests):
            others = map(self._look_closely, batch.lines, batch.rows)
            yield as_they_stand(batch.canonical) + b"".join(others)
        self.exhausted = True

    def _as_they_stand(self, numbered: list[tuple[int, bytes]]) -> bytes:
        """Canonical lines of a file without other columns: delimiters become tabs; quotes, which stand around
        cells only, and carriage returns go."""
        text = self._without_spaces(b"".join(map(b"%d\t\\N\t\\N\t%b".__mod__, numbered)))
        return text.translate(self._to_tabs, b'"\r')

    def _with_cells(self, numbered: list[tuple[int, bytes]]) -> bytes:
        """Canonical lines of a file with other columns, whose cells its error file would need."""
        known = itemgetter(*sorted(position for position in self._layout.positions if position is not None))
        lines = []
        for number, line in numbered:
            text = self._without_spaces(line).decode().rstrip("\r\n").replace('"', "")
            cells = text.split(self.reader.delimiter)
            values = "\t".join(known(cells))
            lines.append(f"{number}\t{_copy_json(cells)}\t\\N\t{values}\n")
        return "".join(lines).encode()

    def _without_spaces(self, text: bytes) -> bytes:
        """Canonical text without the space that may follow a delimiter."""
        return text.replace(self._delimiter + b" ", self._delimiter)

    def _look_closely(self, line: int, cells: list[str]) -> bytes:
        """The COPY line of a row that needs a repair, or is rejected."""
        cleaned = self._rules.clean_row(cells, self._layout)
        if isinstance(cleaned, ClientRow):
            values = "\t".join(self._in_file_order(cleaned)).replace("\\", "\\\\")
            return f"{line}\t{_copy_json(cells)}\t\\N\t{values}\n".encode()
        self.rejected += 1
        problems = tuple(cleaned)
        outcome = self._outcomes.get(problems) or self._new_outcome(problems)
        outcome.rows += 1
        return f"{line}\t{_copy_json(cells)}\t".encode() + outcome.copied

    def _new_outcome(self, problems: tuple[Problem, ...]) -> _Outcome:
        """An outcome that no row at hand has had; a file may hold any number of them, memory may not."""
        if len(self._outcomes) == _KEPT_OUTCOMES:
            self._problem_counts = Counter(self.problem_counts)
            self._outcomes.clear()
        listed = json.dumps([problem.as_stored() for problem in problems], ensure_ascii=False)
        outcome = _Outcome(listed.replace("\\", "\\\\").encode() + self._no_values + b"\n")
        self._outcomes[problems] = outcome
        return outcome


def _order(layout: Layout) -> list[int]:
    """Indices into COLUMNS of the columns that the file has, in the file's order."""
    known = ((position, n) for n, position in enumerate(layout.positions) if position is not None)
    return [n for _, n in sorted(known)]


def _copy_json(cells: list[str]) -> str:
    """A JSON list of strings, its backslashes doubled for COPY."""
    text = '","'.join(cells)
    if text.isprintable() and "\\" not in text and text.count('"') == 2 * len(cells) - 2:
        return f'["{text}"]'  # nothing to escape
    # PostgreSQL's text can't hold NUL; its visible symbol stands for it.
    shown = [cell.replace("\0", "␀") for cell in cells]
    return json.dumps(shown, ensure_ascii=False).replace("\\", "\\\\")
