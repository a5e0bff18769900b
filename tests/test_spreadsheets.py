"""Tables for spreadsheet programs, read back by a library that knows the formats."""

import io

import openpyxl
import pytest

from clients.reporting import spreadsheets
from clients.reporting.spreadsheets import TooManyRows

TRICKY = ["<a & b>", " kept ", "line\nbreak", "007", "𝄞 Zoë", "", '"quoted"', "true", "1e5"]


def sheet_of(rows: list[list[str]]) -> list[list[object]]:
    file = io.BytesIO()
    spreadsheets.write_xlsx(file, rows)
    sheet = openpyxl.load_workbook(file).worksheets[0]
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def test_a_workbook_holds_each_cell_as_the_text_it_was() -> None:
    assert sheet_of([["Title"] * len(TRICKY), TRICKY])[1] == TRICKY


def test_what_xml_cannot_hold_becomes_a_visible_sign() -> None:
    assert sheet_of([["a\x00b\x07c\x1f\ufffe"]]) == [["a�b�c��"]]


def test_a_cell_is_cut_where_excel_would_refuse_the_file() -> None:
    assert sheet_of([["x" * 40_000]]) == [["x" * 32_767]]


def test_more_rows_than_a_workbook_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets, "XLSX_ROWS", 3)
    assert len(sheet_of([["x"]] * 3)) == 3
    with pytest.raises(TooManyRows, match="Download CSV instead"):
        sheet_of([["x"]] * 4)


def test_csv_begins_with_the_mark_of_utf_8_and_leaves_the_file_open() -> None:
    file = io.BytesIO()
    spreadsheets.write_csv(file, [["Zoë", 'a "b", c']])
    assert file.getvalue() == '\ufeffZoë,"a ""b"", c"\r\n'.encode()
