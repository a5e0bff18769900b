"""The doctor on the local platform, and on a chain with a link cut; tests/infra has it on a deployed one."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from pytest_django import Settings

from clients.upkeep import doctor
from clients.upkeep.findings import Finding, Verdict

pytestmark = pytest.mark.django_db


def find(link: str) -> Finding:
    [finding] = [finding for finding in doctor.examine() if finding.link == link]
    return finding


def test_a_sound_local_platform_has_no_problem(bucket: str) -> None:
    findings = list(doctor.examine())
    assert doctor.is_healthy(findings), [str(finding) for finding in findings]
    skipped = {finding.link for finding in findings if finding.verdict == Verdict.SKIPPED}
    assert "schedules" in skipped


def test_the_command_prints_one_line_a_link_and_its_exit_code_says_it(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    with pytest.raises(SystemExit) as end:
        call_command("doctor")
    lines = capsys.readouterr().out.splitlines()
    assert end.value.code == 0, lines
    assert len(lines) == len(list(doctor.examine()))
    settings.IMPORT_BUCKET = "no-such-bucket"
    with pytest.raises(SystemExit) as end:
        call_command("doctor")
    assert end.value.code == 1
    assert "PROBLEM  bucket" in capsys.readouterr().out


def test_a_sender_that_ses_has_not_verified_is_named_with_what_to_do(settings: Settings) -> None:
    settings.DEFAULT_FROM_EMAIL = "stranger@example.net"
    finding = find("mail sender")
    assert (finding.verdict, "stranger@example.net" in finding.seen) == (Verdict.PROBLEM, True)
    assert "Click the link" in finding.todo


def test_missing_migrations_are_named_with_the_command_that_applies_them(bucket: str) -> None:
    [(app, last)] = MigrationLoader(connection).graph.leaf_nodes("clients")
    MigrationRecorder(connection).record_unapplied(app, last)
    finding = find("migrations")
    assert (finding.verdict, f"clients.{last}" in finding.seen) == (Verdict.PROBLEM, True)
    assert "workers.maintenance.migrate" in finding.todo


@pytest.fixture
def notification(bucket: str) -> Iterator[Any]:
    """The bucket's notification, to be changed; put back afterwards."""
    s3 = boto3.client("s3")
    before: Any = dict(s3.get_bucket_notification_configuration(Bucket=bucket))
    del before["ResponseMetadata"]
    yield json.loads(json.dumps(before))
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=before)


def test_an_event_for_the_whole_bucket_is_a_problem(bucket: str, notification: Any) -> None:
    for entry in notification["QueueConfigurations"]:
        entry.pop("Filter")
    boto3.client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration=notification,
    )
    finding = find("bucket's event")
    assert finding.verdict == Verdict.PROBLEM
    assert "prefix" in finding.todo


def test_a_bucket_without_an_event_is_a_problem(bucket: str, notification: Any) -> None:
    boto3.client("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert "no event of the bucket" in find("bucket's event").seen


def test_given_up_events_are_counted_and_the_way_back_is_named(queues: None, settings: Settings) -> None:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    finding = find("dead-letter queue")
    assert finding.seen.startswith("1 given-up event")
    assert "redrive" in finding.todo


def test_an_aws_out_of_reach_is_a_problem_of_its_link_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    findings = {finding.link: finding for finding in doctor.examine()}
    assert findings["bucket"].verdict == Verdict.PROBLEM
    assert "runlocal" in findings["bucket"].todo
    assert findings["database"].verdict == Verdict.OK


def test_a_file_that_nobody_imports_is_said_and_removed(bucket: str, queues: None) -> None:
    finding = doctor.end_to_end(seconds=0.5)
    assert finding.verdict == Verdict.PROBLEM
    assert finding.seen == "nobody imported the file"
    assert "Versions" not in boto3.client("s3").list_object_versions(Bucket=bucket)
