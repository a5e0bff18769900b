"""Promises 1 to 6, 14 and 20: events as they come, doubled, out of order, strange, and failing."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus

import boto3
import psycopg2
import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from clientimport.logs import JsonFormatter
from clients.aws import storage
from clients.errors import ImportFailed
from clients.importing.staging import Staging
from clients.models import Client, ImportRun
from clients.models.states import ImpossibleMove, Notification, State
from clients.reporting import mails
from tests.events import Context, event_of, merged, put
from workers import import_processor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("bucket")]

HEADER = "Name,Email,Company,Phone,Status\n"
CSV = HEADER + "Ada,ada@example.com,Acme,,Active\n"


def deliver(event: Any, context: Context | None = None) -> list[str]:
    """The states of the event's runs."""
    runs: list[dict[str, Any]] = import_processor.handler(event, context or Context())["runs"]
    return [run["state"] for run in runs]


@pytest.fixture
def plain_bucket(settings: Settings) -> Iterator[str]:
    """An upload bucket that keeps no versions."""
    settings.IMPORT_BUCKET = "bucket-without-versions"
    bucket = boto3.resource("s3").create_bucket(Bucket=settings.IMPORT_BUCKET)
    yield settings.IMPORT_BUCKET
    bucket.objects.delete()
    bucket.delete()


# --- 1 to 5 -------------------------------------------------------------------------------------


def test_promise_1_the_same_event_twice_in_sequence_is_one_run_and_one_mail() -> None:
    event = put("a.csv", CSV)

    assert [deliver(event), deliver(event)] == [["succeeded"], ["succeeded"]]

    run = ImportRun.objects.get()
    assert (run.attempt, run.deliveries, Client.objects.count()) == (1, 1, 1)
    assert len(mail.outbox) == 1


def test_promise_2_an_event_that_comes_after_a_newer_one_of_its_key_is_skipped() -> None:
    older = put("a.csv", CSV.replace("Acme", "Old"))
    newer = put("a.csv", CSV)

    assert [deliver(newer), deliver(older)] == [["succeeded"], ["skipped"]]

    assert Client.objects.get().company == "Acme"
    assert len(mail.outbox) == 1


def test_promise_2_sequencers_are_compared_as_s3_says() -> None:
    """The shorter one is filled up with zeros on the right, and hexadecimal digits have no case."""
    older, newer = put("a.csv", CSV), put("a.csv", CSV)
    older["Records"][0]["s3"]["object"]["sequencer"] = "00A0"
    newer["Records"][0]["s3"]["object"]["sequencer"] = "00a1"
    same_length = deliver(newer) + deliver(older)
    shorter, longer = put("b.csv", CSV), put("b.csv", CSV)
    shorter["Records"][0]["s3"]["object"]["sequencer"] = "0A"
    longer["Records"][0]["s3"]["object"]["sequencer"] = "0A1"

    assert same_length == ["succeeded", "skipped"]
    assert deliver(longer) + deliver(shorter) == ["succeeded", "skipped"]


def test_promise_2_different_keys_are_never_compared() -> None:
    first, second = put("a.csv", CSV), put("b.csv", CSV)

    assert deliver(second) + deliver(first) == ["succeeded", "succeeded"]


def test_promise_3_an_overwritten_object_is_imported_as_the_event_says() -> None:
    event = put("a.csv", CSV)
    put("a.csv", CSV.replace("Ada", "Eve"))

    assert deliver(event) == ["succeeded"]
    assert Client.objects.get().name == "Ada"


def test_promise_3_without_versions_an_overwritten_object_is_a_clear_fault(plain_bucket: str) -> None:
    event = put("a.csv", CSV)
    put("a.csv", CSV.replace("Ada", "Eve"))

    assert deliver(event) == ["rejected"]
    assert ImportRun.objects.get().fault_code == "object-replaced"


@pytest.mark.parametrize("versioned", [True, False])
def test_promise_3_a_deleted_object_is_a_clear_fault_and_no_retry(
    versioned: bool, request: pytest.FixtureRequest
) -> None:
    bucket = request.getfixturevalue("bucket" if versioned else "plain_bucket")
    event = put("a.csv", CSV)
    boto3.resource("s3").Bucket(bucket).object_versions.delete()

    assert deliver(event) == ["rejected"]

    run = ImportRun.objects.get()
    assert (run.fault_code, run.attempt) == ("object-gone", 1)
    assert "Upload it again" in mail.outbox[0].body


