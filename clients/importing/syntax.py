"""What one CSV record is, apart from any file: lines, quotes, and what to say of a quote gone astray."""

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from clients.importing.columns import LineTest
from clients.importing.problems import FileFault

LINE_BREAK = re.compile(r"\r\n|\r|\n")


class Block(NamedTuple):
    """Whole lines of a file, as UTF-8."""

    first: int  # number of the first line
    text: bytes
    lines: list[bytes]  # the same text, each with its break


class OpenLines:
    """The lines of a block for csv, which takes one after the other, and of further blocks for as long as a
    record is open. Raises FileFault when such a record is over the limit, in characters."""

    def __init__(self, block: Block, blocks: Iterator[Block], limit: int) -> None:
        self.size = len(block.text)  # bytes of the blocks taken up
        self._first, _, self._lines = block
        self._blocks = blocks
        self._limit = limit
        self._begin = self._next = 0  # of what csv is at, and of what it has not taken

    @property
    def line(self) -> int:
        """Number of the next line."""
        return self._first + self._next

    @property
    def at_end(self) -> bool:
        """Whether no line is left of the blocks taken up."""
        return self._next == len(self._lines)

    def take_while(self, test: LineTest) -> Iterator[tuple[int, bytes]]:
        """Lines past csv, each with its number, up to the first that does not pass: a record begins there."""
        while not self.at_end and test(text := self._lines[self._next]):
            yield self.line, text
            self._next += 1
        self._begin = self._next

    def record(self) -> list[str]:
        """The lines that csv has taken of the record that it is at."""
        return [line.decode() for line in self._lines[self._begin : self._next]]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.at_end:
            self._open_block()
        self._next += 1
        return self._lines[self._next - 1].decode()

    def _open_block(self) -> None:
        """Take up another block; raises StopIteration when there is none."""
        record = self.record()
        if sum(map(len, record)) > self._limit:
            raise row_too_long(self._first + self._begin, self._limit)
        block = next(self._blocks)
        self.size += len(block.text)
        self._lines = [*self._lines[self._begin :], *block.lines]
        self._first += self._begin
        self._begin, self._next = 0, len(record)


def first_record(lines: list[str], delimiter: str) -> list[str]:
    records = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    return next((cells for cells in records if "".join(cells).strip()), [])


def parse_record(record: str, delimiter: str) -> tuple[list[str], int | None]:
    """One record's cells, spaces after a closing quote allowed; or where the unreadable cell begins."""
    delimiter = re.escape(delimiter)
    cell = re.compile(
        rf' *+(?:"((?:[^"]++|"")*+)" *+|((?!")[^{delimiter}\r\n]*+))({delimiter}|\r\n|\r|\n|\Z)'
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


def line_of_cell_around(number: int, line: int, cells: list[str]) -> int:
    """The line on which the cell begins that goes on over line `number`, in a record from `line` on."""
    for cell in cells:
        end = line + len(LINE_BREAK.findall(cell))
        if end >= number:
            return line
        line = end
    return line


def is_unclosed(record: str, position: int) -> bool:
    """Whether the quote that opens a cell at `position` has no partner in the record."""
    return not re.match(r' *+"(?:[^"]++|"")*+"', record[position:])


def unclosed_quote(line: int) -> FileFault:
    return FileFault(
        "quote-not-closed",
        f"A double quote opens on line {line} and is not closed where its cell ends, so the lines after it "
        "can't be told apart. Remove it, or write it twice inside a quoted cell, and upload the file again.",
    )


def row_too_long(line: int, limit: int) -> FileFault:
    return FileFault(
        "row-too-long",
        f"The row that begins on line {line} is longer than {limit:,} characters. "
        "Perhaps a double quote that opens there is never closed, or the file has no line breaks.",
    )


def is_blank(cells: list[str]) -> bool:
    """Whether a record is a blank line: nothing in it but white space."""
    return len(cells) < 2 and not "".join(cells).strip()
