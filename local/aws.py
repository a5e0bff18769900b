"""The local platform's AWS: moto's server in a process of its own, loopback only.

S3, SQS, SES and Secrets Manager over HTTP. A process of its own keeps the worker's memory and processor
time its own, as on Lambda; it ends when the process that started it ends, however that happens.

This is the side of those who use it; local/aws_server.py is the process.
"""

import email
import email.policy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import urllib3
from django.conf import settings

from local.protocol import HOST, IN_USE, MAILS, RESTORE


class PortInUse(Exception):
    """Something else listens on a port that the local platform was to have."""

    def __init__(self, port: int, variable: str) -> None:
        super().__init__(
            f"Port {port} on {HOST} is already in use, perhaps by another local platform. "
            f"End what listens there, or choose another port with {variable}."
        )


class NotStarted(Exception):
    """The local AWS did not come up."""


@contextmanager
def running(port: int, memory: Path | None = None, module: str = "local.aws_server") -> Iterator[str]:
    """Serve on the port (0: any free one) and yield the endpoint's URL; raises PortInUse, NotStarted.

    With a folder as `memory`, objects and messages outlive the process; see restore().
    """
    log = Path(settings.LOCAL_DIR) / "aws.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", module, str(port), *([str(memory)] if memory else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=settings.BASE_DIR,
            start_new_session=True,  # Ctrl-C is for us; we end it when we are done with it
        )
    assert server.stdin
    assert server.stdout
    try:
        url = server.stdout.readline().strip()
        if not url:
            if server.wait(timeout=5) == IN_USE:
                raise PortInUse(port, "LOCAL_AWS_PORT")
            raise NotStarted(f"The local AWS did not start; {log} says why.")
        yield url
    finally:
        with suppress(OSError):
            server.stdin.close()
        try:
            server.wait(timeout=30)  # it writes down what came last
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


def restore() -> None:
    """Bring back what an earlier local AWS remembered; the buckets and queues must exist."""
    _ask(RESTORE)


def mails(after: int = 0) -> list[EmailMessage]:
    """The mails that SES was given, but for the first `after` of them."""
    return [
        email.message_from_string(raw, _class=EmailMessage, policy=email.policy.default)
        for raw in json.loads(_ask(f"{MAILS}?{after}"))
    ]


def _ask(path: str) -> bytes:
    answer = urllib3.request("GET", os.environ["AWS_ENDPOINT_URL"] + path, retries=False, timeout=60)
    if answer.status != 200:
        raise NotStarted(f"The local AWS answers {path} with status {answer.status}.")
    return answer.data


def create_resources() -> None:
    """What infra/template.yaml creates on AWS: bucket, queues, the event's way, a sender for mail."""
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    place: Any = {"CreateBucketConfiguration": {"LocationConstraint": settings.AWS_REGION}}
    s3.create_bucket(Bucket=settings.IMPORT_BUCKET, **({} if settings.AWS_REGION == "us-east-1" else place))
    s3.put_bucket_versioning(Bucket=settings.IMPORT_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    sqs.create_queue(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)
    queue = sqs.create_queue(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.put_bucket_notification_configuration(
        Bucket=settings.IMPORT_BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": arn,
                    "Events": ["s3:ObjectCreated:*"],
                    "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": settings.IMPORT_PREFIX}]}},
                }
            ]
        },
    )
    boto3.client("ses").verify_email_identity(EmailAddress=settings.DEFAULT_FROM_EMAIL)
