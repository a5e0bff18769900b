"""Files as address books, CRMs, shops, spreadsheets and databases write them: each comes in, or says why not.

The headers, quoting, encodings and line ends are those of the programs; the people are made up.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
from pytest_django import Settings

from clients.models import Client
from clients.models.states import State
from tests.importing.conftest import ImportBytes

FILES = Path(__file__).parent / "files"
AWKWARD = Path(__file__).parent / "awkward"
KIM = ("Kim Example", "kim@example.com", "Tech Style Ltd")


class Outcome(NamedTuple):
    """The clients (name, email, company, phone, status), problems (column, code), and the fault's code."""

    clients: tuple[tuple[str, ...], ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    fault: str = ""


def kim(phone: str = "", **others: str) -> tuple[str, ...]:
    name, email, company = KIM
    return (others.get("name", name), email, others.get("company", company), phone, "Active")


EXPORTS = {
    "airtable": Outcome(
        (kim("5550104477", company='"Tech Style Ltd"'),), (("Email", "missing"), ("Company", "missing"))
    ),
    "azure-ad": Outcome((kim("+447700900123"),)),
    "excel-english-scientific": Outcome(
        (("Pat Example", "pat@example.com", "Tech Style Ltd", "447700900123", "Active"),),
        (("Phone", "phone-scientific"),),
    ),
    "excel-german": Outcome((("Jörg Müller", "joerg@example.de", "Beispiel GmbH", "030123456", "Active"),)),
    "excel-trailing-rows": Outcome((kim("447700900123"),)),
    "google-new": Outcome((kim("+447700900123"),)),
    "hubspot": Outcome((kim("+15550104477"),)),
    "mailchimp": Outcome(fault="column-missing"),
    "mysql-outfile": Outcome((kim(),), (("", "cell-count"),)),
    "notion": Outcome((kim("5550104477", company="Tech Style Ltd (https://www.notion.so/x)"),)),
    "odoo": Outcome((kim("+447700900123", name="Tech Style Ltd, Kim Example"),)),
    "outlook-desktop": Outcome(problems=(("Phone", "phone-extension"),)),
    "outlook-german": Outcome(
        (("Jörg Müller", "joerg.mueller@example.de", "Beispiel GmbH", "+4930123456", "Active"),)
    ),
    "pandas": Outcome(
        (kim("447700900123"), ("Pat Example", "pat@example.com", "Tech Style Ltd", "", "Active"))
    ),
    "phpmyadmin": Outcome(fault="backslash-escapes"),
    "pipedrive": Outcome((kim("+447700900123"),)),
    "psql-copy": Outcome((kim(company='Tech "Style" Ltd'),)),
    "salesforce-renamed": Outcome((kim("5550104477"),)),
    "salesforce-report": Outcome((kim("5550104477"),)),
    "shopify": Outcome((kim("+447700900123"),)),
    "sqlserver-bcp": Outcome((kim(),)),
    "stripe": Outcome(fault="column-missing"),
    "suitecrm": Outcome(problems=(("Status", "invalid-status"),)),
    "zoho": Outcome((kim("5550104477"),)),
}

ADA = ("Ada", "ada@example.com", "Acme", "", "Active")
K = ("Kim", "k@example.com", "Acme", "", "Active")
AWKWARD_FILES = {
    "c1-email-with-zero-width-space": Outcome((ADA,), (("Email", "duplicate"),)),
    "c2-phone-as-float": Outcome((("John", "john@example.com", "Acme", "15551234567", "Active"),)),
    "c3-phone-with-trunk-zero": Outcome((("Jörg", "j@example.com", "Acme", "+4930123456", "Active"),)),
    "c4-two-phones-in-a-cell": Outcome(problems=(("Phone", "several-phones"),)),
    "c5-rows-of-delimiters-only": Outcome((K,)),
    "c5-tab-rows": Outcome((K,)),
    "c6-invisible-in-status": Outcome((ADA,)),
    "c6-invisible-name": Outcome(problems=(("Name", "missing"), ("Company", "missing"))),
    "c8-no-break-space-before-a-quote": Outcome(
        (
            ("Doe, John", "john@example.com", "Acme", "", "Active"),
            ("Jane", "jane@example.com", "Acme", "", "Active"),
        )
    ),
    "c9-windows-1251": Outcome(fault="encoding-unknown"),
    "f1-headerless-bad-first-email": Outcome(fault="header-missing"),
    "f1-headerless-six-columns": Outcome(fault="header-missing"),
    "f2-header-title-swallows-a-row": Outcome(fault="quote-not-closed"),
    "f3-stray-pair-behind-a-quoted-name": Outcome(fault="quote-not-closed"),
    "f3-stray-pair-swallows-a-row-without-email": Outcome(fault="quote-not-closed"),
    "f4-header-quote-never-closed": Outcome(fault="quote-not-closed"),
    "f5-two-byte-order-marks": Outcome((("John", "john@example.com", "Acme", "", "Active"),)),
    "f6-header-over-64-kb": Outcome((ADA,)),
    "f7-capital-dotted-i": Outcome(problems=(("Email", "invalid-email"),)),
    "f7-what-was-stored": Outcome(problems=(("Email", "invalid-email"),)),
    "u1-some-lines-quoted": Outcome(
        (("Jane", "jane@example.com", "W", "", "Active"),), (("", "line-quoted"),)
    ),
    "u1-whole-lines-quoted": Outcome(fault="lines-quoted"),
    "u2-ctrl-z-at-the-end": Outcome((K,)),
    "u3-phone-and-mobile": Outcome((("Kim Example", "kim@example.com", "Tech", "5550104477", "Active"),)),
    "u4-sep-between-quotes": Outcome((ADA,)),
}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        *((FILES / f"{name}.csv", outcome) for name, outcome in EXPORTS.items()),
        *((AWKWARD / f"{name}.csv", outcome) for name, outcome in AWKWARD_FILES.items()),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_what_comes_of_it(
    file: Path, expected: Outcome, import_bytes: ImportBytes, settings: Settings
) -> None:
    settings.IMPORT_DEFAULT_STATUS = "Active"
    run = import_bytes(file.read_bytes())
    found = [
        (problem.column, problem.code)
        for row in run.rejected_rows.order_by("line")
        for problem in row.read_problems()
    ]
    clients = Client.objects.order_by("email").values_list("name", "email", "company", "phone", "status")
    assert (run.fault_code, found, list(clients)) == (
        expected.fault, list(expected.problems), sorted(expected.clients, key=lambda client: client[1])
    )  # fmt: skip
    assert (run.state == State.REJECTED) is bool(expected.fault)


def test_every_file_is_in_the_table() -> None:
    assert {path.stem for path in FILES.iterdir()} == set(EXPORTS)
    assert {path.stem for path in AWKWARD.iterdir()} == set(AWKWARD_FILES)


@pytest.mark.parametrize("file", sorted(AWKWARD.glob("f*.csv")), ids=lambda path: path.stem)
def test_no_sentence_shows_a_client(file: Path, import_bytes: ImportBytes) -> None:
    run = import_bytes(file.read_bytes())
    told = " ".join([run.fault, *(notice.sentence() for notice in run.notices)])
    for cell in ("John", "Jane", "Doe", "example", "15550100", "Acme"):
        assert cell not in told.replace("name@example.com", "")


def test_what_was_decided_for_the_user_is_told_with_titles_on_the_page_and_without_in_mails(
    import_bytes: ImportBytes, settings: Settings
) -> None:
    settings.IMPORT_DEFAULT_STATUS = "Active"
    run = import_bytes((FILES / "google-new.csv").read_bytes())
    told = [notice.sentence() for notice in run.notices]
    assert "Name was read from “First Name” + “Last Name”." in told
    assert "The file has no Status; new clients get “Active”." in told
    assert not any("“First" in notice.sentence(discreet=True) for notice in run.notices)


def test_a_default_is_for_new_clients_only(import_bytes: ImportBytes, settings: Settings) -> None:
    settings.IMPORT_DEFAULT_STATUS = "Active"
    header = b"Name,Email,Company,Phone,Status\n"
    import_bytes(header + b"Ada,ada@example.com,Acme,12345,Inactive\n")
    again = import_bytes(b"Name,Email,Company\nAda,ada@example.com,Acme\n")
    assert (again.unchanged, again.rejected) == (1, 0), "a missing column says nothing"
    changed = import_bytes(b"Name,Email,Company\nAda L,ada@example.com,Acme\n", policy="update")
    assert changed.updated == 1
    assert Client.objects.values_list("name", "phone", "status").get() == ("Ada L", "12345", "Inactive")


def test_an_update_may_bring_only_the_email_and_what_changes(import_bytes: ImportBytes) -> None:
    import_bytes(b"Name,Email,Company,Phone,Status\nAda,ada@example.com,Acme,12345,Active\n")
    run = import_bytes(b"Email,Phone\nada@example.com,99999\nnew@example.com,12345\n", policy="update")
    assert (run.updated, run.inserted, run.rejected) == (1, 0, 1)
    [row] = run.rejected_rows.all()
    assert [problem.code for problem in row.read_problems()] == ["unknown-client"]
    assert Client.objects.values_list("name", "phone").get() == ("Ada", "99999")
