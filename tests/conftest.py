"""Every test runs on the real parts: embedded PostgreSQL, and AWS as moto's server over HTTP."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import boto3
import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from local import aws


@pytest.fixture(scope="session", autouse=True)
def aws_endpoint() -> Iterator[str]:
    """A local AWS of this test session's own, with the bucket, the queues and the mail sender."""
    with aws.running(port=0) as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        aws.create_resources()
        yield url


@pytest.fixture
def bucket() -> Iterator[str]:
    """The upload bucket, emptied afterwards."""
    yield settings.IMPORT_BUCKET
    boto3.resource("s3").Bucket(settings.IMPORT_BUCKET).object_versions.delete()


@pytest.fixture
def queues(settings: Settings) -> Iterator[None]:
    """A worker's queue and a dead-letter queue of the test's own; the bucket's events don't come here."""
    sqs = boto3.client("sqs")
    settings.IMPORT_QUEUE = f"events-{uuid.uuid4()}"
    settings.IMPORT_DEAD_LETTER_QUEUE = f"dead-letters-{uuid.uuid4()}"
    urls = [
        sqs.create_queue(QueueName=name)["QueueUrl"]
        for name in (settings.IMPORT_QUEUE, settings.IMPORT_DEAD_LETTER_QUEUE)
    ]
    yield
    for url in urls:
        sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def transactional_other() -> Callable[[], AbstractContextManager[Any]]:
    """Opens another session's transaction, which is rolled back in the end; yields its cursor."""

    @contextmanager
    def transaction() -> Iterator[Any]:
        other = psycopg2.connect(**connection.get_connection_params())
        try:
            yield other.cursor()
        finally:
            other.close()

    return transaction
