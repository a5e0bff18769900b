"""Clients and rejected rows for spreadsheets, every cell formula-safe."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import IO, Any

from import_export import resources
from import_export.fields import Field
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from clients.importing.columns import BY_FIELD, PROBLEMS_TITLE, TITLES, neutralise
from clients.importing.origin import corrected_run, line_title
from clients.models import Client, ImportRun


class ClientResource(resources.ModelResource):  # type: ignore[type-arg]
    """The contract's five columns under its titles, so that an export can be uploaded again as it is."""

    class Meta:
        model = Client
        fields = tuple(BY_FIELD)
        export_order = tuple(BY_FIELD)

    def get_export_headers(self, selected_fields: Any = None) -> list[str]:
        return list(TITLES)

    def export_field(self, field: Field, instance: Client, **options: Any) -> str:
        return neutralise(str(super().export_field(field, instance, **options)))


# --- a run's rejected rows, ready to be mended and uploaded again ------------------------------------


def rejected_header(run: ImportRun) -> list[str]:
    """Which run and line, what is wrong, then the file's own columns.

    Ours come first: a row with too many cells then runs over at its end, where one sees it.
    """
    return [line_title(run.pk), PROBLEMS_TITLE, *(neutralise(title) for _, title in _own_columns(run))]


def rejected_cells(run: ImportRun) -> Iterator[list[str]]:
    """The rejected rows under that header, streamed; every cell formula-safe."""
    header = len(run.header)
    kept = [position for position, _ in _own_columns(run)]
    rows = run.rejected_rows.order_by("line").values_list("line", "cells", "problems")
    for line, cells, problems in rows.iterator(chunk_size=2_000):
        cells = [*(cells or []), *[""] * header]
        own = [cells[position] for position in kept] + cells[header : len(cells) - header]
        sentences = " ".join(problem["message"] for problem in problems)
        yield [str(line), neutralise(sentences), *(neutralise(cell) for cell in own)]


def _own_columns(run: ImportRun) -> list[tuple[int, str]]:
    """The file's columns with their positions, without those that an earlier error file added."""
    return [
        (position, title)
        for position, title in enumerate(run.header)
        if title != PROBLEMS_TITLE and corrected_run("", [title])[1] is None
    ]


def write_csv(file: IO[bytes], rows: Iterable[list[str]]) -> None:
    """CSV as Excel wants it: UTF-8 with its mark."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    csv.writer(text).writerows(rows)
    text.detach()


def write_xlsx(file: IO[bytes], rows: Iterable[list[str]]) -> None:
    """A workbook of text cells, so that phone numbers and codes stay as they are."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Rejected rows")
    sheet.freeze_panes = "A2"
    for row in rows:
        # A workbook can't hold control characters; the sign that stands for them is one to look at.
        sheet.append([ILLEGAL_CHARACTERS_RE.sub("�", cell) for cell in row])
    book.save(file)
