"""S3 events, Lambda contexts and queues as tests need them."""

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import quote_plus

import boto3
from django.conf import settings
from django.utils import timezone

_sequence = count(1)
_requests = count(1)


@dataclass
class Context:
    """A Lambda context; a retry of the same event has the same request id."""

    aws_request_id: str = field(default_factory=lambda: f"request-{next(_requests)}")
    log_stream_name: str = "test"
    seconds: float = 300

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


def put(name: str, body: str | bytes) -> dict[str, Any]:
    """Upload a file; returns the S3 event that AWS would send, without sending it."""
    body = body.encode() if isinstance(body, str) else body
    key = settings.IMPORT_PREFIX + name
    answer = boto3.client("s3").put_object(Bucket=settings.IMPORT_BUCKET, Key=key, Body=body)
    return event_of(key, answer, size=len(body))


def event_of(key: str, answer: Any, **fields: Any) -> dict[str, Any]:
    """An ObjectCreated event for the answer of put_object."""
    stored: dict[str, Any] = {
        "key": quote_plus(key),
        "eTag": answer["ETag"].strip('"'),
        "sequencer": f"{next(_sequence):016X}",
        **fields,
    }
    if "VersionId" in answer:
        stored["versionId"] = answer["VersionId"]
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "eventTime": timezone.now().isoformat(),
                "userIdentity": {"principalId": "AWS:someone"},
                "s3": {"bucket": {"name": settings.IMPORT_BUCKET}, "object": stored},
            }
        ]
    }


def merged(*events: dict[str, Any]) -> dict[str, Any]:
    """One event with the Records of several."""
    return {"Records": [record for event in events for record in event["Records"]]}


def asked() -> list[dict[str, Any]]:
    """What the worker was asked for by its queue since last looked, in order."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    events = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            events.append(json.loads(message["Body"]))
    return events


def bury(event: Any, error: str = "run 1: OperationalError", request_id: str = "r-1") -> None:
    """Put an event into the dead-letter queue, as Lambda does."""
    sqs = boto3.client("sqs")
    sqs.send_message(
        QueueUrl=sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"],
        MessageBody=event if isinstance(event, str) else json.dumps(event),
        MessageAttributes={
            "RequestID": {"DataType": "String", "StringValue": request_id},
            "ErrorCode": {"DataType": "Number", "StringValue": "200"},
            "ErrorMessage": {"DataType": "String", "StringValue": error},
        },
    )
