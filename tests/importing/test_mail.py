from clients.reporting import mails
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
