import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from clients.contract.problems import ProblemKind
from clients.contract.sentences import PROBLEMS
from clients.models.states import Trigger
from clients.reporting import kinds, mails
from tests.importing.conftest import ImportBytes

HEADER = b"Name,Email,Company,Phone,Status\n"


def test_a_mail_holds_every_problem_of_the_rows_that_it_names(import_bytes: ImportBytes) -> None:
    run = import_bytes(HEADER + b"Ada,no address,Acme,,Active\n" * 19 + b",no address,,1,Dormant\n")
    body = mails.message(run).body
    assert body.count("  line ") == 19 + 5
    assert "the others are listed" not in body
    for column in ("Name is", "Email is", "Company is", "Phone is", "Status must"):
        assert f"line 21: {column}" in body


def test_a_mail_says_when_there_are_more_rejected_rows(import_bytes: ImportBytes) -> None:
    run = import_bytes(HEADER + b"Ada,no address,Acme,,Active\n" * 21)
    body = mails.message(run).body
    assert body.count("  line ") == 20
    assert "the others are listed" in body


def test_a_mail_says_first_what_to_do_and_groups_the_reasons(
    import_bytes: ImportBytes, settings: Settings
) -> None:
    run = import_bytes(HEADER + b"Ada,no address,Acme,,Active\n" * 21)
    mail = mails.message(run)
    assert mail.subject == f"21 rows need correction: {run.file_name}"
    assert mail.from_email == f"Client import <{settings.DEFAULT_FROM_EMAIL}>"
    page = f"{settings.ADMIN_URL}clients/importrun/{run.pk}/"
    html = str(mail.alternatives[0][0])
    assert "  21  Email: not a valid address" in mail.body
    assert f"Fix rows: {page}change/#rejected" in mail.body
    for body in (str(mail.body), html):
        assert body.index(f"{page}rejected.csv") < body.index("Email: not a valid address")


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (b"Ada,ada@example.com,Acme,,Active\n", "Imported"),
        (b"Ada,bad,Acme,,Active\n", "1 row needs correction"),
    ],
)
def test_a_subject_says_what_to_do(text: bytes, subject: str, import_bytes: ImportBytes) -> None:
    assert mails.message(import_bytes(HEADER + text)).subject.startswith(f"{subject}: ")


def test_the_mail_goes_to_the_uploader_too_but_not_to_a_name_that_is_no_login(
    import_bytes: ImportBytes, settings: Settings
) -> None:
    User.objects.create_user("olivia", email="olivia@example.com")
    User.objects.create_user("gone", email="gone@example.com", is_active=False)
    run = import_bytes(HEADER + b"Ada,bad,Acme,,Active\n")
    run.uploader, run.trigger = "olivia", Trigger.UPLOAD_PAGE
    assert mails.message(run).to == [settings.NOTIFICATION_EMAIL, "olivia@example.com"]
    run.trigger = Trigger.S3_EVENT  # there the name is AWS's
    assert mails.message(run).to == [settings.NOTIFICATION_EMAIL]
    run.uploader, run.trigger = "gone", Trigger.UPLOAD_PAGE
    assert mails.message(run).to == [settings.NOTIFICATION_EMAIL]


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem_has_a_label_in_words(code: str) -> None:
    assert kinds.problem_label(ProblemKind("", code)) != f"Row: {code}"
