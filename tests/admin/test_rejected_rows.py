"""Rejected rows leave as a file, come back corrected, and the runs know of each other."""

import csv
import io

import openpyxl
import pytest
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import Settings

from clients.models import Client, ImportRun
from clients.models.states import State
from tests.admin.conftest import Upload

FILE = (
    "E-mail;Name;Company;Phone;Status;Notes\n"
    "bad;=Ada;Acme;+1234567;Active;first\n"
    "bob@example.com;Bob;;;Active;second\n"
    "cyd@example.com;Cyd;Acme;;Active;third\n"
    "dan@example.com;Dan;Acme;;Active;fourth;fifth\n"
)


def download(browser: Browser, run: ImportRun, kind: str = "csv") -> bytes:
    answer = browser.get(reverse("admin:clients_importrun_rejected", args=[run.pk, kind]))
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)  # type: ignore[attr-defined]


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))


def as_csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def test_the_file_has_the_original_columns_and_line_and_problems(operator: Browser, upload: Upload) -> None:
    run = upload(FILE)
    content = download(operator, run)
    rows = rows_of(content)
    assert content.startswith(b"\xef\xbb\xbf")
    assert rows[0] == [
        "E-mail", "Name", "Company", "Phone", "Status", "Notes", "Line", "Problems",
    ]  # fmt: skip
    assert rows[1][:6] == ["bad", "'=Ada", "Acme", "'+1234567", "Active", "first"]
    assert rows[2][7] == "Company is empty. Fill it in."
    assert rows[3][:6] + rows[3][8:] == ["dan@example.com", "Dan", "Acme", "", "Active", "fourth", "fifth"]


def test_a_workbook_is_all_text_and_takes_control_characters(operator: Browser, upload: Upload) -> None:
    run = upload(FILE.replace("second", "=1+1") + "\x07e;E;Acme;;Active;\n")
    book = openpyxl.load_workbook(io.BytesIO(download(operator, run, "xlsx")))
    cells = [cell for row in book.worksheets[0].iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} == {"s"}
    assert "'=1+1" in [cell.value for cell in cells]
    assert "�e" in [cell.value for cell in cells]


def test_mended_rows_come_back_and_both_runs_say_how_many_were_fixed(
    operator: Browser, upload: Upload
) -> None:
    run = upload(FILE)
    rows = rows_of(download(operator, run))
    rows[1][0] = "ada@example.com"
    rows[3] = rows[3][:-1]
    rows.append(["eve@example.com", "Eve", "Acme", "", "Active", "", "", ""])
    new = upload(as_csv(rows), f"clients-rejected-rows-of-run-{run.pk} (1).csv")
    assert (new.state, new.inserted, new.rejected) == (State.PARTIAL, 3, 1)
    assert (new.corrects, new.fixed) == (run, 2)
    assert Client.objects.get(email="ada@example.com").phone == "+1234567"
    assert Client.objects.get(email="ada@example.com").name == "=Ada"
    assert "2 of 3 fixed" in operator.get(run.get_absolute_url()).content.decode()
    assert "2 of 3 fixed" in operator.get(new.get_absolute_url()).content.decode()
    again = rows_of(download(operator, new))
    assert again[0] == rows[0]


def test_rows_may_go_round_more_than_once(operator: Browser, upload: Upload) -> None:
    run = upload(FILE)
    for _ in range(3):
        rows = rows_of(download(operator, run))
        assert rows[1][:6] == ["bad", "'=Ada", "Acme", "'+1234567", "Active", "first"]
        run = upload(as_csv(rows), f"again-rejected-rows-of-run-{run.pk}.csv")
        assert (run.rejected, run.fixed) == (3, 0)
    page = operator.get(run.get_absolute_url())
    assert [cell.title for cell in next(iter(page.context["rejected"]))["cells"]][:2] == ["E-mail", "Name"]


def test_without_its_column_of_lines_the_file_is_known_by_its_name(operator: Browser, upload: Upload) -> None:
    run = upload(FILE)
    text = "Name,Email,Company,Phone,Status\nBob,bob@example.com,Acme,,Active\n"
    new = upload(text, f"clients-rejected-rows-of-run-{run.pk} (1).csv")
    assert (new.corrects, new.fixed) == (run, None)


def test_a_file_that_names_no_run_with_rejected_rows_corrects_none(upload: Upload) -> None:
    text = "Name,Email,Company,Status,Line\nBob,bob@example.com,Acme,Active,2\n"
    new = upload(text, "clients-rejected-rows-of-run-999.csv")
    assert (new.state, new.corrects) == (State.SUCCEEDED, None)


def test_a_large_file_goes_by_way_of_s3(operator: Browser, upload: Upload, settings: Settings) -> None:
    run = upload(FILE)
    settings.DOWNLOAD_MAX_BYTES = 100
    answer = operator.get(reverse("admin:clients_importrun_rejected", args=[run.pk, "csv"]))
    assert answer.status_code == 302
    assert settings.DOWNLOAD_PREFIX in answer["Location"]
    assert not settings.DOWNLOAD_PREFIX.startswith(settings.IMPORT_PREFIX)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_who_may_not_see_cells_may_not_download_them(kind: str, viewer: Browser, upload: Upload) -> None:
    run = upload(FILE)
    url = reverse("admin:clients_importrun_rejected", args=[run.pk, kind])
    assert viewer.get(url).status_code == 403
    assert url not in viewer.get(run.get_absolute_url()).content.decode()
