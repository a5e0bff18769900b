"""What one CSV record is, apart from any file: lines, quotes, and what to say of a quote gone astray."""

import csv
import re
from collections.abc import Iterator

from clients.contract.problems import FileFault

LINE_BREAK = re.compile(r"\r\n|\r|\n")


class RecordLines:
    """Lines for csv, which takes one after the other; remembers those of the record that it is at."""

    def __init__(self, lines: list[str], first: int) -> None:
        self.ran_out = False  # whether csv wanted more lines than there are
        self._first, self._lines = first, lines
        self._start = self._next = 0  # of what csv is at, and of what it has not taken

    @property
    def line(self) -> int:
        """Number of the next line."""
        return self._first + self._next

    @property
    def at_end(self) -> bool:
        return self._next == len(self._lines)

    def begin_record(self) -> None:
        self._start = self._next

    def record(self) -> list[str]:
        """The lines that csv has taken since begin_record()."""
        return self._lines[self._start : self._next]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.at_end:
            self.ran_out = True
            raise StopIteration
        self._next += 1
        return self._lines[self._next - 1]


def sample_records(lines: list[str], first: int, delimiter: str, most: int) -> list[tuple[int, list[str]]]:
    """The first records with content, each with its line; one that is cut off by the end of the lines is left
    out, so an empty list means that the first record goes on."""
    source = RecordLines(lines, first)
    records = csv.reader(source, delimiter=delimiter, skipinitialspace=True)
    found: list[tuple[int, list[str]]] = []
    while not source.at_end and len(found) < most:
        line = source.line
        cells = next(records, [])
        if source.ran_out:
            break
        if not is_blank(cells):
            found.append((line, cells))
    return found


def parse_record(record: str, delimiter: str) -> tuple[list[str], int | None]:
    """One record's cells, white space around quotes allowed; or where the unreadable cell begins."""
    space = "[ \u00a0]" if delimiter == "\t" else "[ \t\u00a0]"
    delimiter = re.escape(delimiter)
    cell = re.compile(
        rf'{space}*+(?:"((?>(?:[^"]++|"")*))"{space}*+|((?!")[^{delimiter}\r\n]*+))({delimiter}|\r\n|\r|\n|\Z)'
    )
    cells: list[str] = []
    position = 0
    while found := cell.match(record, position):
        quoted, plain, end = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        if end in ("", "\r\n", "\r", "\n"):
            return cells, None
        position = found.end()
    return cells, position


def swallowed_row(line: int, cells: list[str], delimiter: str, width: int, email: int) -> int | None:
    """The line on which a quote opens that has swallowed rows; None where no cell looks like that.

    A stray quote turns the lines up to the next one into one cell. So where a cell has line breaks, its
    lines are put back between the cells before and behind it: a good cell leaves at most one that looks like
    a whole row. `width` is how many cells a row has, `email` where its address stands, `line` the record's.
    """
    for index, cell in enumerate(cells):
        parts = LINE_BREAK.split(cell)
        if len(parts) == 1:
            continue
        rows = [part.split(delimiter) for part in parts]
        rows[0] = cells[:index] + rows[0]
        rows[-1] = rows[-1] + cells[index + 1 :]
        like_rows = sum(len(row) >= width and "@" in row[email] for row in rows)
        # Prose has a space behind its commas; rows, as programs write them, have not.
        exact = len(rows[0]) == len(rows[-1]) == width > 1 and not re.search(
            rf"{re.escape(delimiter)} ", cell
        )
        if like_rows > 1 or (exact and "@" in rows[0][email]):
            return line
        line += len(parts) - 1
    return None


def is_unclosed(record: str, position: int) -> bool:
    """Whether the quote that opens a cell at `position` has no partner in the record."""
    return not re.match(r'[ \t\u00a0]*+"(?>(?:[^"]++|"")*)"', record[position:])


def unclosed_quote(line: int) -> FileFault:
    return FileFault("quote-not-closed", line=line)


def is_blank(cells: list[str]) -> bool:
    """Whether a record is a blank line: nothing in it but white space and delimiters."""
    return not any(map(str.strip, cells))