def test_promise_4_each_record_is_a_run_of_its_own_and_all_are_finished_before_anything_is_raised(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.IMPORT_RETRY_SECONDS = 0
    event = merged(put("bad.csv", CSV), put("good.csv", CSV), put("faulty.csv", ""))
    original = storage.open_version

    def unreachable(version: storage.ObjectVersion) -> storage.Download:
        if version.key.endswith("bad.csv"):
            raise OperationalError
        return original(version)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "open_version", unreachable)
        with pytest.raises(ImportFailed):
            deliver(event)

    states = dict(ImportRun.objects.values_list("key", "state"))
    assert {key.rsplit("/")[-1]: state for key, state in states.items()} == {
        "bad.csv": State.QUEUED,
        "good.csv": State.SUCCEEDED,
        "faulty.csv": State.REJECTED,
    }
    assert deliver(event) == ["succeeded", "succeeded", "rejected"]
    assert len(mail.outbox) == 3


@pytest.mark.parametrize(
    "event",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "client-data-import-bucket"},
        {},
        [],
        None,
        "text",
        {"Records": None},
        {"Records": [None, 7, {}, {"eventName": 1}, {"eventName": "ObjectCreated:Put", "s3": {}}]},
        {"Records": [{"eventName": "ObjectRemoved:Delete"}]},
    ],
)
def test_promise_5_test_events_and_unknown_payloads_are_harmless(event: Any) -> None:
    assert deliver(event) == []
    assert not ImportRun.objects.exists()


def test_promise_5_objects_elsewhere_are_no_uploads() -> None:
    event = put("a.csv", CSV)
    for name, value in (("key", "other/a.csv"), ("key", "client-data/uploads/folder/")):
        event["Records"][0]["s3"]["object"][name] = value
        assert deliver(event) == []
    event["Records"][0]["s3"]["bucket"]["name"] = "somebody-elses"
    assert deliver(event) == []


# --- 6 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a b.csv", "a+b.csv", "100%.csv", "%20.csv", "a%2Bb.csv", "ü 😀/ñ.csv", "&<>.csv"]
)
def test_promise_6_keys_are_decoded_exactly_once(name: str) -> None:
    assert deliver(put(name, CSV)) == ["succeeded"]

    run = ImportRun.objects.get()
    assert run.key == f"client-data/uploads/{name}"
    assert run.file_name in mail.outbox[0].subject


def test_promise_6_a_line_break_in_a_key_is_safe_in_subject_log_and_audit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The local S3 can't hold such a key, so its object is gone when it comes to reading."""
    key = "client-data/uploads/a\r\nBcc: all@example.com\u202e.csv"
    event = event_of(key, {"ETag": '"0"'})
    assert event["Records"][0]["s3"]["object"]["key"] == quote_plus(key)

    with caplog.at_level(logging.DEBUG):
        deliver(event)

    assert ImportRun.objects.get().key == key
    subject = mail.outbox[0].subject
    assert not {"\r", "\n", "\u202e"} & set(subject)
    assert mail.outbox[0].message()["Bcc"] is None
    assert all(len(_as_logged(record).splitlines()) == 1 for record in caplog.records)


def _as_logged(record: logging.LogRecord) -> str:
    return JsonFormatter().format(record)


# --- 14 -----------------------------------------------------------------------------------------


