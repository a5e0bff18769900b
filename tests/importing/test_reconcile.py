"""The reconciler: what fell through is found, and nothing is done twice."""

from datetime import timedelta
from typing import Any

import boto3
import pytest
from django.core import mail
from django.utils import timezone
from pytest_django import Settings

from clients.models import Client, ImportRun
from clients.models.states import Notification, State, Trigger
from clients.upkeep.reconcile import reconcile
from tests.events import Context, asked, put
from workers import import_processor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("bucket", "queues")]

CSV = "Name,Email,Company,Phone,Status\nAda,ada@example.com,Acme,,Active\n"


@pytest.fixture(autouse=True)
def at_once(settings: Settings) -> None:
    """Objects and runs are not left to themselves first."""
    settings.RECONCILE_AFTER_SECONDS = 0


@pytest.fixture
def bucket(request: pytest.FixtureRequest, settings: Settings) -> Any:
    """The upload bucket; with the parameter False one that keeps no versions."""
    if getattr(request, "param", True):
        yield settings.IMPORT_BUCKET
        boto3.resource("s3").Bucket(settings.IMPORT_BUCKET).object_versions.delete()
        return
    settings.IMPORT_BUCKET = "bucket-without-versions"
    bucket = boto3.resource("s3").create_bucket(Bucket=settings.IMPORT_BUCKET)
    yield settings.IMPORT_BUCKET
    bucket.objects.delete()
    bucket.delete()


with_and_without_versions = pytest.mark.parametrize("bucket", [True, False], indirect=True)


def deliver(event: dict[str, Any]) -> None:
    import_processor.handler(event, Context())


def deliver_asked() -> int:
    """Do what the worker was asked for; returns how much that was."""
    events = asked()
    for event in events:
        import_processor.run_queued(event, Context())
    return len(events)


def queued(**fields: Any) -> ImportRun:
    hour_ago = timezone.now() - timedelta(hours=1)
    return ImportRun.objects.create(
        **{"bucket": "b", "key": "client-data/uploads/k.csv", "created_at": hour_ago, **fields}
    )


def running(deliveries: int = 1, *, alive: bool = False, **fields: Any) -> ImportRun:
    ends = timezone.now() + timedelta(minutes=1 if alive else -1)
    return queued(
        state=State.RUNNING, deliveries=deliveries, attempt=deliveries, lease_expires_at=ends, **fields
    )


# --- objects ------------------------------------------------------------------------------------


@with_and_without_versions
def test_promise_15_an_object_whose_event_was_lost_is_imported_once() -> None:
    put("lost.csv", CSV)

    first, second = reconcile(), reconcile()

    assert (first.lost_objects, second.lost_objects) == (1, 0)
    assert deliver_asked() == 2  # the second call saw a queued run, and asked again: harmless
    run = ImportRun.objects.get()
    assert (run.trigger, run.state, run.inserted) == (Trigger.RECONCILE, State.SUCCEEDED, 1)
    assert len(mail.outbox) == 1


@with_and_without_versions
def test_promise_15_an_event_that_comes_after_all_finds_the_reconcilers_run() -> None:
    event = put("late.csv", CSV)
    reconcile()
    deliver_asked()

    deliver(event)
    deliver(event)

    run = ImportRun.objects.get()
    assert run.sequencer == event["Records"][0]["s3"]["object"]["sequencer"]
    assert len(mail.outbox) == 1


@with_and_without_versions
def test_promise_15_an_object_that_has_a_run_is_no_lost_one() -> None:
    deliver(put("done.csv", CSV))

    assert reconcile().lost_objects == 0
    assert asked() == []


@pytest.mark.parametrize("bucket", [False], indirect=True)
def test_without_versions_the_same_content_uploaded_again_is_an_upload_of_its_own() -> None:
    put("a.csv", CSV)
    reconcile()
    deliver_asked()
    ImportRun.objects.update(event_at=timezone.now() - timedelta(minutes=5))

    deliver(put("a.csv", CSV))

    assert ImportRun.objects.count() == 2
    assert len(mail.outbox) == 2


def test_promise_2_an_older_version_that_comes_to_light_again_is_not_imported_over_the_newer(
    bucket: str,
) -> None:
    """The newer version was imported and cleaned away; the older one's event had been lost."""
    put("a.csv", CSV.replace("Acme", "Old"))
    older = timezone.now()
    newer = put("a.csv", CSV)
    deliver(newer)
    version = newer["Records"][0]["s3"]["object"]["versionId"]
    boto3.client("s3").delete_object(Bucket=bucket, Key="client-data/uploads/a.csv", VersionId=version)
    ImportRun.objects.update(event_at=older + timedelta(minutes=5))

    reconcile()
    deliver_asked()

    assert ImportRun.objects.get(trigger=Trigger.RECONCILE).state == State.SKIPPED
    assert Client.objects.get().company == "Acme"


