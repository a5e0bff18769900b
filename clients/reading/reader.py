"""Blocks of lines → rows of cells: delimiter, header, records, limits. Streams; knows no database.

Each step is a generator over the one before, so memory stays at a few blocks whatever the file's size. Line
numbers are those an editor shows: a row stands on the line where it begins. Rows come in batches of about a
block. Where each line of a block is one record, Python's csv reads the block in one go; elsewhere, record by
record.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain

from clients.contract.layout import Layout
from clients.contract.octets import as_octets, as_text
from clients.contract.problems import FileFault, Statement
from clients.contract.recognition import Recogniser, Recognition
from clients.contract.rules import MalformedRow
from clients.reading.batch import Batch
from clients.reading.lines import Block, TextLines, row_too_long
from clients.reading.records import (
    LINE_BREAK,
    RecordLines,
    is_unclosed,
    parse_record,
    sample_records,
    swallowed_row,
    unclosed_quote,
)
from clients.reading.source import ByteStream, Limits, StoredFile

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 50  # records that are looked at to tell what the file is

# The row limit below is ours, with a message; csv's own limit would come first and says less.
csv.field_size_limit(2**31 - 1)


class CsvReader:
    """Iterates over a CSV file's data rows in batches; `layout` says which cell is which column.

    Opening it reads the header. Raises FileFault, at once or while iterating, when the file can't be
    imported. What the user should know of how it was read is in `notices`, complete at the end.
    """

    def __init__(
        self, stream: ByteStream, limits: Limits | None = None, recogniser: Recogniser | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._file = StoredFile(stream, self.limits)
        self._text = TextLines(self._file, self.limits.row_characters)
        self._blocks: Iterator[Block] = iter(self._text)
        self.delimiter, recognition, self._header_line = self._open(recogniser or Recogniser())
        self.layout: Layout = recognition.layout
        self._notices = recognition.notices
        # Both begin with what is rare, so that a block is searched at the speed of a text search.
        before = rf"[^\r\n{re.escape(self.delimiter)}]"
        # A no-break space is two bytes.
        space = "(?: |\xc2\xa0)" if self.delimiter == "\t" else "(?:[ \t]|\xc2\xa0)"
        self._space_before_quote = re.compile(rf' (?<!{before} ) *"').search
        start = rf"(?:^|(?<=[\r\n{re.escape(self.delimiter)}]))"
        self._odd_space_before_quote = re.compile(rf'{start}{space}+"').search
        self._odd_spaces = ["\xc2\xa0"] if self.delimiter == "\t" else ["\t", "\xc2\xa0"]

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
            return list(self._notices)
        if count == 1:
            return [*self._notices, Statement.of("line-assumed-windows-1252", line=first)]
        return [*self._notices, Statement.of("lines-assumed-windows-1252", lines=count, line=first)]

    def __iter__(self) -> Iterator[Batch]:
        """Every record behind the header but blank lines, in batches of about a block."""
        rows = 0
        block = next(self._blocks, None)
        while block:
            following = next(self._blocks, None)
            batch = self._in_one_go(block)
            if batch is None:
                lines, records, open_text = self._records(block, is_last=following is None)
                self._check_limits(lines, records, len(block.text))
                batch = self._batch(block, lines, records)
                if open_text and following:
                    following = self._joined(open_text, following)
            rows += batch.rows
            if rows > self.limits.rows:
                raise FileFault("too-many-rows", limit=self.limits.rows)
            if batch.rows:
                yield batch
            block = following

    # --- the first lines

    def _open(self, recogniser: Recogniser) -> tuple[str, Recognition, int]:
        """The delimiter, what the first records tell, and the line up to which they are no rows."""
        block = next((block for block in self._blocks if block.text.strip(" \t\r\n,;|")), None)
        if block is None:
            raise FileFault("empty")
        delimiters: Sequence[str] = _DELIMITERS
        if separator := re.match(r'"?sep=([,;\t|])"?(?:\r\n|\r|\n)', block.text):  # Excel's own convention
            delimiters = separator[1]
            block = Block(block.first + 1, block.text[separator.end() :])
            if not block.text.strip():
                raise FileFault("empty")
        samples, block = self._samples(delimiters, block)
        self._blocks = chain([block], self._blocks)
        best = max(samples, key=lambda delimiter: recogniser.likeness([row for _, row in samples[delimiter]]))
        sample = samples[best]
        rows = [cells for _, cells in sample]
        if len(rows[0]) > self.limits.cells_per_row:
            raise self._too_many_cells(sample[0][0], len(rows[0]))
        if any(map(_holds_a_row, rows[0])):
            raise unclosed_quote(sample[0][0])
        recognition = recogniser(rows)
        if recognition.header is None:
            return best, recognition, 0
        line = sample[recognition.header][0]
        above = [str(number) for number, _ in sample[: recognition.header]]
        if above:
            notice = Statement.of("lines-above-header", lines=", ".join(above))
            recognition = recognition._replace(notices=(*recognition.notices, notice))
        return best, recognition, line

    def _samples(
        self, delimiters: Sequence[str], block: Block
    ) -> tuple[dict[str, list[tuple[int, list[str]]]], Block]:
        """The first records by each delimiter; a first record longer than a block takes more along."""
        while True:
            ending = next(self._blocks, None)
            text = block.text if ending or block.text.endswith(("\n", "\r")) else f"{block.text}\n"
            lines = Block(block.first, as_text(text)).lines
            samples = {d: sample_records(lines, block.first, d, _SAMPLE) for d in delimiters}
            if ending:
                self._blocks = chain([ending], self._blocks)
            # By the delimiter that the first line holds most of, its quotes are told.
            main = max(delimiters, key=lines[0].count)
            if samples[main]:
                return {delimiter: sample for delimiter, sample in samples.items() if sample}, block
            if ending is None:
                raise unclosed_quote(block.first)
            if len(block.text) > self.limits.row_characters:
                raise row_too_long(block.first, self.limits.row_characters)
            block = Block(block.first, block.text + next(self._blocks).text)

    # --- records

    def _in_one_go(self, block: Block) -> Batch | None:
        """The rows of a block without quotes in which each line has as many cells as the header; None of
        others.

        A line break between two delimiters becomes a cell of its own: stands one behind each `width` cells,
        every line has that many. So a text is cut once, into the cells of its columns.
        """
        width, text, delimiter = self.layout.width, block.text, self.delimiter
        if block.first <= self._header_line or '"' in text or len(text) > self.limits.row_characters:
            return None
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        count = text.count("\n")
        if not text.endswith("\n") or "\r" in text:
            return None
        cells = text.replace("\n", f"{delimiter}\n{delimiter}").split(delimiter)
        if len(cells) != count * (width + 1) + 1 or cells[width :: width + 1].count("\n") != count:
            return None
        cells.pop()
        columns = [cells[position :: width + 1] for position in range(width)]
        storable = "" if "\\" in text or "\0" in text else text
        return Batch(range(block.first, block.first + count), columns, storable)

    def _batch(self, block: Block, lines: Sequence[int], records: list[list[str]]) -> Batch:
        """The records of a block behind the header, without blank lines."""
        width = self.layout.width
        misfits: list[tuple[int, list[str]]] = []
        if block.first <= self._header_line or set(map(len, records)) != {width}:
            kept = [(n, row) for n, row in zip(lines, records, strict=True) if row and n > self._header_line]
            misfits = [(line, _as_text(cells)) for line, cells in kept if len(cells) != width]
            lines = [line for line, cells in kept if len(cells) == width]
            records = [cells for _, cells in kept if len(cells) == width]
        columns = list(map(list, zip(*records, strict=True)))
        text = block.text.replace("\r\n", "\n") if "\r" in block.text else block.text
        # Are there as many rows as lines, then each is one line.
        is_storable = len(records) == text.count("\n") and not any(odd in text for odd in "\r\\\0")
        return Batch(lines, columns, text if is_storable and text.endswith("\n") else "", misfits)

    def _joined(self, open_text: str, block: Block) -> Block:
        """A block with the lines before it of a record that goes on in it."""
        first = block.first - len(LINE_BREAK.findall(open_text))
        if len(as_text(open_text)) > self.limits.row_characters:
            raise row_too_long(first, self.limits.row_characters)
        return Block(first, open_text + block.text)

    def _records(self, block: Block, *, is_last: bool) -> tuple[Sequence[int], list[list[str]], str]:
        """The records of a block, their lines, and the text of one that goes on in the next block."""
        text = block.text
        if not text.strip(" \t\r\n"):
            return (), [], ""
        quotes = '"' in text
        if not (quotes and self._has_odd_space_before_quote(text)):
            lines = block.lines
            # Where no quote stands behind a space, cells keep their spaces for the error file.
            skip = quotes and ' "' in text and bool(self._space_before_quote(text))
            try:
                rows = list(csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=skip))
            except csv.Error:
                rows = []
            if len(rows) == len(lines):  # each line is a record
                return range(block.first, block.first + len(rows)), rows, ""
        return self._record_by_record(block, is_last=is_last)

    def _record_by_record(self, block: Block, *, is_last: bool) -> tuple[Sequence[int], list[list[str]], str]:
        """The same where records go over several lines, or their quotes are in disorder."""
        source = RecordLines(block.lines, block.first)
        skip = bool(self._space_before_quote(block.text))
        parser = csv.reader(source, delimiter=self.delimiter, strict=True, skipinitialspace=skip)
        lines: list[int] = []
        records: list[list[str]] = []
        while not source.at_end:
            line = source.line
            source.begin_record()
            try:
                cells = next(parser)
            except csv.Error:
                if source.ran_out and not is_last:
                    return lines, records, "".join(source.record())
                cells = self._reread("".join(source.record()), line)
            else:
                record = "".join(source.record())
                if self._has_odd_space_before_quote(record):
                    cells = self._reread(record, line)
            if source.line > line + 1 and not isinstance(cells, MalformedRow):
                self._refuse_swallowed_rows(line, cells)
            lines.append(line)
            records.append(cells)
        return lines, records, ""

    def _has_odd_space_before_quote(self, text: str) -> bool:
        """Whether a quote stands behind a tab or a no-break space at a cell's start; csv knows spaces."""
        return any(space in text for space in self._odd_spaces) and bool(self._odd_space_before_quote(text))

    def _reread(self, record: str, line: int) -> list[str]:
        """A record that csv's strict mode refused: repaired where only white space is in the way."""
        record = as_text(record)
        cells, position = parse_record(record, self.delimiter)
        if position is None:
            return list(map(as_octets, cells))
        if LINE_BREAK.search(record.rstrip("\r\n")) or is_unclosed(record, position):
            raise unclosed_quote(line + len(LINE_BREAK.findall(record, 0, position)))
        return MalformedRow([as_octets(record.rstrip("\r\n"))])

    def _refuse_swallowed_rows(self, line: int, cells: list[str]) -> None:
        opened = swallowed_row(line, cells, self.delimiter, self.layout.width, self.layout.email_position)
        if opened is not None:
            raise unclosed_quote(opened)

    # --- limits

    def _check_limits(self, lines: Sequence[int], records: list[list[str]], size: int) -> None:
        """Raises FileFault at the first row that is over a limit; cheap where, by the size, none can be."""
        most = self.limits.cells_per_row
        if max(map(len, records), default=0) > most:
            raise next(
                self._too_many_cells(line, len(cells))
                for line, cells in zip(lines, records, strict=True)
                if len(cells) > most
            )
        if size > self.limits.row_characters:
            for line, cells in zip(lines, records, strict=True):
                if sum(len(as_text(cell)) for cell in cells) > self.limits.row_characters:
                    raise row_too_long(line, self.limits.row_characters)

    def _too_many_cells(self, line: int, count: int) -> FileFault:
        return FileFault("too-many-cells", line=line, cells=count, limit=self.limits.cells_per_row)


def _as_text(cells: list[str]) -> list[str]:
    return type(cells)(map(as_text, cells))


def _holds_a_row(title: str) -> bool:
    """Whether a title with line breaks has swallowed a row, behind a quote that closes there."""
    _, *others = LINE_BREAK.split(title)
    return any("@" in line or len(re.findall(r"[,;\t|](?! )", line)) > 1 for line in others)
