"""A stored file's text in blocks of whole lines, as UTF-8; lines that aren't are read as Windows-1252.

A line ends where editors end it: at LF, CR or CRLF, and at nothing else.
"""

import codecs
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

from clients.contract.problems import FileFault
from clients.contract.rules import LineTest

# Bytes of text that are looked at together: a file may come in crumbs, and each look has its price.
_AT_LEAST = 64 * 1024


class Block(NamedTuple):
    """Whole lines of a file, as UTF-8."""

    first: int  # number of the first line
    text: bytes
    lines: list[bytes]  # the same text, each with its break


class TextLines:
    """Iterates over a file's text; raises FileFault when a line has more characters than a row may have."""

    def __init__(self, file: Iterable[bytes], row_characters: int) -> None:
        self.not_utf8 = 0  # lines so far
        self.first_not_utf8 = 0  # the number of the first of them
        self._file = file
        self._limit = row_characters

    def __iter__(self) -> Iterator[Block]:
        first, rest = 1, b""
        pieces: list[bytes] = []
        size = 0
        for piece in self._file:
            pieces.append(piece)
            size += len(piece)
            if size < _AT_LEAST:
                continue
            data = b"".join([rest, *pieces])
            pieces, size = [], 0
            # A carriage return at the very end may be half of a line break: it waits for the next block.
            cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
            rest = data[cut:]
            if cut:
                yield (whole := self._as_utf8(first, data[:cut]))
                first += len(whole.lines)
            if len(rest) > 4 * self._limit:  # no character has more bytes
                raise row_too_long(first, self._limit)
        if data := b"".join([rest, *pieces]):
            yield self._as_utf8(first, data)

    def _as_utf8(self, first: int, data: bytes) -> Block:
        lines = data.splitlines(keepends=True)
        try:
            data.decode()
        except UnicodeDecodeError:
            lines = list(map(self._line_as_utf8, count(first), lines))
            data = b"".join(lines)
        return Block(first, data, lines)

    def _line_as_utf8(self, number: int, line: bytes) -> bytes:
        try:
            line.decode()
        except UnicodeDecodeError:
            self.not_utf8 += 1
            self.first_not_utf8 = self.first_not_utf8 or number
            return line.decode("cp1252", errors=_AS_CONTROL).encode()
        return line


class BlockLines:
    """The lines of a block for csv, which takes one after the other. Where a record is still open at the end
    of the block, csv is told that the file ends there; `ran_out` says so."""

    def __init__(self, block: Block) -> None:
        self.ran_out = False
        self._first, _, self._lines = block
        self._begin = self._next = 0  # of what csv is at, and of what it has not taken

    @property
    def line(self) -> int:
        """Number of the next line."""
        return self._first + self._next

    @property
    def at_end(self) -> bool:
        """Whether no line is left."""
        return self._next == len(self._lines)

    def take_while(self, test: LineTest) -> Iterator[tuple[int, bytes]]:
        """Lines past csv, each with its number, up to the first that does not pass: a record begins there."""
        while not self.at_end and test(text := self._lines[self._next]):
            yield self.line, text
            self._next += 1
        self._begin = self._next

    def record(self) -> list[bytes]:
        """The lines that csv has taken of the record that it is at."""
        return self._lines[self._begin : self._next]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.at_end:
            self.ran_out = True
            raise StopIteration
        self._next += 1
        return self._lines[self._next - 1].decode()


def row_too_long(line: int, limit: int) -> FileFault:
    return FileFault("row-too-long", line=line, limit=limit)


# Windows-1252 as web browsers read it: its five unassigned bytes are control characters.
_AS_CONTROL = "client-import-c1"


def _unassigned_as_control(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_AS_CONTROL, _unassigned_as_control)
