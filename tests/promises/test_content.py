"""Promises 12, 13, 17, 18, 19, 21 and 23: what is in files, and where it must never do harm."""

import csv
import gzip
import io
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import boto3
import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from clients.contract.formulas import neutralise, restore
from clients.contract.problems import FileFault
from clients.models import Client, ImportRun, RejectedRow
from clients.models.states import Notification, State
from clients.reading.reader import CsvReader
from clients.reading.source import Limits
from clients.reporting import mails
from tests.events import Context, put
from workers import import_processor

HEADER = "Name,Email,Company,Phone,Status\n"
MEGABYTE = 1024**2


# --- 12, 13 -------------------------------------------------------------------------------------


class Endless:
    """A stream that only ever ends when nobody reads on."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.given = 0

    def read(self, size: int, /) -> bytes:
        block = next(self._blocks, b"")
        self.given += len(block)
        return block


def bomb() -> Iterator[bytes]:
    """A gzip file of some hundred kilobytes that unpacks to 30 MB of good rows."""
    packer = io.BytesIO()
    with gzip.GzipFile(fileobj=packer, mode="wb", compresslevel=9) as file:
        file.write(HEADER.encode())
        rows = b"Ada,ada@example.com,Acme,,Active\n" * 30_000
        for _ in range(30):
            file.write(rows)
    packed = packer.getvalue()
    assert len(packed) < 2 * MEGABYTE
    return (packed[start : start + 65_536] for start in range(0, len(packed), 65_536))


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        (bomb, "too-large-unpacked"),
        (lambda: chain([HEADER.encode()], repeat(b"a" * 65_536)), "row-too-long"),
        (lambda: repeat(b"a" * 65_536), "row-too-long"),
        (lambda: chain([HEADER.encode(), b'"'], repeat(b"a\n" * 32_768)), "row-too-long"),
        (lambda: chain([HEADER.encode()], repeat(b"," * 65_536)), "row-too-long"),
        (lambda: iter([HEADER.encode(), b"," * 900_000 + b"\n"]), "too-many-cells"),
        (lambda: iter([b"," * 900_000 + b"\n"]), "empty"),
        (lambda: chain([HEADER.encode()], repeat(b"A,a@example.com,C,,Active\n" * 2_000)), "too-many-rows"),
        (lambda: repeat(b"\n" * 65_536), "too-large"),
    ],
    ids=["gzip bomb", "endless line", "endless header", "endless quote", "endless columns", "900,000 cells",
         "900,000 titles", "endless rows", "endless blank lines"],
)  # fmt: skip
def test_promise_13_is_stopped_by_a_limit_with_bounded_memory(
    blocks: Callable[[], Iterator[bytes]], code: str
) -> None:
    stream = Endless(blocks())
    limits = Limits(bytes=8 * MEGABYTE, decompressed_bytes=8 * MEGABYTE, rows=270_000)
    tracemalloc.start()
    try:
        with pytest.raises(FileFault) as fault:
            for _ in CsvReader(stream, limits):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert fault.value.code == code
    assert peak < 100 * MEGABYTE


def test_promise_12_a_truncated_gzip_file_is_a_fault_of_the_file(bucket: str, transactional_db: None) -> None:
    packed = gzip.compress((HEADER + "Ada,ada@example.com,Acme,,Active\n" * 50).encode())
    import_processor.handler(put("a.csv.gz", packed[:-10]), Context())

    run = ImportRun.objects.get()
    assert (run.state, run.fault_code, run.attempt) == (State.REJECTED, "gzip-truncated", 1)
    assert not Client.objects.exists()


# --- 17, 18 -------------------------------------------------------------------------------------

AWKWARD = (
    r"\N", r"\.", r"\\", r"a\tb", "O'Hara", 'The "Acme" Co', "Acme, Inc; Ltd | Co", "😀 𝔘𝔫𝔦",
    "=1+1", "+1", "-1", "@SUM(A1)", "%s %(name)s {} {0}", "$1 ${x}", "<b>x</b>", "';--", "NULL", "ﷺ",
)  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_promise_17_awkward_cells_are_stored_to_the_letter(bucket: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("Name", "Email", "Company", "Phone", "Status"))
    for number, cell in enumerate(AWKWARD):
        writer.writerow((cell, f"client-{number}@example.com", cell, "", "active"))
    for bad in ("a\x00b", "a\x1bb", "a\u202eb"):
        writer.writerow((bad, "bad@example.com", "Acme", "", "active"))

    import_processor.handler(put("a.csv", text.getvalue()), Context())

    stored = dict(Client.objects.values_list("name", "company"))
    assert stored == {cell: cell for cell in AWKWARD}
    rejected = RejectedRow.objects.values_list("cells", "problems")
    assert [cells and cells[0] for cells, _ in rejected] == ["a␀b", "a\x1bb", "a\u202eb"]
    assert {problem["code"] for _, problems in rejected for problem in problems} == {"control-character"}


@pytest.mark.parametrize("cell", [*AWKWARD, "\t=1", "\r=1", "'=1", "''=1", "+4930123456", "'", "", "x=1"])
def test_promise_18_an_exported_cell_is_no_formula_and_comes_back_as_it_was(cell: str) -> None:
    exported = neutralise(cell)

    assert not exported.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert restore(exported) == cell


# --- 19 -----------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>"


def html_of(message: EmailMessage) -> str:
    assert isinstance(message, EmailMultiAlternatives)
    return str(message.alternatives[0][0])


@pytest.mark.django_db(transaction=True)
def test_promise_19_html_in_keys_and_cells_is_escaped_in_the_mail_and_the_admin(
    bucket: str, admin_client: Any
) -> None:
    rows = f"{EVIL},ada@example.com,{EVIL},,Active\n{EVIL},bob@example.com,,,{EVIL}\n"
    import_processor.handler(put(f"{EVIL}.csv".replace("/", "_"), HEADER + rows), Context())
    import_processor.handler(put("b.csv", f"{EVIL},Email\n"), Context())

    runs = ImportRun.objects.order_by("id")
    assert [run.state for run in runs] == [State.PARTIAL, State.REJECTED]
    pages = [
        *(reverse("admin:clients_importrun_change", args=[run.pk]) for run in runs),
        reverse("admin:clients_importrun_changelist"),
        reverse("admin:clients_client_changelist"),
        reverse("admin:clients_client_change", args=[Client.objects.get().pk]),
        reverse("admin:index"),
    ]
    seen = [str(admin_client.get(page).content.decode()) for page in pages]
    seen += [html_of(message) for message in mail.outbox]

    assert sum("&lt;script&gt;" in html for html in seen) >= 5
    for html in seen:
        assert "<script>alert" not in html


# --- 21 -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_promise_21_a_mail_that_ses_refuses_leaves_the_import_alone_and_goes_out_later(
    bucket: str, settings: Settings
) -> None:
    """Through the real backend to the local SES, which refuses senders that it does not know."""
    settings.EMAIL_BACKEND = "anymail.backends.amazon_ses.EmailBackend"
    settings.DEFAULT_FROM_EMAIL = "unknown@clientdomain.com"

    import_processor.handler(put("a.csv", HEADER + "Ada,ada@example.com,Acme,,Active\n"), Context())

    run = ImportRun.objects.get()
    assert (run.state, run.inserted) == (State.SUCCEEDED, 1)
    assert (run.notification, run.notification_attempts) == (Notification.PENDING, 1)
    assert run.notification_error
    assert "unknown@" not in run.notification_error
    assert run.notification_claimed_until is not None
    assert run.notification_claimed_until > timezone.now()  # the pause before the next try

    boto3.client("ses").verify_email_identity(EmailAddress="unknown@clientdomain.com")
    assert not mails.send(run)
    ImportRun.objects.update(notification_claimed_until=timezone.now())
    assert mails.send(run)
    run.refresh_from_db()
    assert (run.notification, run.notification_error) == (Notification.SENT, "")


# --- 23 -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_promise_23_a_staff_user_without_rights_sees_no_client_no_run_and_no_rejected_cell(
    client: Any,
) -> None:
    run = ImportRun.objects.create(key="k", state=State.PARTIAL, read=1, rejected=1)
    RejectedRow.objects.create(run=run, line=2, cells=["Lovelace"], problems=[])
    person = Client.objects.create(name="Lovelace", email="a@example.com", company="Acme", status="Active")
    client.force_login(User.objects.create_user("staff", is_staff=True))

    for page in (
        reverse("admin:clients_importrun_changelist"),
        reverse("admin:clients_importrun_change", args=[run.pk]),
        reverse("admin:clients_client_changelist"),
        reverse("admin:clients_client_change", args=[person.pk]),
    ):
        assert client.get(page).status_code == 403, page
    assert "Lovelace" not in client.get(reverse("admin:index")).content.decode()


@pytest.mark.django_db(transaction=True)
def test_promise_23_who_may_see_runs_does_not_thereby_see_rejected_cells(client: Any) -> None:
    run = ImportRun.objects.create(key="k", state=State.PARTIAL, read=1, rejected=1)
    RejectedRow.objects.create(run=run, line=2, cells=["Lovelace"], problems=[])
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_importrun"))
    client.force_login(user)

    page = client.get(reverse("admin:clients_importrun_change", args=[run.pk]))

    assert page.status_code == 200
    assert "Lovelace" not in page.content.decode()
