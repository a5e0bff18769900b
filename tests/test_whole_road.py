"""S3 put → event → delivery → worker → table, audit, mail: fails when any link is cut."""

import time
from typing import Any

import boto3
import pytest

from clientimport import settings as project
from clients.models import Client, ImportRun, RejectedRow
from clients.models.states import Notification, State, Trigger
from local import aws
from tests.road import delivering

KEY = f"{project.IMPORT_PREFIX}März 100%+1.csv"
CSV = """Name,Email,Company,Phone,Status
Jane Smith,Jane.Smith@example.com,Widget Co,+49 30 901820,active
Nobody,not an address,Widget Co,,Active
"""


@pytest.mark.django_db(transaction=True)
def test_a_file_put_into_s3_ends_in_the_clients_table_in_the_audit_and_in_one_mail(
    bucket: str, settings: Any
) -> None:
    settings.EMAIL_BACKEND = project.EMAIL_BACKEND  # Django's test set-up keeps mails to itself
    mails_before = len(aws.mails())
    with delivering():
        uploaded = boto3.client("s3").put_object(Bucket=bucket, Key=KEY, Body=CSV.encode())
        boto3.client("s3").put_object(Bucket=bucket, Key="elsewhere.csv", Body=CSV.encode())
        until = time.monotonic() + 10
        while not ImportRun.objects.exclude(finished_at=None).exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert ImportRun.objects.exclude(finished_at=None).exists(), "not imported"

    client = Client.objects.get()
    assert (client.name, client.email, client.company, client.phone, client.status) == (
        "Jane Smith", "jane.smith@example.com", "Widget Co", "+4930901820", "Active",
    )  # fmt: skip

    run = ImportRun.objects.get()
    assert (run.bucket, run.key, run.version_id) == (bucket, KEY, uploaded["VersionId"])
    assert (run.trigger, run.state, run.deliveries) == (Trigger.S3_EVENT, State.PARTIAL, 1)
    assert (run.read, run.inserted, run.rejected) == (2, 1, 1)
    assert run.notification == Notification.SENT
    assert client.created_by_run_id == run.pk

    row = RejectedRow.objects.get()
    assert (row.run, row.line) == (run, 3)
    assert row.cells == ["Nobody", "not an address", "Widget Co", "", "Active"]
    assert [problem["code"] for problem in row.problems] == ["invalid-email"]

    [mail] = aws.mails(after=mails_before)
    assert mail["To"] == settings.NOTIFICATION_EMAIL
    assert mail["Subject"] == "1 row needs correction: März 100%+1.csv"
    for kind in ("plain", "html"):
        body = mail.get_body((kind,))
        assert body
        assert "line 3" in body.get_content()
        assert run.get_absolute_url() in body.get_content()
        assert "not an address" not in body.get_content(), "mails hold no cells"
