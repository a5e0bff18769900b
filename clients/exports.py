"""Clients and rejected rows for spreadsheets, every cell formula-safe."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from import_export import resources
from tablib import Dataset

from clients.importing.columns import BY_FIELD, PROBLEMS_TITLE, TITLES, neutralise, restore
from clients.importing.origin import corrected_run, line_title
from clients.models import Client, ImportRun


class ClientResource(resources.ModelResource):  # type: ignore[type-arg]
    """The contract's five columns under its titles, so that an export can be uploaded again as it is."""

    class Meta:
        model = Client
        fields = tuple(BY_FIELD)

    def rows(self, clients: QuerySet[Client]) -> Iterator[Sequence[str]]:
        """The header and the clients, streamed; every cell formula-safe."""
        yield TITLES
        for client in clients.values_list(*BY_FIELD).iterator(chunk_size=2_000):
            yield list(map(neutralise, client))

    def export(self, queryset: Any = None, **options: Any) -> Dataset:
        """The same in memory, for whoever uses the resource in django-import-export's way."""
        header, *clients = self.rows(self.get_queryset() if queryset is None else queryset)
        return Dataset(*clients, headers=header)


# --- a run's rejected rows, ready to be mended and uploaded again ------------------------------------


def rejected_header(run: ImportRun) -> list[str]:
    """Which run and line, what is wrong, then the file's own columns.

    Ours come first: a row with too many cells then runs over at its end, where one sees it.
    """
    return [line_title(run.pk), PROBLEMS_TITLE, *(neutralise(title) for _, title in _own_columns(run))]


def rejected_cells(run: ImportRun) -> Iterator[list[str]]:
    """The rejected rows under that header, streamed; every cell formula-safe.

    An import takes the apostrophe of an earlier export away, so each cell carries one at most: rows may go
    round as often as it takes.
    """
    header = len(run.header)
    kept = [position for position, _ in _own_columns(run)]
    rows = run.rejected_rows.order_by("line").values_list("line", "cells", "problems")
    for line, cells, problems in rows.iterator(chunk_size=2_000):
        cells = [*(cells or []), *[""] * header]
        own = [cells[position] for position in kept] + cells[header : len(cells) - header]
        sentences = " ".join(problem["message"] for problem in problems)
        yield [str(line), neutralise(sentences), *(neutralise(restore(cell)) for cell in own)]


def _own_columns(run: ImportRun) -> list[tuple[int, str]]:
    """The file's columns with their positions, without those that an earlier error file added."""
    return [(position, title) for position, title in enumerate(run.header) if not is_of_an_error_file(title)]


def is_of_an_error_file(title: str) -> bool:
    """Whether a column is one that rejected_header() adds."""
    return title == PROBLEMS_TITLE or corrected_run("", [title])[1] is not None
