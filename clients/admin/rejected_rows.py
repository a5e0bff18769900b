"""A run's rejected rows for its page: searched and paged by line, so that 100,000 of them cost no more
than 50. There is no count: the run knows how many it has, and a search says only whether there is more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from clients.contract.error_files import own_columns
from clients.contract.problems import ProblemKind
from clients.contract.titles import column_of
from clients.models import ImportRun, RejectedRow
from clients.reporting.kinds import problem_label

PAGE_SIZE = 50
_LONGEST_LINE_NUMBER = 8


@dataclass(frozen=True, slots=True)
class Cell:
    title: str
    text: str
    faulty: bool


class RejectedRows:
    """One page of a run's rejected rows, as the query asks: `q`, `problem`, `after` or `before` a line."""

    def __init__(self, run: ImportRun, query: Mapping[str, str], *, with_cells: bool) -> None:
        self.run = run
        self.with_cells = with_cells
        self.text = query.get("q", "").strip()[:200]
        self.problem = query.get("problem", "")[:200]
        self.rows, self._more_before, self._more_after = self._page(
            _line(query.get("after")), _line(query.get("before"))
        )

    def _page(self, after: int | None, before: int | None) -> tuple[list[RejectedRow], bool, bool]:
        rows = self._matching().order_by("line")
        if before is not None:
            found = list(rows.filter(line__lt=before).reverse()[: PAGE_SIZE + 1])
            return found[:PAGE_SIZE][::-1], len(found) > PAGE_SIZE, True
        if after is not None:
            rows = rows.filter(line__gt=after)
        found = list(rows[: PAGE_SIZE + 1])
        return found[:PAGE_SIZE], after is not None, len(found) > PAGE_SIZE

    def _matching(self) -> QuerySet[RejectedRow]:
        rows = self.run.rejected_rows.all()
        if not self.with_cells:
            rows = rows.defer("cells")
        if self.problem:
            kind = ProblemKind.parse(self.problem)
            rows = rows.filter(problems__contains=[{"column": kind.column, "code": kind.code}])
        if not self.text:
            return rows
        if self.text.isdecimal() and len(self.text) <= _LONGEST_LINE_NUMBER:
            # "030" may be line 30, or stand in a phone number.
            number = Q(line=int(self.text))
            if self.with_cells:
                rows = rows.alias(cells_text=Cast("cells", TextField()))
                number |= Q(cells_text__icontains=self.text)
            return rows.filter(number)
        rows = rows.alias(problems_text=Cast("problems", TextField()))
        condition = Q(problems_text__icontains=self.text)
        if self.with_cells:  # who may not see cells can't find out what is in them either
            rows = rows.alias(cells_text=Cast("cells", TextField()))
            condition |= Q(cells_text__icontains=self.text)
        return rows.filter(condition)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            yield {"line": row.line, "problems": row.read_problems(), "cells": self._cells(row)}

    def __bool__(self) -> bool:
        return bool(self.rows)

    def _cells(self, row: RejectedRow) -> list[Cell]:
        if not self.with_cells or row.cells is None:
            return []
        own = own_columns(self.run.key, self.run.header)
        faulty = {problem["column"] for problem in row.problems}
        titles = [*self.run.header, *[""] * (len(row.cells) - len(self.run.header))]
        columns = [_contract_title(title) for title in titles]
        return [
            Cell(title or "extra cell", str(text), column in faulty)
            for position, (title, column, text) in enumerate(zip(titles, columns, row.cells, strict=False))
            if position in own or position >= len(self.run.header)
        ]

    @property
    def is_filtered(self) -> bool:
        return bool(self.text or self.problem)

    @property
    def problem_label(self) -> str:
        return problem_label(ProblemKind.parse(self.problem)) if self.problem else ""

    @property
    def previous(self) -> str:
        """Query string of the page before; empty on the first."""
        return self._query(before=self.rows[0].line) if self._more_before and self.rows else ""

    @property
    def next(self) -> str:
        """Query string of the page after; empty on the last."""
        return self._query(after=self.rows[-1].line) if self._more_after and self.rows else ""

    def _query(self, **where: int) -> str:
        kept = {"q": self.text, "problem": self.problem}
        return "?" + urlencode({**{name: text for name, text in kept.items() if text}, **where})


def _line(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) <= _LONGEST_LINE_NUMBER + 1 else None


def _contract_title(title: str) -> str:
    column = column_of(title)
    return column.title if column else title
