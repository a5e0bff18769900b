r"""Rows as the text that COPY takes: a line a row, tabs between values, `\N` for NULL, backslashes doubled.

What an error file will need of a row is kept only where it isn't what is stored: its line as it stands in the
file (`raw`), where cutting that at the delimiter gives its cells, and its cells as JSON elsewhere.
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import repeat

from clients.contract.columns import COLUMNS
from clients.contract.layout import Layout
from clients.contract.octets import as_octets
from clients.contract.problems import Problem
from clients.reading.batch import Batch

_NULL = "\\N"
_KEPT_ENDINGS = 1_000


class CopyText:
    """COPY text for the rows of one file."""

    def __init__(self, layout: Layout, delimiter: str) -> None:
        self._layout = layout
        self._delimiter = delimiter
        self._order = [n for n in layout.fed if layout.feeds[n].candidates]
        self._no_values = f"\t{_NULL}" * len(self._order)
        # Whether a row's cells are stored as they came, unless the rules changed one.
        self._as_stored = layout.is_plain and layout.width == len(self._order)
        self._positions = [layout.feeds[n].candidates[0][0] for n in self._order]
        self._endings: dict[tuple[Problem, ...], str] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The staging table's columns, in order."""
        return ("line", "raw", "cells", "problems", *(COLUMNS[n].field for n in self._order))

    def of_block(self, batch: Batch, values: dict[int, list[str]]) -> list[str]:
        """The lines of a block's rows, with these values; right for those rows whose values are proven."""
        stored = [values[n] for n in self._order]
        return list(
            map("\t".join, zip(map(str, batch.lines), self._kept(batch, stored), *stored, strict=False))
        )

    def _kept(self, batch: Batch, stored: list[list[str]]) -> Iterable[str]:
        """What is kept of each row besides its values: its line or cells, where they differ from these."""
        if self._as_stored and stored == [batch.columns[position] for position in self._positions]:
            return repeat(f"{_NULL}\t{_NULL}\t{_NULL}")
        if not batch.text:
            return (f"{_NULL}\t{_copy_json(cells)}\t{_NULL}" for cells in zip(*batch.columns, strict=True))
        text = batch.text.replace("\t", "\\t") if self._delimiter == "\t" else batch.text
        kept = [f"{line}\t{_NULL}\t{_NULL}" for line in text.split("\n")]
        if '"' in text:
            for row, line in enumerate(kept):
                if '"' in line:
                    cells = [column[row] for column in batch.columns]
                    kept[row] = f"{_NULL}\t{_copy_json(cells)}\t{_NULL}"
        return kept

    def of_valid(self, line: int, cells: list[str], values: dict[int, str]) -> str:
        """One valid row; its values are escaped, and as bytes."""
        stored = "\t".join(values[n] for n in self._order)
        return f"{line}\t{_NULL}\t{as_octets(_copy_json(cells))}\t{_NULL}\t{stored}"

    def of_rejected(self, line: int, cells: list[str], problems: tuple[Problem, ...]) -> str:
        ending = self._endings.get(problems)
        if ending is None:
            listed = json.dumps([problem.as_stored() for problem in problems], ensure_ascii=False)
            ending = as_octets(listed.replace("\\", "\\\\")) + self._no_values
            if len(self._endings) == _KEPT_ENDINGS:
                self._endings.clear()  # a file may hold any number of them, memory may not
            self._endings[problems] = ending
        return f"{line}\t{_NULL}\t{as_octets(_copy_json(cells))}\t{ending}"


# What JSON, or COPY, wants escaped; quotes are looked at apart.
_TO_ESCAPE = re.compile(r"[\x00-\x1f\\]")


def _copy_json(cells: Sequence[str]) -> str:
    """A JSON list of strings, its backslashes doubled for COPY."""
    text = '","'.join(cells)
    if (text.isprintable() and "\\" not in text) or not _TO_ESCAPE.search(text):
        if text.count('"') == 2 * len(cells) - 2:
            return f'["{text}"]'  # nothing to escape
        return '["' + '","'.join([cell.replace('"', '\\\\"') for cell in cells]) + '"]'
    # PostgreSQL's text can't hold NUL; its visible symbol stands for it.
    shown = [cell.replace("\0", "␀") for cell in cells]
    return json.dumps(shown, ensure_ascii=False).replace("\\", "\\\\")
