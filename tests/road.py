"""Help for tests that go the whole road: S3, its event, the queue, the worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from django.conf import settings

from local.delivery import Delivery


@contextmanager
def delivering() -> Iterator[None]:
    """Deliver the events of what is uploaded inside, and none that an earlier test left behind."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    while messages := _receive(sqs, url):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    with Delivery(pause=0, poll=0):
        yield


def _receive(sqs: Any, url: str) -> list[Any]:
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])  # type: ignore[no-any-return]
