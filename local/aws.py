"""The local platform's AWS: moto's server in a process of its own, loopback only.

S3, SQS, SES and Secrets Manager over HTTP. A process of its own keeps the worker's memory and processor
time its own, as on Lambda; it ends when whoever started it ends, however that happens.

    python -m local.aws PORT [FOLDER]        serve until standard input closes; remember under FOLDER
"""

import email
import email.policy
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import boto3
import urllib3
from django.conf import settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3 import notifications
from moto.ses.models import ses_backends
from werkzeug.serving import make_server

from local.memory import Memory

HOST = "127.0.0.1"
# What the local AWS answers beside AWS's own paths; no bucket's name may begin with an underscore.
_MAILS = "/_local/mails"
_RESTORE = "/_local/restore"
_IN_USE = 98  # exit code of the child


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
def running(port: int, memory: Path | None = None) -> Iterator[str]:
    """Serve on the port (0: any free one) and yield the endpoint's URL; raises PortInUse, NotStarted.

    With a folder as `memory`, objects and messages outlive the process; see restore().
    """
    log = Path(settings.LOCAL_DIR) / "aws.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "local.aws", str(port), *([str(memory)] if memory else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=settings.BASE_DIR,
            start_new_session=True,  # Ctrl-C is for us; we end it when we are done with it
        )
    assert server.stdin and server.stdout
    try:
        url = server.stdout.readline().strip()
        if not url:
            if server.wait(timeout=5) == _IN_USE:
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
    _ask(_RESTORE)


def mails(after: int = 0) -> list[EmailMessage]:
    """The mails that SES was given, but for the first `after` of them."""
    return [
        email.message_from_string(raw, _class=EmailMessage, policy=email.policy.default)
        for raw in json.loads(_ask(f"{_MAILS}?{after}"))
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


def _serve(port: int, folder: str | None) -> None:
    """Serve until standard input closes; prints the URL once it listens."""
    try:
        listener = socket.create_server((HOST, port))
    except OSError:
        sys.exit(_IN_USE)
    memory = Memory(Path(folder)) if folder else None
    server = make_server(
        HOST,
        port,
        _Application(memory),
        threaded=True,
        request_handler=_QuietHandler,
        fd=listener.fileno(),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://{HOST}:{listener.getsockname()[1]}", flush=True)
    sys.stdin.read()
    if memory:
        memory.save_all()
    os._exit(0)  # threads of open connections would keep the process alive


class _QuietHandler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        if type == "error":
            super().log(type, message, *args)


class _Application:
    """moto's own WSGI application, what is missing in it, and S3's events as AWS sends them.

    Events leave when the request that caused them is done: only then does an object have its metadata.
    """

    def __init__(self, memory: Memory | None) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._memory = memory
        self._events = threading.local()
        self._send: Any = notifications.send_event
        self._describe: Any = notifications._get_s3_event
        self._sequencer = 0
        self._sequencer_lock = threading.Lock()
        notifications.send_event = self._hold_back
        notifications._get_s3_event = self._complete

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case path if path == _MAILS:
                return _answer(start_response, _sent_mails(int(environ["QUERY_STRING"] or 0)))
            case path if path == _RESTORE:
                if self._memory:
                    self._memory.restore()
                    self._memory.keep_saving()
                return _answer(start_response, "")
        self._events.held = []
        answer: Iterable[bytes] = self._moto(environ, start_response)
        for event in self._events.held:
            self._send(*event)
        return answer

    def _hold_back(self, account_id: str, event_name: str, bucket: Any, key: Any) -> None:
        # moto announces a multipart upload twice; AWS does once it is complete.
        put = notifications.S3NotificationEvent.OBJECT_CREATED_PUT_EVENT
        if event_name != put or getattr(key, "multipart", None) is None:
            self._events.held.append((account_id, event_name, bucket, key))

    def _complete(self, event_name: str, bucket: Any, key: Any, notification_id: str) -> dict[str, Any]:
        """moto's events lack the version, the sequencer and the requester that AWS sends."""
        event: dict[str, Any] = self._describe(event_name, bucket, key, notification_id)
        record = event["Records"][0]
        record["userIdentity"] = {"principalId": "AWS:local"}
        record["s3"]["object"]["sequencer"] = f"{self._next_sequencer():016X}"
        if bucket.is_versioned:
            record["s3"]["object"]["versionId"] = key.version_id
        return event

    def _next_sequencer(self) -> int:
        """Grows with every event, also from one process to the next."""
        with self._sequencer_lock:
            self._sequencer = max(self._sequencer + 1, time.time_ns())
            return self._sequencer


def _sent_mails(after: int) -> str:
    regions = ses_backends[DEFAULT_ACCOUNT_ID].values()
    sent = [message.raw_data for backend in regions for message in backend.sent_messages]
    return json.dumps(sent[after:])


def _answer(start_response: Any, text: str) -> list[bytes]:
    body = text.encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
