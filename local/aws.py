"""The local platform's AWS: moto's server in a process of its own, loopback only.

S3, SQS, SES and Secrets Manager over HTTP. A process of its own keeps the worker's memory and processor
time its own, as on Lambda; it ends when whoever started it ends, however that happens.

    python -m local.aws PORT        serve until standard input closes
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import boto3
from django.conf import settings
from moto.s3 import notifications
from moto.server import ThreadedMotoServer

HOST = "127.0.0.1"


class PortInUse(Exception):
    """Something else listens on the port that the local AWS was to have."""


@contextmanager
def running(port: int) -> Iterator[str]:
    """Serve on the port (0: any free one) and yield the endpoint's URL; raises PortInUse."""
    server = subprocess.Popen(
        [sys.executable, "-m", "local.aws", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
        start_new_session=True,  # Ctrl-C is for us; we end it when we are done with it
    )
    assert server.stdin and server.stdout
    try:
        url = server.stdout.readline().strip()
        if not url:
            raise PortInUse(
                f"Port {port} on {HOST} is already in use. End what listens there, or choose another port "
                "with LOCAL_AWS_PORT."
            )
        yield url
    finally:
        with suppress(OSError):
            server.stdin.close()
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


def create_resources() -> None:
    """What infra/template.yaml creates on AWS: bucket, queues, the event's way, a sender for mail."""
    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    place = {} if settings.AWS_REGION == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": settings.AWS_REGION}}
    s3.create_bucket(Bucket=settings.IMPORT_BUCKET, **place)
    s3.put_bucket_versioning(
        Bucket=settings.IMPORT_BUCKET, VersioningConfiguration={"Status": "Enabled"}
    )
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


def _serve(port: int) -> None:
    """Serve until standard input closes; prints the URL once it listens."""
    with socket.socket() as probe:
        # moto's server would end its thread without a word; SO_REUSEADDR as it sets it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            sys.exit(1)
    _send_events_like_aws()
    server = ThreadedMotoServer(ip_address=HOST, port=port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    os._exit(0)  # threads of open connections would keep the process alive


def _send_events_like_aws() -> None:
    """moto's S3 events lack the version, the sequencer and the requester that AWS sends."""
    original: Any = notifications._get_s3_event
    sequence = count(time.time_ns())

    def complete(event_name: str, bucket: Any, key: Any, notification_id: str) -> dict[str, Any]:
        event: dict[str, Any] = original(event_name, bucket, key, notification_id)
        record = event["Records"][0]
        record["userIdentity"] = {"principalId": "AWS:local"}
        record["s3"]["object"]["sequencer"] = f"{next(sequence):016X}"
        if bucket.is_versioned:
            record["s3"]["object"]["versionId"] = key.version_id
        return event

    notifications._get_s3_event = complete


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
