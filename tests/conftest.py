"""Every test runs on the real parts: embedded PostgreSQL, and AWS as moto's server over HTTP."""

import os
from collections.abc import Iterator

import boto3
import pytest
from django.conf import settings

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
