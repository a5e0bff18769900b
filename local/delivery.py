"""The loop that plays Lambda: events from SQS to the worker's functions, at least once.

S3's notifications and asynchronous invocations land in one queue. An event is delivered up to
IMPORT_DELIVERIES times with a growing pause in between; then it goes, with the error, to the dead-letter
queue. A message is deleted only after one of the two, and SQS counts the deliveries, so neither gets lost
when this process dies.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db import connections

from clients.errors import ImportingError, describe
from workers import entry

logger = logging.getLogger(__name__)

FUNCTION_SECONDS = 300
_MEMORY_MB = 512
# A message of a loop that died comes back after this many seconds: when Lambda would have ended it, too.
_INVISIBLE_SECONDS = FUNCTION_SECONDS + 10
_IDLE_SECONDS = 0.05

Function = Callable[[dict[str, Any], "Context"], Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda tells a function about its invocation; an event's retries have one request id."""

    aws_request_id: str
    log_stream_name: str
    function_name: str = field(default_factory=lambda: settings.IMPORT_FUNCTION)
    function_version: str = "$LATEST"
    invoked_function_arn: str = "arn:aws:lambda:local:000000000000:function:local"
    memory_limit_in_mb: int = _MEMORY_MB
    deadline: float = field(default_factory=lambda: time.monotonic() + FUNCTION_SECONDS)

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.deadline - time.monotonic()) * 1000))


class Delivery:
    """A context manager that delivers events in threads of its own until it is left.

    `pause` is in seconds: before the second delivery of an event once, before the third twice. (Lambda
    waits one minute, and two.) `poll` is how many seconds an empty queue is listened to in one request.
    Leaving takes as long, and waits for what is being processed.
    """

    def __init__(
        self, *, pause: int = 5, poll: int = 1, parallel: int = 2, function: Function = entry.handler
    ) -> None:
        self._sqs = boto3.client("sqs")
        self._queue = self._url(settings.IMPORT_QUEUE)
        self._dead_letters = self._url(settings.IMPORT_DEAD_LETTER_QUEUE)
        self._pause, self._poll = pause, poll
        self._function = function
        self._stopping = threading.Event()
        self._polling = threading.Lock()  # two polls at a time might be handed the same message
        self._at_work: set[int] = set()
        # Daemons: a second Ctrl-C must be able to end the process over an import's head.
        self._threads = [
            threading.Thread(target=self._loop, name=f"worker-{number}", daemon=True)
            for number in range(parallel)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ask_to_stop()
        for thread in self._threads:
            thread.join()

    def ask_to_stop(self) -> None:
        """Take no more events; returns at once."""
        self._stopping.set()

    @property
    def busy(self) -> bool:
        """Whether an event is being processed."""
        return bool(self._at_work)

    def _url(self, name: str) -> str:
        return str(self._sqs.get_queue_url(QueueName=name)["QueueUrl"])

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self._next()
            except (BotoCoreError, ClientError) as error:
                logger.warning("queue can't be read", extra={"error": describe(error)})
                self._stopping.wait(1)
            finally:
                connections.close_all()  # they belong to this thread; nobody else would close them

    def _next(self) -> None:
        with self._polling:
            if self._stopping.is_set():
                return
            answer = self._sqs.receive_message(
                QueueUrl=self._queue,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=self._poll,
                VisibilityTimeout=_INVISIBLE_SECONDS,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        messages = answer.get("Messages", [])
        if not messages and not self._poll:
            self._stopping.wait(_IDLE_SECONDS)
        for message in messages:
            self._at_work.add(threading.get_ident())
            try:
                self._deliver(message)
            finally:
                self._at_work.discard(threading.get_ident())

    def _deliver(self, message: Any) -> None:
        """One delivery of one event, and what follows from its outcome."""
        delivery = int(message["Attributes"]["ApproximateReceiveCount"])
        context = Context(message["MessageId"], f"local/{message['MessageId']}")
        try:
            self._function(json.loads(message["Body"]), context)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as Lambda does, whatever it was
            reason = str(error) if isinstance(error, ImportingError) else describe(error)
            logger.warning("delivery failed", extra={"delivery": delivery, "error": reason})
            if delivery < settings.IMPORT_DELIVERIES:
                self._sqs.change_message_visibility(
                    QueueUrl=self._queue,
                    ReceiptHandle=message["ReceiptHandle"],
                    VisibilityTimeout=self._pause * delivery,
                )
                return
            self._bury(message, reason)
        self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])

    def _bury(self, message: Any, reason: str) -> None:
        """Put the event into the dead-letter queue, with the attributes that Lambda sets.

        The reason of an unforeseen error is its type: its message might quote a row.
        """
        self._sqs.send_message(
            QueueUrl=self._dead_letters,
            MessageBody=message["Body"],
            MessageAttributes={
                "RequestID": {"DataType": "String", "StringValue": message["MessageId"]},
                "ErrorCode": {"DataType": "Number", "StringValue": "200"},
                "ErrorMessage": {"DataType": "String", "StringValue": reason[:1000]},
            },
        )
        logger.error("event given up", extra={"request": message["MessageId"], "error": reason})