def test_only_the_latest_version_of_a_key_can_be_lost(bucket: str) -> None:
    put("a.csv", CSV)
    put("a.csv", CSV)
    put("deleted.csv", CSV)
    boto3.client("s3").delete_object(Bucket=bucket, Key="client-data/uploads/deleted.csv")

    assert reconcile().lost_objects == 1


def test_an_object_is_left_to_its_event_first(settings: Settings) -> None:
    settings.RECONCILE_AFTER_SECONDS = 600
    put("new.csv", CSV)

    assert reconcile().lost_objects == 0


def test_a_call_does_a_bounded_amount_of_work_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.upkeep.reconcile._AT_MOST", 2)
    for number in range(3):
        put(f"{number}.csv", CSV)

    first, second = reconcile(), reconcile()

    assert (first.lost_objects, first.complete) == (2, False)
    assert second.lost_objects == 1


# --- runs ---------------------------------------------------------------------------------------


def test_a_queued_run_that_nobody_took_is_asked_for(settings: Settings) -> None:
    settings.RECONCILE_AFTER_SECONDS = 600
    run = queued()
    queued(created_at=timezone.now())

    assert reconcile().waiting_runs == 1
    assert asked() == [{"command": "workers.import_processor.run_queued", "run": run.pk}]


def test_a_run_whose_worker_died_is_taken_over() -> None:
    event = put("dead.csv", CSV)
    deliver(event)
    ImportRun.objects.update(
        state=State.RUNNING, lease_expires_at=timezone.now() - timedelta(seconds=1), finished_at=None
    )
    mail.outbox.clear()

    assert reconcile().dead_runs == 1
    deliver_asked()

    run = ImportRun.objects.get()
    assert (run.state, run.unchanged, run.deliveries) == (State.SUCCEEDED, 1, 2)
    assert len(mail.outbox) == 1


def test_a_run_that_is_alive_is_left_alone() -> None:
    running(alive=True)

    report = reconcile()

    assert (report.dead_runs, report.failed_runs, asked()) == (0, 0, [])


def test_promise_14_a_run_that_killed_its_worker_three_times_is_failed_with_a_mail() -> None:
    run = running(deliveries=3)

    assert reconcile().failed_runs == 1

    run.refresh_from_db()
    assert (run.state, run.notification) == (State.FAILED, Notification.SENT)
    assert asked() == []
    assert "Import failed" in mail.outbox[0].subject


def test_a_killed_import_from_the_command_line_is_failed_because_nobody_else_has_its_file() -> None:
    run = running(bucket="", trigger=Trigger.COMMAND)

    assert reconcile().failed_runs == 1
    run.refresh_from_db()
    assert run.state == State.FAILED


def test_a_run_that_is_being_finished_at_this_moment_is_left_alone(transactional_other: Any) -> None:
    """Its row is locked by the transaction that merges: the renewed lease can't be seen from outside."""
    run = running(deliveries=3)
    with transactional_other() as cursor:
        cursor.execute("SELECT FROM import_runs WHERE id = %s FOR UPDATE", [run.pk])
        report = reconcile()

    assert (report.failed_runs, report.dead_runs) == (0, 0)


def test_a_worker_that_can_not_be_asked_is_asked_by_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    queued()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        first = reconcile()

    assert (first.dispatch_failures, first.waiting_runs) == (1, 0)
    assert reconcile().waiting_runs == 1
    assert len(asked()) == 1


# --- mails --------------------------------------------------------------------------------------


def finished(**fields: Any) -> ImportRun:
    return queued(state=State.SUCCEEDED, notification=Notification.PENDING, **fields)


def test_promise_7_a_mail_whose_sender_died_goes_out_once() -> None:
    run = finished(notification_claimed_until=timezone.now() - timedelta(seconds=1))

    assert reconcile().mails_sent == 1
    assert reconcile().mails_sent == 0

    run.refresh_from_db()
    assert run.notification == Notification.SENT
    assert len(mail.outbox) == 1


def test_a_mail_that_is_just_being_sent_is_left_to_its_sender() -> None:
    finished(notification_claimed_until=timezone.now() + timedelta(minutes=1))

    assert reconcile().mails_sent == 0
    assert mail.outbox == []


def test_promise_21_mails_wait_while_the_mail_server_is_down_and_go_out_later(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "tests.importing.test_reconcile.Down"
    runs = [finished() for _ in range(5)]

    down = reconcile()
    assert (down.mails_failed, down.complete) == (3, False)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert reconcile().mails_sent == 2  # the three that failed have a pause
    ImportRun.objects.filter(notification=Notification.PENDING).update(
        notification_claimed_until=timezone.now() - timedelta(seconds=1)
    )
    assert reconcile().mails_sent == 3
    assert len(mail.outbox) == len(runs)


class Down:
    """A mail server that takes nothing."""

    def __init__(self, **_: Any) -> None:
        pass

    def send_messages(self, messages: Any) -> int:
        raise ConnectionRefusedError
