"""A stored file's text in blocks of whole lines, as UTF-8; lines that aren't are read as Windows-1252.

A line ends where editors end it: at LF, CR or CRLF, and at nothing else.

Blocks hold their text as bytes (clients.contract.octets).
"""

import codecs
import io
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from clients.contract.problems import FileFault
from clients.reading.encodings import may_be_windows_1252

# Bytes of text that are looked at together: a file may come in crumbs, and each look has its price.
_AT_LEAST = 64 * 1024


class Block(NamedTuple):
    """Whole lines of a file, as bytes."""

    first: int  # number of the first line
    text: str

    @property
    def lines(self) -> list[str]:
        """The text's lines, each with its break."""
        return list(io.StringIO(self.text, newline=""))


class TextLines:
    """Iterates over a file's text.

    Raises FileFault when a line has more characters than a row may have, or is in an unknown encoding.
    """

    def __init__(self, file: Iterable[bytes], row_characters: int) -> None:
        self.not_utf8 = 0  # lines so far
        self.first_not_utf8 = 0  # the number of the first of them
        self._file = file
        self._limit = row_characters

    def __iter__(self) -> Iterator[Block]:
        first = 1
        for data in self._whole_lines():
            yield Block(first, self._decoded(first, data))
            first += _breaks(data)

    def _whole_lines(self) -> Iterator[bytes]:
        rest = b""
        pieces: list[bytes] = []
        size = line = 0
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
                yield data[:cut]
                line += _breaks(data[:cut])
            if len(rest) > 4 * self._limit:  # no character has more bytes
                raise row_too_long(line + 1, self._limit)
        if data := b"".join([rest, *pieces]):
            yield data

    def _decoded(self, first: int, data: bytes) -> str:
        """The lines as UTF-8, one character for each byte."""
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError:
                data = self._as_utf8(first, data)
        return data.decode("latin-1")

    def _as_utf8(self, first: int, data: bytes) -> bytes:
        if not self.not_utf8:
            self._check_encoding(first, data)
        if not _UTF8.search(data):  # then every line with such bytes is in the other encoding
            others = _NOT_ASCII.findall(data)
            self.not_utf8 += len(others)
            self.first_not_utf8 = self.first_not_utf8 or first + _breaks(data[: data.index(others[0])])
            return data.decode("cp1252", errors=_AS_CONTROL).encode()
        lines = enumerate(data.splitlines(keepends=True), first)
        return b"".join([self._line(number, line) for number, line in lines])

    def _check_encoding(self, first: int, data: bytes) -> None:
        """Raises FileFault where the first lines that aren't UTF-8 aren't Windows-1252 either."""
        others = [(n, line) for n, line in enumerate(data.splitlines(), first) if not _is_utf8(line)]
        if not may_be_windows_1252([line for _, line in others]):
            raise FileFault("encoding-unknown", line=others[0][0])

    def _line(self, number: int, line: bytes) -> bytes:
        if _is_utf8(line):
            return line
        self.not_utf8 += 1
        self.first_not_utf8 = self.first_not_utf8 or number
        return line.decode("cp1252", errors=_AS_CONTROL).encode()


# The shortest sign of UTF-8 beyond ASCII, and a line from its first byte beyond ASCII on.
_UTF8 = re.compile(rb"[\xc2-\xf4][\x80-\xbf]")
_NOT_ASCII = re.compile(rb"[\x80-\xff][^\r\n]*")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _breaks(data: bytes) -> int:
    """How many line breaks there are."""
    returns = data.count(b"\r")
    return data.count(b"\n") + (returns - data.count(b"\r\n") if returns else 0)


def row_too_long(line: int, limit: int) -> FileFault:
    return FileFault("row-too-long", line=line, limit=limit)


# Windows-1252 as web browsers read it: its five unassigned bytes are control characters.
_AS_CONTROL = "client-import-c1"


def _unassigned_as_control(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_AS_CONTROL, _unassigned_as_control)
