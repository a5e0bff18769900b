"""Bytes → rows of cells: encoding, delimiter, header, records, limits. Streams; knows no database.

Each step is a generator over the one before, so memory stays at a few blocks whatever the file's size.
Line numbers are those an editor shows: a row stands on the line where it begins.

Rows come in batches of about a block. A block without a double quote needs no CSV parser: its lines are
split at the delimiter, which is several times faster. From a block with one on, Python's csv reads until
no record is open.
"""

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from clients.importing.columns import COLUMNS, DEFAULT_LAYOUT, TITLES, Layout, column_of, layout_of
from clients.importing.problems import FileFault, MalformedRow
from clients.importing.stored import ByteStream, Limits, StoredFile
from clients.importing.syntax import (
    LINE_BREAK,
    first_record,
    is_blank,
    is_unclosed,
    line_of_cell_around,
    lines_of,
    parse_record,
    unclosed_quote,
)

_DELIMITERS = (",", ";", "\t", "|")

# The row limit below is ours, with a message; csv's own limit would come first and says less.
csv.field_size_limit(2**31 - 1)


class Batch(NamedTuple):
    """Some rows in the file's order, and the line on which each begins."""

    lines: Sequence[int]
    rows: list[list[str]]


class CsvReader:
    """Iterates over a CSV file's data rows in batches; `layout` says which cell is which column.

    Opening it reads the header. Raises FileFault, at once or while iterating, when the file can't be
    imported. What the user should know of how it was read is in `notices`, complete at the end.
    """

    def __init__(self, stream: ByteStream, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.rows = 0
        self._file = StoredFile(stream, self.limits)
        self._notices: list[str] = []
        self._not_utf8 = (0, 0)  # number of such lines, line of the first
        self._decoded_lines = 0  # in the blocks taken up so far
        self._line = 0  # last line of the last complete record
        self._window: list[str] = []  # the lines of the blocks in which a record is open
        self._window_first = 1  # line number of _window[0]
        self._open_size = 0  # characters in the blocks that the last batch came from
        self._blocks = self._text_blocks()
        self._delimiter, self.layout, self._headed = self._look_at_first_line()
        self._space_before_quote = re.compile(rf'(?:^|{re.escape(self._delimiter)}) +"', re.MULTILINE)

    @property
    def bytes_read(self) -> int:
        """Stored bytes read so far, before decompression."""
        return self._file.bytes_read

    @property
    def sha256(self) -> str:
        """Hex digest of the stored file, complete once iteration has ended."""
        return self._file.sha256

    @property
    def notices(self) -> list[str]:
        """Sentences about how the file was read."""
        count, first = self._not_utf8
        if not count:
            return self._notices
        lines = f"Line {first} is" if count == 1 else f"{count:,} lines, the first of them line {first}, are"
        return [
            *self._notices,
            f"{lines} not UTF-8, so Windows-1252 was assumed there. Check names with accents; "
            "saving the file as “CSV UTF-8” avoids this.",
        ]

    def __iter__(self) -> Iterator[Batch]:
        batches = self._batches()
        if self._headed:
            first = next(batch for batch in batches if batch.rows)
            batches = chain([Batch(first.lines[1:], first.rows[1:])], batches)
        for batch in batches:
            if batch.rows:
                self.rows += len(batch.rows)
                self._check_limits(batch)
                yield batch

    # --- text -------------------------------------------------------------------------------------

    def _text_blocks(self) -> Iterator[str]:
        """The file as text, in blocks of whole lines."""
        rest = b""
        for block in self._file:
            data = rest + block
            # A carriage return at the very end may be half of a line break: it waits for the next block.
            cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
            rest = data[cut:]
            if cut:
                yield self._decode(data[:cut])
            if len(rest) > 4 * self.limits.row_characters:
                raise self._row_too_long(self._decoded_lines + 1)
        if rest:
            yield self._decode(rest)

    def _decode(self, data: bytes) -> str:
        """Text; a line that isn't UTF-8 is read as Windows-1252, the others as they are."""
        try:
            return data.decode()
        except UnicodeDecodeError:
            lines = data.splitlines(keepends=True)
            numbers = range(self._decoded_lines + 1, self._decoded_lines + 1 + len(lines))
            return "".join(map(self._decode_line, lines, numbers))

    def _decode_line(self, line: bytes, number: int) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            count, first = self._not_utf8
            self._not_utf8 = (count + 1, first or number)
            return _windows_1252(line)

    # --- records --------------------------------------------------------------------------------

    def _look_at_first_line(self) -> tuple[str, Layout, bool]:
        """The delimiter, the layout, and whether the first line is a header; no row is taken yet."""
        text = ""
        for text in self._blocks:
            if not text.isspace():
                break
            self._decoded_lines += len(lines_of(text))
        self._line = self._decoded_lines
        if separator := re.match(r"sep=([,;\t|])(?:\r\n|\r|\n)", text):  # Excel's own convention
            text = text[separator.end() :]
            self._line = self._decoded_lines = self._decoded_lines + 1
        if not text or text.isspace():
            raise FileFault("empty", "The file is empty. Export it again and check it before you upload it.")
        self._blocks = chain([text], self._blocks)
        delimiters = separator[1] if separator else _DELIMITERS
        lines = lines_of(text)
        firsts = {delimiter: first_record(lines, delimiter) for delimiter in delimiters}
        known = {d: sum(column_of(cell) is not None for cell in cells) for d, cells in firsts.items()}
        best = max(delimiters, key=lambda delimiter: (known[delimiter], len(firsts[delimiter])))
        if known[best] < 2:
            for delimiter, cells in firsts.items():
                if _is_client(cells):
                    self._notices.append(
                        "The file has no header line; its columns were read in the order "
                        f"{', '.join(TITLES)}."
                    )
                    return delimiter, DEFAULT_LAYOUT, False
        return best, self._layout_of(firsts[best]), True

    def _layout_of(self, header: list[str]) -> Layout:
        if len(header) > self.limits.cells_per_row:
            raise self._too_many_cells(self._line + 1, len(header))
        layout = layout_of(header)
        if layout.unknown:
            names = [f"“{title[:40]}”" if title else "one without a name" for title in layout.unknown]
            more = f" and {len(names) - 10} more" if len(names) > 10 else ""
            self._notices.append(
                f"Columns that are not part of a client were ignored: {', '.join(names[:10])}{more}."
            )
        return layout

    def _batches(self) -> Iterator[Batch]:
        """Every record that isn't blank, in batches of about a block."""
        for text in self._blocks:
            yield self._parse(text) if '"' in text else self._split(text)

    def _split(self, text: str) -> Batch:
        """The rows of a block without any double quote."""
        delimiter = self._delimiter
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        first = self._line + 1
        rows = [line.split(delimiter) for line in text.removesuffix("\n").split("\n")]
        self._decoded_lines = self._line = self._line + len(rows)
        self._open_size = len(text)
        if min(map(len, rows)) > 1:
            return Batch(range(first, first + len(rows)), rows)
        numbered = [(n, cells) for n, cells in enumerate(rows, first) if not is_blank(cells)]
        return Batch([n for n, _ in numbered], [cells for _, cells in numbered])

    def _parse(self, text: str) -> Batch:
        """The rows of a block by Python's csv, and of as many more blocks as its last record needs."""
        lines: list[int] = []
        rows: list[list[str]] = []
        before = self._line
        parser = csv.reader(
            chain.from_iterable(self._feed(text)),
            delimiter=self._delimiter,
            strict=True,
            # Where no quote stands behind a space, cells keep their spaces for the error file.
            skipinitialspace=self._space_before_quote.search(text) is not None,
        )
        while True:
            line = self._line + 1
            try:
                cells = next(parser)
            except StopIteration:
                return Batch(lines, rows)
            except csv.Error:
                end = before + parser.line_num
                record = self._window[line - self._window_first : end - self._window_first + 1]
                cells = self._reread("".join(record), line, len(record))
            self._line = before + parser.line_num
            if is_blank(cells):
                continue
            if self._line != line:
                self._refuse_swallowed_rows(line, cells)
            lines.append(line)
            rows.append(cells)

    def _feed(self, text: str) -> Iterator[list[str]]:
        """Lines for one parser: those of a block, then of further blocks for as long as a record is open."""
        self._window, self._window_first = [], self._line + 1
        self._open_size = 0
        while True:
            lines = lines_of(text)
            self._window += lines
            self._decoded_lines += len(lines)
            self._open_size += len(text)
            yield lines
            open_lines = self._window[self._line + 1 - self._window_first :]
            if not open_lines:
                return
            if sum(map(len, open_lines)) > self.limits.row_characters:
                raise self._row_too_long(self._line + 1)
            more = next(self._blocks, None)
            if more is None:
                return
            text = more

    def _reread(self, record: str, line: int, lines: int) -> list[str]:
        """A record that csv's strict mode refused: mended where only spaces are in the way."""
        cells, position = parse_record(record, self._delimiter)
        if position is None:
            return cells
        if lines > 1 or is_unclosed(record, position):
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
        for number, text in enumerate(LINE_BREAK.split(self._delimiter.join(cells)), start=line):
            parts = text.split(self._delimiter)
            if len(parts) >= width and "@" in parts[position]:
                rows.append(number)
        if len(rows) > 1:
            raise unclosed_quote(line_of_cell_around(rows[1], line, cells))

    def _check_limits(self, batch: Batch) -> None:
        """Raises FileFault at the first row that is over a limit; cheap where none can be."""
        if self.rows > self.limits.rows:
            raise self._too_many_rows()
        most = self.limits.cells_per_row
        if max(map(len, batch.rows)) > most:
            raise next(
                self._too_many_cells(line, len(cells))
                for line, cells in zip(batch.lines, batch.rows, strict=True)
                if len(cells) > most
            )
        if self._open_size > self.limits.row_characters:
            for line, cells in zip(batch.lines, batch.rows, strict=True):
                if sum(map(len, cells)) > self.limits.row_characters:
                    raise self._row_too_long(line)

    def _too_many_cells(self, line: int, count: int) -> FileFault:
        return FileFault(
            "too-many-cells",
            f"Line {line} has {count:,} cells; at most {self.limits.cells_per_row:,} are allowed. "
            "Check the delimiter, and remove columns that are not needed.",
        )

    def _too_many_rows(self) -> FileFault:
        return FileFault(
            "too-many-rows",
            f"The file has more than {self.limits.rows:,} rows. Split it and upload the parts.",
        )

    def _row_too_long(self, line: int) -> FileFault:
        return FileFault(
            "row-too-long",
            f"The row that begins on line {line} is longer than {self.limits.row_characters:,} characters. "
            "Perhaps a double quote that opens there is never closed, or the file has no line breaks.",
        )


def _is_client(cells: list[str]) -> bool:
    """Whether a first line is a client rather than a header: five cells, the second an email address."""
    if len(cells) != len(COLUMNS):
        return False
    try:
        validate_email(cells[1].strip())
    except ValidationError:
        return False
    return True


def _windows_1252(data: bytes) -> str:
    """Windows-1252 as web browsers read it: its five unassigned bytes are control characters."""
    return data.decode("cp1252", errors="client-import-c1")


def _unassigned_as_control(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("client-import-c1", _unassigned_as_control)
