"""A file's rows through the rules, into COPY text: the valid ones streamed, the rejected ones kept apart."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from json.encoder import encode_basestring
from operator import itemgetter

from clients.importing.columns import BY_FIELD, COLUMNS, ClientRow, Layout
from clients.importing.problems import Problem
from clients.importing.reader import CsvReader
from clients.importing.rules import Rules

# A row whose joined cells are no longer than the shortest limit can't break any of them.
_SURELY_SHORT = min(BY_FIELD[field].max_length for field in ("name", "email", "company"))

# COPY's text format: tabs and line breaks can't occur in canonical values, so a backslash is all there is.
_NULL = "\\N"


class ValidatedRows:
    """Drives the reader: `blocks()` yields the valid rows, `take_rejected()` the others since last asked."""

    def __init__(self, reader: CsvReader, statuses: tuple[str, ...]) -> None:
        self.reader = reader
        self._rules = Rules(statuses)
        self.rejected = 0
        self._problem_counts: Counter[tuple[str, str]] = Counter()
        self.rejected_size = 0  # characters waiting to be taken
        self.exhausted = False
        self._rejected: list[str] = []

    @property
    def valid(self) -> int:
        return self.reader.rows - self.rejected

    @property
    def problem_counts(self) -> dict[str, int]:
        """Rows that have a problem, by “column: code”."""
        return {f"{column}: {code}": count for (column, code), count in self._problem_counts.items()}

    def blocks(self) -> Iterator[bytes]:
        """COPY text of the valid rows: line, the five columns, and the raw cells where they differ.

        A block may be empty; it is yielded all the same, so that the caller gets its turn.
        """
        layout = self.reader.layout
        width = layout.width
        pick = _picker(layout)
        ignores_cells = bool(layout.unknown)
        canonical = self._rules.fast_lane
        join = "\t".join
        for batch in self.reader:
            lines = []
            for line, cells in zip(batch.lines, batch.rows, strict=True):
                if len(cells) == width:
                    text = join(cells if pick is None else pick(cells))
                    if canonical(text) and (
                        len(text) <= _SURELY_SHORT or max(map(len, text.split("\t"))) <= _SURELY_SHORT
                    ):
                        raw = _copy_json(cells) if ignores_cells else _NULL
                        lines.append(f"{line}\t{text}\t{raw}\n")
                        continue
                lines.append(self._look_closely(line, cells, layout))
            yield "".join(lines).encode()
        self.exhausted = True

    def take_rejected(self) -> bytes:
        """COPY text of the rejected rows since the last call: line, cells, problems."""
        text = "".join(self._rejected).encode()
        self._rejected.clear()
        self.rejected_size = 0
        return text

    def _look_closely(self, line: int, cells: list[str], layout: Layout) -> str:
        """A valid row's COPY line; nothing for a rejected row, which is put aside."""
        outcome = self._rules.clean_row(cells, layout)
        if isinstance(outcome, ClientRow):
            text = "\t".join(outcome).replace("\\", "\\\\")
            return f"{line}\t{text}\t{_copy_json(cells)}\n"
        self.rejected += 1
        for column, code, _ in outcome:
            self._problem_counts[column, code] += 1
        problems = ",".join(map(_problem_json, outcome))
        rejected = f"{line}\t{_copy_json(cells)}\t[{problems}]\n"
        self._rejected.append(rejected)
        self.rejected_size += len(rejected)
        return ""


def _picker(layout: Layout) -> Callable[[list[str]], tuple[str, ...]] | None:
    """What puts a row's cells into the contract's order; None when they are in it already."""
    if layout.positions == tuple(range(len(COLUMNS))) and layout.width == len(COLUMNS):
        return None
    if None not in layout.positions:
        return itemgetter(*layout.positions)
    # A column that the file doesn't have reads as an empty cell, appended behind the last.
    pick = itemgetter(*(layout.width if position is None else position for position in layout.positions))
    return lambda cells: pick([*cells, ""])


def _copy_json(cells: list[str]) -> str:
    """A JSON list of strings, its backslashes doubled for COPY."""
    text = f"[{','.join(map(encode_basestring, cells))}]"
    if "\\" not in text:
        return text
    if "\\u0000" in text:
        # PostgreSQL's text can't hold NUL; its visible symbol stands for it.
        cells = [cell.replace("\0", "␀") for cell in cells]
        text = f"[{','.join(map(encode_basestring, cells))}]"
    return text.replace("\\", "\\\\")


@lru_cache(maxsize=1024)
def _problem_json(problem: Problem) -> str:
    return json.dumps(problem._asdict(), ensure_ascii=False).replace("\\", "\\\\")
