"""A stored file → the bytes of its text as UTF-8: size limits, digest, decompression, other kinds of file.

Streams: a block is read, checked and handed on before the next. What can't be CSV is told by its first
bytes, never by its name.
"""

import codecs
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from clients.contract.problems import FileFault

# Bytes read, and at most decompressed, in one step. What comes of a block has to fit into a socket's buffer:
# the server then stages it while the next one is validated (1.4 s for a million rows, with 256 KB 2.5).
_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may ask of us at most; past one of them it is a file fault."""

    bytes: int = 1024**3
    decompressed_bytes: int = 4 * 1024**3
    rows: int = 20_000_000
    cells_per_row: int = 1_000
    row_characters: int = 1_000_000


class ByteStream(Protocol):
    """What we need of a file: `read(n)` gives at most n bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class StoredFile:
    """Iterates over a file's text as blocks of UTF-8 bytes (or what isn't UTF-8, as it is).

    Raises FileFault, at once or while iterating, when the file is too large, damaged, or of another kind.
    """

    def __init__(self, stream: ByteStream, limits: Limits) -> None:
        self.limits = limits
        self.bytes_read = 0  # as stored, before decompression
        self._digest = hashlib.sha256()
        self._text = _decoded(_known_as_text(self._decompressed(self._stored(stream))))

    def __iter__(self) -> Iterator[bytes]:
        return self._text

    @property
    def sha256(self) -> str:
        """Hex digest of the stored bytes read so far."""
        return self._digest.hexdigest()

    def _stored(self, stream: ByteStream) -> Iterator[bytes]:
        while block := stream.read(_BLOCK):
            self.bytes_read += len(block)
            self._digest.update(block)
            if self.bytes_read > self.limits.bytes:
                raise too_large(self.limits.bytes)
            yield block

    def _decompressed(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The blocks of a gzip file unpacked (told by its first two bytes), others as they are."""
        head = next(blocks, b"")
        while len(head) < 2 and (more := next(blocks, b"")):
            head += more
        blocks = chain([head], blocks)
        if not head.startswith(b"\x1f\x8b"):
            yield from blocks
            return
        total = 0
        for block in _gunzip(blocks):
            total += len(block)
            if total > self.limits.decompressed_bytes:
                raise FileFault("too-large-unpacked", limit=_size(self.limits.decompressed_bytes))
            yield block


def too_large(limit: int) -> FileFault:
    """The fault of a file whose stored size is past the limit, in bytes."""
    return FileFault("too-large", limit=_size(limit))


def _size(count: int) -> str:
    for unit, factor in (("GB", 1024**3), ("MB", 1024**2), ("kB", 1024)):
        if count >= factor:
            return f"{count / factor:.4g} {unit}"
    return f"{count} bytes"


def _gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack gzip members one after the other, never more than a block at a time."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for block in blocks:
            data = block
            while data:
                if unpacker.eof:
                    data = data.lstrip(b"\0")  # padding between members is allowed
                    if not data:
                        break
                    unpacker = zlib.decompressobj(wbits=31)
                yield unpacker.decompress(data, _BLOCK)
                data = unpacker.unconsumed_tail or unpacker.unused_data
            while not unpacker.eof and (more := unpacker.decompress(b"", _BLOCK)):
                yield more
    except zlib.error:
        raise FileFault("gzip-damaged") from None
    if not unpacker.eof:
        raise FileFault("gzip-truncated")


# The first bytes of files that aren't CSV, the fault's code, and what to call them.
_KINDS = (
    (b"PK\x03\x04", "not-csv", "an Excel workbook or another zip archive"),
    (b"\xd0\xcf\x11\xe0", "not-csv", "an old Excel workbook (.xls)"),
    (b"%PDF", "not-csv", "a PDF document"),
    (b"\x89PNG", "not-csv", "a PNG image"),
    (b"\xff\xd8\xff", "not-csv", "a JPEG image"),
    (b"GIF8", "not-csv", "a GIF image"),
    (b"{\\rtf", "not-csv", "an RTF document"),
    (b"PAR1", "not-csv", "a Parquet file"),
    (b"SQLite format 3", "not-csv", "an SQLite database"),
    (b"\x1f\x8b", "compressed-twice", ""),
    (b"BZh", "not-csv", "a bzip2 archive"),
    (b"7z\xbc\xaf", "not-csv", "a 7-Zip archive"),
    (b"\xff\xfe\x00\x00", "not-csv", "UTF-32 text"),
    (b"\x00\x00\xfe\xff", "not-csv", "UTF-32 text"),
    (b"BEGIN:VCARD", "not-csv", "a vCard file of an address book"),
    (b"BEGIN:VCALENDAR", "not-csv", "a calendar"),
    (b"{", "not-csv", "JSON"),
    (b"[{", "not-csv", "JSON"),
    (b"[\n", "not-csv", "JSON"),
    (b"[\r\n", "not-csv", "JSON"),
)


def _known_as_text(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks; raises FileFault when the first bytes are those of another kind of file."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= 64:
            break
    for magic, code, kind in _KINDS:
        if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(magic) or head.startswith(magic):
            raise FileFault(code, kind=kind)
    if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        raise FileFault("not-csv", kind="a web page or XML")
    if not head.startswith((b"\xff\xfe", b"\xfe\xff")) and head[:64].count(0) > len(head[:64]) // 4:
        raise FileFault("not-text")
    return chain([head], blocks)


def _decoded(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text as UTF-8 without a byte order mark; UTF-16 is told by its mark."""
    head = next(blocks, b"")
    blocks = chain([head], blocks)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield from _from_utf16(blocks)
    else:
        head = next(blocks)
        while head.startswith(b"\xef\xbb\xbf"):  # some programs write two
            head = head[3:]
        yield head
        yield from blocks


def _from_utf16(blocks: Iterator[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        for block in blocks:
            yield decoder.decode(block).encode()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise FileFault("utf-16-damaged") from None
