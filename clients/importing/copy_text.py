r"""Rows as the text that COPY takes: a line a row, tabs between values, `\N` for NULL, backslashes doubled.

What an error file will need of a row is kept only where it isn't what is stored: its line as it stands in the file
(`raw`), where cutting that at the delimiter gives its cells, and its cells as JSON elsewhere.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import repeat

from clients.contract.columns import COLUMNS
from clients.contract.layout import Layout
from clients.contract.problems import Problem

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
        self._endings: dict[tuple[Problem, ...], str] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The staging table's columns, in order."""
        return ("line", "raw", "cells", "problems", *(COLUMNS[n].field for n in self._order))

    def of_block(
        self,
        rows: Sequence[list[str]],
        lines: Sequence[int],
        raws: Sequence[str],
        columns: Sequence[Sequence[str]],
        values: dict[int, list[str]],
    ) -> str:
        """Valid rows without a backslash in their values; `columns` as they came, `values` as they are stored."""
        stored = [values[n] for n in self._order]
        numbers = map(str, lines)
        if self._as_stored and all(
            values[n] == list(columns[self._layout.feeds[n].candidates[0][0]]) for n in self._order
        ):
            kept: Iterable[str] = repeat(f"{_NULL}\t{_NULL}\t{_NULL}")
        elif raws:
            kept = map(self._kept, raws, rows)
        else:
            kept = (f"{_NULL}\t{_copy_json(cells)}\t{_NULL}" for cells in rows)
        return "\n".join(map("\t".join, zip(numbers, kept, *stored, strict=False))) + "\n"

    def _kept(self, raw: str, cells: list[str]) -> str:
        if '"' in raw or "\\" in raw:
            return f"{_NULL}\t{_copy_json(cells)}\t{_NULL}"
        if self._delimiter == "\t":
            raw = raw.replace("\t", "\\t")
        return f"{raw}\t{_NULL}\t{_NULL}"

    def of_valid(self, line: int, cells: list[str], values: dict[int, str]) -> str:
        """One valid row; its values are escaped."""
        stored = "\t".join(values[n] for n in self._order)
        return f"{line}\t{_NULL}\t{_copy_json(cells)}\t{_NULL}\t{stored}\n"

    def of_rejected(self, line: int, cells: list[str], problems: tuple[Problem, ...]) -> str:
        ending = self._endings.get(problems)
        if ending is None:
            listed = json.dumps([problem.as_stored() for problem in problems], ensure_ascii=False)
            ending = listed.replace("\\", "\\\\") + self._no_values
            if len(self._endings) == _KEPT_ENDINGS:
                self._endings.clear()  # a file may hold any number of them, memory may not
            self._endings[problems] = ending
        return f"{line}\t{_NULL}\t{_copy_json(cells)}\t{ending}\n"


def _copy_json(cells: list[str]) -> str:
    """A JSON list of strings, its backslashes doubled for COPY."""
    text = '","'.join(cells)
    if text.isprintable() and "\\" not in text and text.count('"') == 2 * len(cells) - 2:
        return f'["{text}"]'  # nothing to escape
    # PostgreSQL's text can't hold NUL; its visible symbol stands for it.
    shown = [cell.replace("\0", "␀") for cell in cells]
    return json.dumps(shown, ensure_ascii=False).replace("\\", "\\\\")
