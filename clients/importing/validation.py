"""A file's rows through the rules: what becomes of each, and how many have which problem.

Most rows are proven column by column (clients.contract.columnwise); only what that leaves unproven meets the
rules cell by cell. `clients.importing.copy_text` writes down what comes of it.
"""

from collections import Counter
from collections.abc import Iterator

from clients.contract.columns import COLUMNS
from clients.contract.columnwise import NOTHING, ColumnProof, proofs
from clients.contract.octets import as_octets, as_text
from clients.contract.problems import Problem, ProblemKind, Statement
from clients.contract.rules import MalformedRow, Row, Rules
from clients.importing.copy_text import CopyText
from clients.reading.batch import Batch
from clients.reading.reader import CsvReader

_KEPT_OUTCOMES = 1_000  # a file may hold any number of them, memory may not
_HELD_BACK = 20  # rows that may be a footer

Numbered = tuple[int, list[str]]


class ValidatedRows:
    """Drives the reader: `blocks()` yields its rows as COPY text, with the columns `copied`."""

    def __init__(self, reader: CsvReader, rules: Rules) -> None:
        self.reader = reader
        self._rules = rules
        self._layout = reader.layout
        self._proofs: dict[int, ColumnProof] = proofs(self._layout, rules)
        self._text = CopyText(self._layout, reader.delimiter)
        self.read = 0  # rows, without blank lines and what else isn't a row
        self.rejected = 0
        self._outcomes: Counter[tuple[Problem, ...]] = (
            Counter()
        )  # rejected rows by all that is wrong with them
        self._counted: Counter[ProblemKind] = Counter()  # without these
        self._repairs: Counter[tuple[str, str]] = Counter()
        self._skipped: dict[str, list[int]] = {}  # lines that are no rows, by why
        self._least = self._layout.least
        self._footer: list[Numbered] = []
        self._last_row = 0  # line of the last row so far
        self.exhausted = False

    @property
    def copied(self) -> tuple[str, ...]:
        """The staging table's columns in the order of the COPY text."""
        return self._text.columns

    @property
    def valid(self) -> int:
        return self.read - self.rejected

    @property
    def problem_counts(self) -> Counter[ProblemKind]:
        """Rows that have each kind of problem."""
        counts = self._counted.copy()
        for problems, rows in self._outcomes.items():
            for problem in problems:
                counts[problem.kind] += rows
        return counts

    @property
    def notices(self) -> list[Statement]:
        """What the user should know of the rows, complete once `exhausted`."""
        repaired = [
            Statement.of(code, column=column, rows=rows) for (column, code), rows in self._repairs.items()
        ]
        skipped = [
            Statement.of(why, count=len(lines), lines=_listed(lines)) for why, lines in self._skipped.items()
        ]
        return [*repaired, *skipped]

    def blocks(self) -> Iterator[bytes]:
        """COPY text of about a block of the file at a time."""
        for batch in self.reader:
            yield _lines(self._batch(batch))
        yield _lines(self._end())
        self.exhausted = True

    def _batch(self, batch: Batch) -> list[str]:
        """The batch's rows as COPY text."""
        text = self._fitting(batch) if batch.lines else []
        text += [self._look_closely(line, cells) for line, cells in batch.misfits]
        return text

    def _fitting(self, batch: Batch) -> list[str]:
        """Rows with as many cells as the header: proven by columns, the doubtful ones one by one."""
        values: dict[int, list[str]] = {}
        doubtful: dict[int, list[int]] = {}  # by row: columns that are not proven
        for n, proof in self._proofs.items():
            values[n], unproven = proof.prove(batch.columns)
            for row in unproven:
                doubtful.setdefault(row, []).append(n)
        lines = batch.lines
        text = self._text.of_block(batch, values)
        for row in sorted(doubtful):
            cells = [as_text(column[row]) for column in batch.columns]
            text[row] = self._doubtful(lines[row], cells, doubtful[row], row, values)
        proven = len(lines) - len(doubtful)
        if proven:
            last = next(row for row in range(len(lines) - 1, -1, -1) if row not in doubtful)
            self._count(proven, lines[last])
        return text

    def _doubtful(
        self, line: int, cells: list[str], doubtful: list[int], row: int, values: dict[int, list[str]]
    ) -> str:
        """A row of which some columns are not proven: the rules look at these."""
        if self._is_no_row(line, cells):
            return ""
        checked = {
            n: self._rules.check(
                COLUMNS[n], self._layout.feeds[n].take(cells), default=self._layout.feeds[n].default
            )
            for n in doubtful
        }
        problems = tuple([each.problem for each in checked.values() if each.problem])
        if problems:
            return self._told(line, cells, problems, [], {})
        stored = {n: column[row] for n, column in values.items()}
        repairs = []
        for n, each in checked.items():
            stored[n] = NOTHING if each.value is None else _escaped(each.value)
            repairs += [(COLUMNS[n].title, code) for code in each.repairs]
        return self._told(line, cells, (), repairs, stored)

    def _look_closely(self, line: int, cells: list[str]) -> str:
        """A row that doesn't have as many cells as the header."""
        if self._is_no_row(line, cells):
            return ""
        row: Row = self._rules.check_row(cells, self._layout)
        values = {
            n: NOTHING if value is None else _escaped(value)
            for n, value in enumerate(row.values)
            if n in self._proofs
        }
        return self._told(line, cells, row.problems, list(row.repairs), values)

    def _told(
        self,
        line: int,
        cells: list[str],
        problems: tuple[Problem, ...],
        repairs: list[tuple[str, str]],
        values: dict[int, str],
    ) -> str:
        self._count(1, line)
        if not problems:
            self._repairs.update(repairs)
            return self._text.of_valid(line, cells, values)
        self.rejected += 1
        self._outcomes[problems] += 1
        if len(self._outcomes) > _KEPT_OUTCOMES:
            self._counted = self.problem_counts
            self._outcomes.clear()
        return self._text.of_rejected(line, cells, problems)

    def _count(self, rows: int, last: int) -> None:
        self.read += rows
        self._last_row = max(self._last_row, last)

    # --- lines that are no rows

    def _is_no_row(self, line: int, cells: list[str]) -> bool:
        if isinstance(cells, MalformedRow):
            return False
        if not any(map(str.strip, cells)):
            return True
        if cells == ["\x1a"]:
            return True
        if self._layout.is_header(cells):
            self._skip("header-repeated", [line])
            return True
        if len(cells) < self._least and not any("@" in cell for cell in cells):
            if len(self._footer) == _HELD_BACK:
                return False  # so many of them are no footer
            self._footer.append((line, cells))
            return True
        return False

    def _end(self) -> list[str]:
        """What looked like a footer is one if no row stands below it, and some above."""
        text, last = [], self._last_row
        for line, cells in self._footer:
            if 0 < last < line:
                self._skip("footer", [line])
            else:
                text.append(
                    self._told(line, cells, self._rules.check_row(cells, self._layout).problems, [], {})
                )
        return text

    def _skip(self, why: str, lines: list[int]) -> None:
        self._skipped.setdefault(why, []).extend(lines)


def _lines(rows: list[str]) -> bytes:
    """COPY text of these rows; empty ones are left out."""
    text = "\n".join(filter(None, rows))
    return f"{text}\n".encode("latin-1") if text else b""


def _escaped(value: str) -> str:
    return as_octets(value.replace("\\", "\\\\"))


def _listed(lines: list[int]) -> str:
    """Line numbers for a sentence, the first ten of them."""
    shown = ", ".join(f"{line:,}" for line in lines[:10])
    return f"{shown} …" if len(lines) > 10 else shown
