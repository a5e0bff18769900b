"""The front page, and the dead-letter queue's page behind it."""

import json
from collections.abc import Iterator
from datetime import date, timedelta

import boto3
import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client as Browser
from django.utils import timezone
from pytest_django import Settings

from clients.admin.dashboard import chart
from clients.models import ImportRun
from clients.models.states import Notification, State
from tests.admin.conftest import Upload

HOME = "/admin/"
DEAD_LETTERS = "/admin/clients/importrun/dead-letters/"
FILE = "Name,Email,Company,Phone,Status\nAda,ada@example.com,Acme,,Active\nBob,bad,Acme,,Active\n"


@pytest.fixture(autouse=True)
def dead_letter_queue(settings: Settings) -> Iterator[str]:
    sqs = boto3.client("sqs")
    settings.IMPORT_DEAD_LETTER_QUEUE = "dead-letters-of-the-admin"
    url = sqs.create_queue(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def test_it_shows_the_last_runs_the_charts_and_that_all_is_well(operator: Browser, upload: Upload) -> None:
    upload(FILE, "spring.csv")
    page = operator.get(HOME).content.decode()
    assert "spring.csv" in page
    assert "2 rows: 1 new, 1 rejected" in page
    assert "Email: not a valid address" in page
    assert '<rect class="inserted"' in page
    assert "spring.csv: 1 of 1 rejected rows left to correct." in page
    assert "Nothing needs your attention." not in page


def test_all_is_well_once_everything_is_in(operator: Browser, upload: Upload) -> None:
    upload(FILE.replace("bad", "bob@example.com"), "spring.csv")
    assert "Nothing needs your attention." in operator.get(HOME).content.decode()


def told(browser: Browser) -> list[str]:
    return [thing.text for thing in browser.get(HOME).context["overview"]["attention"]]


def test_rows_are_left_until_corrections_and_their_corrections_have_brought_them_in(
    operator: Browser, upload: Upload
) -> None:
    bad = FILE + "Cyd,bad,Acme,,Active\n"
    first = upload(bad, "spring.csv")
    assert told(operator) == ["spring.csv: 2 of 2 rejected rows left to correct."]
    header = "Name,Email,Company,Phone,Status,Line\n"
    name = f"spring-rejected-rows-of-run-{first.pk}.csv"
    second = upload(header + "Bob,bob@example.com,Acme,,Active,3\nCyd,still bad,Acme,,Active,4\n", name)
    assert second.corrects == first
    assert told(operator) == ["spring.csv: 1 of 2 rejected rows left to correct."]
    upload(header + "Cyd,cyd@example.com,Acme,,Active,3\n", f"spring-rejected-rows-of-run-{second.pk}.csv")
    assert told(operator) == []


def test_a_rejected_file_waits_until_one_of_its_name_is_imported(operator: Browser, upload: Upload) -> None:
    upload("%PDF-1.4 not a table\n", "a/spring.csv")
    assert told(operator) == ["spring.csv: file not imported."]
    upload(FILE.replace("bad", "bob@example.com"), "b/other.csv")
    assert told(operator) == ["spring.csv: file not imported."]
    upload(FILE.replace("bad", "bob@example.com"), "b/spring.csv")
    assert told(operator) == []


def test_a_preview_leaves_nothing_to_do(operator: Browser, upload: Upload) -> None:
    upload(FILE, Metadata={"import-mode": "preview"})
    assert told(operator) == []


def test_of_many_files_some_are_named_and_the_others_counted(operator: Browser) -> None:
    for number in range(8):
        ImportRun.objects.create(key=f"{number}.csv", state=State.REJECTED)
    assert told(operator)[0] == "7.csv: file not imported."
    assert told(operator)[-1] == "3 more like it."


def test_it_says_what_needs_attention(operator: Browser, settings: Settings, dead_letter_queue: str) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    ImportRun.objects.create(key="a", state=State.FAILED)
    ImportRun.objects.create(key="b", created_at=long_ago)
    ImportRun.objects.create(
        key="c", state=State.SUCCEEDED, finished_at=long_ago, notification=Notification.PENDING
    )
    boto3.client("sqs").send_message(QueueUrl=dead_letter_queue, MessageBody="{}")
    page = operator.get(HOME).content.decode()
    assert "a: import failed, nothing was imported." in page
    assert "1 file waits to be imported." in page
    assert "1 mail could not be sent yet." in page
    assert "1 delivery failed several times and waits for you." in page
    settings.IMPORT_DEAD_LETTER_QUEUE = "no-such-queue"
    assert "can’t be read right now" in operator.get(HOME).content.decode()


def test_it_shows_nothing_of_the_imports_to_those_without_the_right(nobody: Browser, upload: Upload) -> None:
    upload(FILE, "spring.csv")
    page = nobody.get(HOME)
    assert page.status_code == 200
    assert "spring.csv" not in page.content.decode()


def test_the_charts_bars_stack_up_to_the_scale() -> None:
    day = date(2026, 11, 9)
    drawn = chart({day: {"inserted": 10, "updated": 5, "rejected": 5}}, day)
    parts = drawn["bars"][0]["parts"]
    assert [float(part["height"]) for part in parts] == [60, 30, 30]
    assert [float(part["y"]) for part in parts] == [70, 40, 10]
    assert [line["text"] for line in drawn["lines"]] == ["0", "10", "20"]


def test_failed_deliveries_are_joined_to_their_runs_and_delivered_again(
    operator: Browser, upload: Upload, settings: Settings, dead_letter_queue: str
) -> None:
    run = upload(FILE)
    sqs = boto3.client("sqs")
    event = {"command": "workers.import_processor.run_queued", "run": run.pk}
    sqs.send_message(
        QueueUrl=dead_letter_queue,
        MessageBody=json.dumps(event),
        MessageAttributes={"ErrorMessage": {"DataType": "String", "StringValue": "run 1: OperationalError"}},
    )
    page = operator.get(DEAD_LETTERS)
    assert run.get_absolute_url() in page.content.decode()
    assert "OperationalError" in page.content.decode()
    operator.post(DEAD_LETTERS, {"message": page.context["letters"][0].message_id})
    assert "There are none" in operator.get(DEAD_LETTERS).content.decode()
    url = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    assert json.loads(sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"]) == event
    assert LogEntry.objects.get().change_message == "Delivered 1 again."


def test_delivering_again_is_a_right_of_its_own(viewer: Browser, nobody: Browser) -> None:
    assert viewer.get(DEAD_LETTERS).status_code == 200
    assert viewer.post(DEAD_LETTERS).status_code == 403
    assert nobody.get(DEAD_LETTERS).status_code == 403
