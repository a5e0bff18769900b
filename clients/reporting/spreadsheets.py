"""Tables as files for spreadsheet programs: CSV and XLSX, streamed row by row, text cells only."""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import IO
from xml.sax.saxutils import escape

XLSX_ROWS = 1_048_576  # Excel's limit, the header's row included
_XLSX_CELL = 32_767  # characters
# What XML can't hold; the sign in its place is one to look at.
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_SPREADSHEETML = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": (
        f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        f'<workbook xmlns="{_SPREADSHEETML}" xmlns:r="{_OFFICE}">'
        '<sheets><sheet name="Clients" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
    ),
}
# The header's row stays in view.
_SHEET = (
    f'{_XML}<worksheet xmlns="{_SPREADSHEETML}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
    "<sheetData>"
)
_SHEET_END = "</sheetData></worksheet>"


class TooManyRows(ValueError):
    """A workbook can't hold so many rows; the text says what can."""


def write_csv(file: IO[bytes], rows: Iterable[Sequence[str]]) -> None:
    """CSV as Excel wants it: UTF-8 with its mark."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    csv.writer(text).writerows(rows)
    text.detach()


def write_xlsx(file: IO[bytes], rows: Iterable[Sequence[str]]) -> None:
    """A workbook of text cells, so that phone numbers and codes stay as they are.

    Written by hand: a library that keeps styles and shared strings takes ten times as long, and a page has
    29 seconds. Raises TooManyRows.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        for name, text in _PARTS.items():
            archive.writestr(name, _XML + text)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(_SHEET.encode())
            for number, row in enumerate(rows):
                if number == XLSX_ROWS:
                    raise TooManyRows(
                        f"An Excel workbook holds {XLSX_ROWS:,} rows at most. Download CSV instead."
                    )
                sheet.write(f"<row>{''.join(map(_cell, row))}</row>".encode())
            sheet.write(_SHEET_END.encode())


def _cell(text: str) -> str:
    text = escape(_NOT_IN_XML.sub("�", text[:_XLSX_CELL]))
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
