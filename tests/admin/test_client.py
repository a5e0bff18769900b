"""Clients: search, export that survives spreadsheets and comes back unharmed, edits by people."""

import io

import openpyxl
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from clients.models import Client
from clients.models.states import State
from clients.upkeep import undo
from tests.admin.conftest import Upload

LIST = "/admin/clients/client/"
EXPORT = "/admin/clients/client/export/"
CSV, XLSX = "0", "1"
FILE = (
    "Name,Email,Company,Phone,Status\n"
    "=HYPERLINK(0),+a@example.com,@Acme,+1234567890,Active\n"
    "'-quoted,b@example.com,Zoë GmbH,0049301234,Inactive\n"
)


def export(browser: Browser, kind: str, query: str = "") -> bytes:
    answer = browser.post(EXPORT + query, {"format": kind, "resource": ""})
    return b"".join(answer.streaming_content)  # type: ignore[attr-defined]


def test_clients_are_searched(operator: Browser, upload: Upload) -> None:
    upload(FILE)
    page = operator.get(LIST, {"q": "zoë"}).content.decode()
    assert "b@example.com" in page
    assert "+a@example.com" not in page


def test_an_export_neutralises_formulas_and_imports_again_as_unchanged(
    operator: Browser, upload: Upload
) -> None:
    upload(FILE)
    exported = export(operator, CSV)
    text = exported.decode("utf-8-sig")
    assert "'=HYPERLINK(0),'+a@example.com,'@Acme,'+1234567890" in text
    assert exported.startswith(b"\xef\xbb\xbf")
    run = upload(exported, "export.csv")
    assert (run.state, run.unchanged, run.rejected) == (State.SUCCEEDED, 2, 0)
    assert Client.objects.get(email="+a@example.com").phone == "+1234567890"


def test_a_workbook_holds_text_cells_only(operator: Browser, upload: Upload) -> None:
    upload(FILE)
    exported = export(operator, XLSX)
    sheet = openpyxl.load_workbook(io.BytesIO(exported)).worksheets[0]
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} == {"s"}
    assert "'=HYPERLINK(0)" in [cell.value for cell in cells]
    assert "0049301234" in [cell.value for cell in cells]


def test_an_export_holds_what_the_list_showed(operator: Browser, upload: Upload) -> None:
    upload(FILE)
    text = export(operator, CSV, "?q=zoë").decode()
    assert "b@example.com" in text
    assert "a@example.com" not in text.replace("b@example.com", "")


def test_exporting_is_a_right_of_its_own(viewer: Browser) -> None:
    assert viewer.get(LIST).status_code == 200
    assert "export" not in viewer.get(LIST).content.decode()
    assert viewer.get(EXPORT).status_code == 403
    assert viewer.post(EXPORT, {"format": CSV, "resource": ""}).status_code == 403


def test_a_persons_edit_follows_the_imports_rules_and_belongs_to_no_run(
    operator: Browser, upload: Upload
) -> None:
    upload(FILE)
    client = Client.objects.get(email="b@example.com")
    form = {"name": "Bea", "email": "B@Example.com", "company": "Zoë", "phone": "12", "status": "Active"}
    page = operator.post(f"{LIST}{client.pk}/change/", form).content.decode()
    assert "Phone is not a phone number." in page
    operator.post(f"{LIST}{client.pk}/change/", {**form, "phone": "0 30 / 12".replace("/", "-") + "345"})
    client.refresh_from_db()
    assert (client.email, client.phone, client.status) == ("b@example.com", "03012345", "Active")
    assert client.changed_by_run is None
    assert client.created_by_run is not None


def test_a_clients_page_tells_which_imports_and_people_wrote_it(operator: Browser, upload: Upload) -> None:
    first = upload(FILE)
    second = upload(
        "Name,Email,Company,Phone,Status\nBea,b@example.com,New GmbH,,Active\n",
        Metadata={"import-on-conflict": "update"},
    )
    client = Client.objects.get(email="b@example.com")
    form = {"name": "Beate", "email": client.email, "company": "New GmbH", "phone": "", "status": "Active"}
    operator.post(f"{LIST}{client.pk}/change/", form)
    page = operator.get(f"{LIST}{client.pk}/change/")
    told = [(event.what, event.run, event.line) for event in page.context["client_history"]]
    assert told == [
        ("Edited by olivia", None, None),
        ("Updated", second, 2),
        ("Imported", first, 3),
    ]
    assert "Company Zoë GmbH" in page.content.decode()
    assert page.context["client_history"][0].note == "Name “Bea” → “Beate”; Phone “0049301234” → empty"


def test_history_says_when_an_undo_left_a_client_as_it_was(operator: Browser, upload: Upload) -> None:
    upload(FILE)
    text = "Name,Email,Company,Phone,Status\nBea,b@example.com,New,,Active\nA,+a@example.com,New,,Active\n"
    run = upload(text, Metadata={"import-on-conflict": "update"})
    edited, other = (Client.objects.get(email=email) for email in ("b@example.com", "+a@example.com"))
    form = {"name": "Beate", "email": edited.email, "company": "New", "phone": "", "status": "Active"}
    operator.post(f"{LIST}{edited.pk}/change/", form)
    undo.undo(run.pk)

    def what(client: Client) -> list[str]:
        page = operator.get(f"{LIST}{client.pk}/change/")
        return [event.what for event in page.context["client_history"] if event.run == run]

    assert what(edited) == ["Left as it was when the import was undone", "Updated"]
    assert what(other) == ["Undone", "Updated"]


def test_status_is_a_choice_and_one_from_before_stays_possible(operator: Browser, upload: Upload) -> None:
    upload(FILE)
    client = Client.objects.get(email="b@example.com")
    url = f"{LIST}{client.pk}/change/"
    choices = '<option value="Active">Active</option>', '<option value="Inactive" selected>Inactive</option>'
    page = operator.get(url).content.decode()
    assert all(choice in page for choice in choices)
    Client.objects.filter(pk=client.pk).update(status="Dormant")
    assert '<option value="Dormant" selected>Dormant</option>' in operator.get(url).content.decode()


def test_the_list_is_filtered_by_status_without_asking_the_table_which_there_are(
    operator: Browser, upload: Upload
) -> None:
    upload(FILE)
    with CaptureQueriesContext(connection) as queries:
        page = operator.get(LIST, {"status": "Inactive"}).content.decode()
    assert "b@example.com" in page
    assert "+a@example.com" not in page
    assert not any("DISTINCT" in query["sql"] for query in queries.captured_queries)


def test_an_export_lands_in_the_admin_log(operator: Browser, upload: Upload) -> None:
    upload(FILE)
    export(operator, CSV)
    assert LogEntry.objects.get().change_message == "Exported 2 as csv."
