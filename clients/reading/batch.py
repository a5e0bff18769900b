"""What a reader hands on: some rows of a file at a time."""

from collections.abc import Sequence
from typing import NamedTuple


class Batch(NamedTuple):
    """Some rows of a file: those that have as many cells as the header by columns, the others as they are.

    Columns, and `text`, are as bytes (clients.contract.octets).

    `lines` are those on which the rows of `columns` begin. Where each of these rows is one line that COPY
    takes as it stands, `text` has these lines, each with its break; elsewhere it is empty.
    """

    lines: Sequence[int]
    columns: Sequence[list[str]]
    text: str = ""
    misfits: Sequence[tuple[int, list[str]]] = ()

    @property
    def rows(self) -> int:
        return len(self.lines) + len(self.misfits)
