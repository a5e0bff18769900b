"""People with and without rights, files in the local S3, and a worker that does what is queued."""

import importlib
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client as Browser

from clients.models import ImportRun
from workers import import_processor, undo

Upload = Callable[..., ImportRun]
Worker = Callable[[], None]


class Context:
    """What Lambda passes to a handler, as far as it is used."""

    aws_request_id = "request-1"
    log_stream_name = "2026/11/22/[1]abc"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


@pytest.fixture
def groups(db: None) -> dict[str, Group]:
    """The ready-made groups; a test that empties the tables takes them with it."""
    importlib.import_module("clients.migrations.0002_groups").create_groups(apps, connection.schema_editor())
    return {group.name: group for group in Group.objects.all()}


def _browser(name: str, group: Group | None) -> Browser:
    user = User.objects.create_user(name, is_staff=True)
    if group:
        user.groups.add(group)
    browser = Browser()
    browser.force_login(user)
    return browser


@pytest.fixture
def operator(groups: dict[str, Group]) -> Browser:
    return _browser("olivia", groups["Import operator"])


@pytest.fixture
def viewer(groups: dict[str, Group]) -> Browser:
    return _browser("victor", groups["Import viewer"])


@pytest.fixture
def nobody(db: None) -> Browser:
    """Staff without any right."""
    return _browser("nora", None)


@pytest.fixture
def queue(bucket: str) -> str:
    """The worker's queue, without what earlier tests left in it."""
    sqs = boto3.client("sqs")
    url: str = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return url


@pytest.fixture
def worker(queue: str, db: None, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Call it, and everything that is queued now is done, as the worker does it."""
    # The test's transaction lives on the connection; Django's own test client leaves it open, too.
    for module in (import_processor, undo):
        monkeypatch.setattr(module, "close_old_connections", lambda: None)

    def work() -> None:
        sqs = boto3.client("sqs")
        while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                _handle(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    return work


def _handle(event: dict[str, Any]) -> None:
    module, _, name = event.get("command", "workers.import_processor.handler").rpartition(".")
    getattr(importlib.import_module(module), name)(event, Context())


@pytest.fixture
def upload(worker: Worker) -> Upload:
    """Put a file into S3 and import it; returns its run."""

    def put(text: str | bytes, name: str = "clients.csv", **options: Any) -> ImportRun:
        body = text if isinstance(text, bytes) else text.encode()
        boto3.client("s3").put_object(
            Bucket=settings.IMPORT_BUCKET, Key=f"{settings.IMPORT_PREFIX}{name}", Body=body, **options
        )
        worker()
        return ImportRun.objects.latest()

    return put