def test_promise_14_after_three_failed_attempts_the_run_says_failed_with_one_mail(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.IMPORT_RETRY_SECONDS = 0
    event, context, states = put("a.csv", CSV), Context(), []

    def broken(*_: Any, **__: Any) -> None:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(Staging, "merge", broken)
        for _ in range(3):
            with pytest.raises(ImportFailed):
                deliver(event, context)
            states.append(ImportRun.objects.get().state)

    assert states == [State.QUEUED, State.QUEUED, State.FAILED]
    assert [message.subject for message in mail.outbox] == ["Import failed: a.csv"]
    assert Client.objects.count() == 0

    # A redrive, later: the run starts over, and so does the count of its deliveries.
    with monkeypatch.context() as patch:
        patch.setattr(Staging, "merge", broken)
        with pytest.raises(ImportFailed):
            deliver(event)
    assert ImportRun.objects.get().state == State.QUEUED
    assert deliver(event) == ["succeeded"]
    assert deliver(event) == ["succeeded"]
    assert len(mail.outbox) == 2


def test_a_failed_run_that_is_begun_anew_has_no_mail_about_its_failure_any_more() -> None:
    run = ImportRun.objects.create(key="k", state=State.FAILED, notification=Notification.PENDING)

    assert run.claim("redrive")

    assert not mails.send(run)
    assert mail.outbox == []


def test_a_late_sender_can_not_mark_the_mail_of_the_next_attempt_as_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = ImportRun.objects.create(key="k", state=State.FAILED, notification=Notification.PENDING)

    def redriven_meanwhile(message: EmailMultiAlternatives) -> None:
        other = ImportRun.objects.get()
        assert other.claim("redrive")
        other.finish(State.SUCCEEDED, notification=Notification.PENDING)

    with monkeypatch.context() as patch:
        patch.setattr(EmailMultiAlternatives, "send", redriven_meanwhile)
        mails.send(run)

    assert mails.send(ImportRun.objects.get())
    assert len(mail.outbox) == 1


@pytest.mark.parametrize(("deliveries", "raises"), [(1, False), (2, False), (3, True)])
def test_promise_1_a_duplicate_is_dropped_while_another_worker_is_at_it_unless_nobody_else_would_come(
    deliveries: int, raises: bool
) -> None:
    event = put("a.csv", CSV)
    deliver(event)
    in_a_minute = timezone.now() + timedelta(minutes=1)
    ImportRun.objects.update(state=State.RUNNING, lease_expires_at=in_a_minute, deliveries=deliveries)

    if raises:
        with pytest.raises(ImportFailed, match="another worker"):
            deliver(event)
    else:
        assert deliver(event) == ["running"]
    run = ImportRun.objects.get()
    assert (run.attempt, run.deliveries, run.lease_expires_at) == (1, deliveries, in_a_minute)


@pytest.mark.parametrize(
    "state", [State.SUCCEEDED, State.PARTIAL, State.REJECTED, State.SKIPPED, State.UNDONE]
)
def test_a_finished_run_can_not_be_claimed_or_moved(state: State) -> None:
    run = ImportRun.objects.create(key="k", state=state)

    assert not run.claim("r")
    for move in (State.RUNNING, State.QUEUED, State.FAILED, State.REJECTED, State.SKIPPED):
        with pytest.raises(ImpossibleMove):
            run.finish(move)
    assert ImportRun.objects.get().state == state


# --- 20 -----------------------------------------------------------------------------------------


def test_promise_20_no_personal_data_in_logs_errors_and_mails(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """One import with good and bad rows, and one that PostgreSQL refuses, quoting the row."""
    settings.IMPORT_RETRY_SECONDS = 0
    secrets = ("Lovelace", "lovelace@example.com", "5550199", "Secret Ltd")
    rows = (
        "Ada Lovelace,lovelace@example.com,Secret Ltd,5550199,Active\n"
        "Ada Lovelace,lovelace@example.com,Secret Ltd,5550199,Active\n"
        "Ada Lovelace,lovelace@example.com.,Secret Ltd,5550199x,Lovelace\n"
        "Ada Lovelace,lovelace@example.com,Secret Ltd\n"
    )

    def violates(*_: Any, **__: Any) -> None:
        client = Client.objects.create(name="Lovelace", email="lovelace@example.com", company="Secret Ltd")
        with pytest.raises(Exception, match=r"lovelace@example\.com") as refused:
            Client.objects.create(name="Lovelace", email=client.email, company="Secret Ltd")
        raise refused.value

    with caplog.at_level(logging.DEBUG):
        deliver(put("good.csv", HEADER + rows))
        Client.objects.all().delete()
        with monkeypatch.context() as patch:
            patch.setattr(Staging, "merge", violates)
            bad, context = put("bad.csv", HEADER + rows), Context()
            for _ in range(3):
                with pytest.raises(ImportFailed) as raised:
                    deliver(bad, context)

    logged = "\n".join(
        _as_logged(record) for record in caplog.records if record.name.startswith(("clients", "workers"))
    )
    assert "finished" in logged
    sent = "\n".join(f"{m.subject} {m.body} {getattr(m, 'alternatives', None)}" for m in mail.outbox)
    assert "line 3" in sent
    audit = json.dumps(list(ImportRun.objects.values("fault_params", "stored_notices", "problem_counts")))
    for secret in secrets:
        assert secret not in logged
        assert secret not in str(raised.value)
        assert secret not in sent
        assert secret not in audit
    assert raised.value.__cause__ is None
    assert psycopg2.errors.UniqueViolation.__name__ not in sent


def test_promise_20_a_faulty_header_is_not_repeated_in_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        deliver(put("a.csv", "Ada Lovelace,1815\nx,y\n"))

    assert ImportRun.objects.get().fault_code == "header-missing"
    assert "Lovelace" not in "\n".join(_as_logged(r) for r in caplog.records if r.name.startswith("clients"))
