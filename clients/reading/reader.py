"""Lines → rows of cells: delimiter, header, records, limits. Streams; knows no database.

Each step is a generator over the one before, so memory stays at a few blocks whatever the file's size.
Line numbers are those an editor shows: a row stands on the line where it begins.

Rows come in batches of about a block. Most lines of most files are one row each that needs no further look:
whoever iterates says how such a line is told (see rules.py), and those are handed on as they stand. Of the
others, a block without a double quote needs no CSV parser, its lines are split at the delimiter; in a block
with one, Python's csv reads record by record.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from clients.contract.columns import COLUMNS, TITLES, column_of
from clients.contract.layout import DEFAULT_LAYOUT, Layout, layout_of
from clients.contract.problems import FileFault, Statement
from clients.contract.rules import LineTest, MalformedRow
from clients.reading.lines import Block, BlockLines, TextLines, row_too_long
from clients.reading.records import (
    LINE_BREAK,
    first_record,
    is_blank,
    is_unclosed,
    line_of_cell_around,
    parse_record,
    unclosed_quote,
)
from clients.reading.source import ByteStream, Limits, StoredFile

_DELIMITERS = (",", ";", "\t", "|")

_ENOUGH_LINES = 50  # of a block that needed a further look, all of its first ones

# The row limit below is ours, with a message; csv's own limit would come first and says less.
csv.field_size_limit(2**31 - 1)


class Batch(NamedTuple):
    """Some rows of a file: cells and the line on which each begins, in the file's order; and besides these,
    lines that need no further look, with their numbers."""

    lines: list[int]
    rows: list[list[str]]
    canonical: list[tuple[int, bytes]]


def _none(line: bytes) -> None:
    """No line goes without a further look."""


class CsvReader:
    """Iterates over a CSV file's data rows in batches; `layout` says which cell is which column.

    Opening it reads the header. Raises FileFault, at once or while iterating, when the file can't be
    imported. What the user should know of how it was read is in `notices`, complete at the end.
    """

    def __init__(self, stream: ByteStream, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.rows = 0
        self._file = StoredFile(stream, self.limits)
        self._notices: list[Statement] = []
        self._text = TextLines(self._file, self.limits.row_characters)
        self._blocks = iter(self._text)
        self.delimiter, self.layout, self._headed = self._look_at_first_line()
        separator = re.escape(self.delimiter.encode())
        self._space_before_quote = re.compile(rb'(?:^|[\r\n]|%b) +"' % separator)

    @property
    def bytes_read(self) -> int:
        """Stored bytes read so far, before decompression."""
        return self._file.bytes_read

    @property
    def sha256(self) -> str:
        """Hex digest of the stored file, complete once iteration has ended."""
        return self._file.sha256

    @property
    def notices(self) -> list[Statement]:
        """What the user should know of how the file was read."""
        count, first = self._text.not_utf8, self._text.first_not_utf8
        if not count:
            return self._notices
        if count == 1:
            return [*self._notices, Statement.of("line-assumed-windows-1252", line=first)]
        return [*self._notices, Statement.of("lines-assumed-windows-1252", lines=count, line=first)]

    def __iter__(self) -> Iterator[Batch]:
        """Every row as its cells."""
        return self.batches(_none, _none)

    def batches(self, canonical: LineTest, canonical_between_quotes: LineTest) -> Iterator[Batch]:
        """Every row that isn't blank: lines that pass the test as they stand, the others as their cells.

        A test may let a line pass only if it is one row, whatever stands before and after it. The second one
        is asked where double quotes are about; it may let cells pass that stand between them.
        """
        batches = self._batches(canonical, canonical_between_quotes)
        if self._headed:
            batches = _without_header(batches)
        for batch in batches:
            self.rows += len(batch.rows) + len(batch.canonical)
            if self.rows > self.limits.rows:
                raise self._too_many_rows()
            yield batch

    def _look_at_first_line(self) -> tuple[str, Layout, bool]:
        """The delimiter, the layout, and whether the first line is a header; no row is taken yet."""
        block = next(
            (block for block in self._blocks if not block.text.decode().isspace()), Block(1, b"", [])
        )
        delimiters: Sequence[str] = _DELIMITERS
        if separator := re.match(rb"sep=([,;\t|])(?:\r\n|\r|\n)", block.text):  # Excel's own convention
            delimiters = separator[1].decode()
            block = Block(block.first + 1, block.text[separator.end() :], block.lines[1:])
        if not block.text.strip():
            raise FileFault("empty")
        self._blocks = chain([block], self._blocks)
        lines = [line.decode() for line in block.lines]
        firsts = {delimiter: first_record(lines, delimiter) for delimiter in delimiters}
        known = {d: sum(column_of(cell) is not None for cell in cells) for d, cells in firsts.items()}
        best = max(delimiters, key=lambda delimiter: (known[delimiter], len(firsts[delimiter])))
        if known[best] < 2:
            for delimiter, cells in firsts.items():
                if _is_client(cells):
                    self._notices.append(Statement.of("no-header", titles=", ".join(TITLES)))
                    return delimiter, DEFAULT_LAYOUT, False
        return best, self._layout_of(firsts[best], block.first), True

    def _layout_of(self, header: list[str], line: int) -> Layout:
        if len(header) > self.limits.cells_per_row:
            raise self._too_many_cells(line, len(header))
        layout = layout_of(header)
        if layout.unknown:
            names = [f"“{title[:40]}”" if title else "one without a name" for title in layout.unknown]
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            self._notices.append(
                Statement.of("columns-ignored", titles=f"{', '.join(names[:10])}{more}", count=len(names))
            )
        return layout

    def _batches(self, canonical: LineTest, canonical_between_quotes: LineTest) -> Iterator[Batch]:
        """Every record that isn't blank, in batches of about a block."""
        block = next(self._blocks, None)
        while block:
            following = next(self._blocks, None)
            quotes = b'"' in block.text
            test = canonical_between_quotes if quotes else canonical
            if len(block.text) > self.limits.row_characters:
                test = _none  # a line of it may be over that limit
            batch = Batch([], [], [])
            if quotes:
                open_lines = self._parse(batch, block, test, is_last=following is None)
                following = following and self._joined(open_lines, following)
            else:
                self._split(batch, block, test)
            self._check_limits(batch, len(block.text))
            yield batch
            block = following

    def _joined(self, open_lines: list[bytes], block: Block) -> Block:
        """A block with the lines before it of a record that goes on in it."""
        if sum(len(line.decode()) for line in open_lines) > self.limits.row_characters:
            raise row_too_long(block.first - len(open_lines), self.limits.row_characters)
        return Block(
            block.first - len(open_lines), b"".join(open_lines) + block.text, open_lines + block.lines
        )

    def _split(self, batch: Batch, block: Block, test: LineTest) -> None:
        """The rows of a block without any double quote."""
        for line, text in enumerate(block.lines, block.first):
            if test(text):
                batch.canonical.append((line, text))
                continue
            cells = text.decode().rstrip("\r\n").split(self.delimiter)
            if len(cells) > 1 or not is_blank(cells):
                batch.lines.append(line)
                batch.rows.append(cells)
            if len(batch.lines) == _ENOUGH_LINES and not batch.canonical:
                test = _none  # to go on asking would be for nothing

    def _parse(self, batch: Batch, block: Block, test: LineTest, *, is_last: bool) -> list[bytes]:
        """The rows of a block by Python's csv. Returns the lines of a record that goes on in the next one."""
        source = BlockLines(block)
        parser = csv.reader(
            source,
            delimiter=self.delimiter,
            strict=True,
            # Where no quote stands behind a space, cells keep their spaces for the error file.
            skipinitialspace=b' "' in block.text and bool(self._space_before_quote.search(block.text)),
        )
        while True:
            batch.canonical.extend(source.take_while(test))
            if source.at_end:
                return []
            line = source.line
            try:
                cells = next(parser)
            except csv.Error:
                if source.ran_out and not is_last:
                    return source.record()
                cells = self._reread([text.decode() for text in source.record()], line)
            if is_blank(cells):
                continue
            if source.line > line + 1:
                self._refuse_swallowed_rows(line, cells)
            batch.lines.append(line)
            batch.rows.append(cells)

    def _reread(self, lines: Sequence[str], line: int) -> list[str]:
        """A record that csv's strict mode refused: mended where only spaces are in the way."""
        record = "".join(lines)
        cells, position = parse_record(record, self.delimiter)
        if position is None:
            return cells
        if len(lines) > 1 or is_unclosed(record, position):
            opened = line + len(LINE_BREAK.findall(record, 0, position))
            raise unclosed_quote(opened)
        return MalformedRow([record.rstrip("\r\n")])

    def _refuse_swallowed_rows(self, line: int, cells: list[str]) -> None:
        """A stray quote turns the lines up to the next one into one cell: look for rows in a record.

        Without the quotes, a good cell with line breaks leaves at most one line that looks like a whole
        row; when two do, one of them was about to vanish in the other.
        """
        width = self.layout.width
        if not width:
            return
        position = self.layout.email_position
        rows = []
        for number, text in enumerate(LINE_BREAK.split(self.delimiter.join(cells)), start=line):
            parts = text.split(self.delimiter)
            if len(parts) >= width and "@" in parts[position]:
                rows.append(number)
        if len(rows) > 1:
            raise unclosed_quote(line_of_cell_around(rows[1], line, cells))

    def _check_limits(self, batch: Batch, size: int) -> None:
        """Raises FileFault at the first row that is over a limit; cheap where, by the size, none can be."""
        most = self.limits.cells_per_row
        if max(map(len, batch.rows), default=0) > most:
            raise next(
                self._too_many_cells(line, len(cells))
                for line, cells in zip(batch.lines, batch.rows, strict=True)
                if len(cells) > most
            )
        if size > self.limits.row_characters:
            for line, cells in zip(batch.lines, batch.rows, strict=True):
                if sum(map(len, cells)) > self.limits.row_characters:
                    raise row_too_long(line, self.limits.row_characters)

    def _too_many_cells(self, line: int, count: int) -> FileFault:
        return FileFault("too-many-cells", line=line, cells=count, limit=self.limits.cells_per_row)

    def _too_many_rows(self) -> FileFault:
        return FileFault("too-many-rows", limit=self.limits.rows)


def _without_header(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same, from the first row on after the one that says anything."""
    for batch in batches:
        for number, cells in enumerate(batch.rows, 1):
            if any(map(str.strip, cells)):
                yield Batch(batch.lines[number:], batch.rows[number:], batch.canonical)
                yield from batches
                return


def _is_client(cells: list[str]) -> bool:
    """Whether a first line is a client rather than a header: five cells, the second an email address."""
    if len(cells) != len(COLUMNS):
        return False
    try:
        validate_email(cells[1].strip())
    except ValidationError:
        return False
    return True
