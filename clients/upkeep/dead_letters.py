"""The dead-letter queue: events that the worker has given up, as a list, and back to the worker.

SQS has no way to look without taking: messages are received, which hides them from others for some
seconds, and released again. To redrive is safe at any time and any number of times, because a finished run
is not imported again: an event is handed to the worker first and deleted from the queue after that.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from clients.aws import clients, functions
from clients.aws.events import uploaded_objects
from clients.aws.functions import WorkerFunction
from clients.models import ImportRun

logger = logging.getLogger(__name__)

_HIDDEN_SECONDS = 30
_WAIT_SECONDS = 1  # SQS then asks all of its servers
_BATCH = 10  # SQS's limit
_OF_A_RUN = (WorkerFunction.RUN_QUEUED, WorkerFunction.UNDO)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event in the queue. `runs` are those of its objects, as far as there are any."""

    message_id: str
    sent_at: datetime
    error: str
    request_id: str
    event: Any
    keys: tuple[str, ...] = ()
    runs: tuple[ImportRun, ...] = ()
    _receipt: str = field(default="", repr=False)

    @property
    def can_be_redriven(self) -> bool:
        """Whether it is an event that the worker knows; others are for a person to look at."""
        return _command(self.event) is not None


@dataclass
class Redrive:
    """What a redrive did. `unknown` messages stay in the queue."""

    redriven: int = 0
    unknown: int = 0

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


def count() -> int:
    """About how many messages there are, without a look at them. Raises botocore's errors, soon."""
    sqs = clients.sqs()
    url = sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]
    names: list[Any] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return sum(map(int, answer["Attributes"].values()))


def dead_letters(at_most: int = 100) -> list[DeadLetter]:
    """The queue's messages, the oldest first, joined to their runs. The queue is left as it was."""
    with _received(at_most) as messages:
        letters = list(messages)
    return sorted(letters, key=lambda letter: letter.sent_at)


def redrive(message_id: str) -> bool:
    """Hand one event back to the worker; False when it isn't in the queue (any more) or is unknown.

    Raises botocore's errors when the worker can't be asked; the message stays then.
    """
    with _received() as messages:
        for letter in messages:
            if letter.message_id == message_id:
                return _redrive(letter)
    return False


def redrive_all(at_most: int = 1_000) -> Redrive:
    """Hand every event that the worker knows back to it."""
    report = Redrive()
    with _received(at_most) as messages:
        for letter in messages:
            if _redrive(letter):
                report.redriven += 1
            else:
                report.unknown += 1
    return report


def discard(message_id: str) -> bool:
    """Delete one message that no worker knows, for good; False when it isn't in the queue (any more)."""
    with _received() as messages:
        for letter in messages:
            if letter.message_id == message_id and not letter.can_be_redriven:
                _delete(letter)
                return True
    return False


def _redrive(letter: DeadLetter) -> bool:
    command = _command(letter.event)
    if command is None:
        return False
    payload = {key: value for key, value in letter.event.items() if key != "command"}
    functions.invoke(command, **payload)
    _delete(letter)
    logger.info("redriven", extra={"request": letter.request_id, "runs": [run.pk for run in letter.runs]})
    return True


def _command(event: Any) -> WorkerFunction | None:
    """Which worker function takes this event. Nothing else in a message may choose what is called."""
    if not isinstance(event, dict):
        return None
    if event.get("command") in _OF_A_RUN and isinstance(event.get("run"), int):
        return WorkerFunction(event["command"])
    if event.get("command") in (None, WorkerFunction.IMPORT_UPLOADS) and isinstance(
        event.get("Records"), list
    ):
        return WorkerFunction.IMPORT_UPLOADS
    return None


def _queue() -> tuple[Any, str]:
    sqs = clients.sqs()
    return sqs, sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]


@contextmanager
def _received(at_most: int = 1_000) -> Iterator[Iterator[DeadLetter]]:
    """The queue's messages, each once; those that were not deleted meanwhile are released at the end."""
    sqs, url = _queue()
    receipts: dict[str, str] = {}

    def messages() -> Iterator[DeadLetter]:
        while len(receipts) < at_most:
            answer = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(_BATCH, at_most - len(receipts)),
                VisibilityTimeout=_HIDDEN_SECONDS,
                WaitTimeSeconds=_WAIT_SECONDS,
                MessageSystemAttributeNames=["SentTimestamp"],
                MessageAttributeNames=["All"],
            )
            fresh = [m for m in answer.get("Messages", []) if m["MessageId"] not in receipts]
            if not fresh:
                return
            receipts.update({message["MessageId"]: message["ReceiptHandle"] for message in fresh})
            for message in fresh:
                yield _letter(message)

    try:
        yield messages()
    finally:
        handles = list(receipts.values())
        for start in range(0, len(handles), _BATCH):
            # Deleted ones are refused one by one, without an error of the call.
            sqs.change_message_visibility_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                    for number, handle in enumerate(handles[start : start + _BATCH])
                ],
            )


def _delete(letter: DeadLetter) -> None:
    sqs, url = _queue()
    sqs.delete_message(QueueUrl=url, ReceiptHandle=letter._receipt)


def _letter(message: dict[str, Any]) -> DeadLetter:
    try:
        event = json.loads(message["Body"])
    except ValueError:
        event = None
    attributes = {
        name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()
    }
    keys, runs = _subjects(event)
    return DeadLetter(
        message_id=message["MessageId"],
        sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
        error=attributes.get("ErrorMessage", ""),
        request_id=attributes.get("RequestID", ""),
        event=event,
        keys=keys,
        runs=runs,
        _receipt=message["ReceiptHandle"],
    )


def _subjects(event: Any) -> tuple[tuple[str, ...], tuple[ImportRun, ...]]:
    """The object keys that an event is about, and the runs it concerns."""
    if isinstance(event, dict) and isinstance(event.get("run"), int):
        runs = tuple(ImportRun.objects.filter(pk=event["run"]))
        return tuple(run.key for run in runs), runs
    versions = list(uploaded_objects(event))
    found = (
        ImportRun.objects.filter(
            bucket=version.bucket, key=version.key, delivery_id=version.delivery_id
        ).first()
        for version in versions
    )
    return tuple(version.key for version in versions), tuple(run for run in found if run)
