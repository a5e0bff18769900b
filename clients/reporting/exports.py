"""Clients and rejected rows for spreadsheets, every cell formula-safe."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from import_export import resources
from tablib import Dataset

from clients.contract.columns import BY_FIELD, TITLES
from clients.contract.error_files import LINE_TITLE, PROBLEMS_TITLE, own_columns
from clients.contract.formulas import neutralise, restore
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
        """The same in memory, for callers that use the resource as django-import-export does."""
        header, *clients = self.rows(self.get_queryset() if queryset is None else queryset)
        return Dataset(*clients, headers=header)


# --- a run's rejected rows, ready to be corrected and uploaded again ------------------------------------


def rejected_header(run: ImportRun) -> list[str]:
    """The file's own columns, then which line it was and what is wrong."""
    own = own_columns(run.key, run.header)
    return [*(neutralise(run.header[position]) for position in own), LINE_TITLE, PROBLEMS_TITLE]


def rejected_cells(run: ImportRun) -> Iterator[list[str]]:
    """The rejected rows under that header, streamed; every cell formula-safe.

    A row with too many cells runs over at its end, behind our columns, where one sees it. An import takes the
    apostrophe of an earlier export away, so each cell carries one at most: rows may go round as often as it
    takes.
    """
    width = len(run.header)
    own = own_columns(run.key, run.header)
    for row in run.rejected_rows.order_by("line").iterator(chunk_size=2_000):
        cells = [neutralise(restore(cell)) for cell in row.cells or []]
        extra = cells[width:]
        cells += [""] * (width - len(cells))
        sentences = " ".join(problem.message for problem in row.read_problems())
        yield [*(cells[position] for position in own), str(row.line), neutralise(sentences), *extra]
