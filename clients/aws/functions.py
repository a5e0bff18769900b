"""Asking the worker for something without waiting; the one place that names its functions."""

import json
from enum import StrEnum
from typing import Any

import boto3
from django.conf import settings


class WorkerFunction(StrEnum):
    """The functions of `workers` that the domain asks for, by their dotted names."""

    IMPORT_UPLOADS = "workers.import_processor.handler"
    RUN_QUEUED = "workers.import_processor.run_queued"
    UNDO = "workers.undo.handler"


def invoke(command: WorkerFunction, **payload: Any) -> None:
    """Have the worker run `command` with `payload` in its event.

    On AWS an asynchronous invocation of the Lambda function, on the local platform a message to the queue
    that its delivery loop reads; both deliver at least once. Raises botocore's errors when nobody takes it.
    """
    event = json.dumps({"command": command, **payload})
    if settings.LOCAL:
        sqs = boto3.client("sqs")
        queue = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody=event)
    else:
        boto3.client("lambda").invoke(
            FunctionName=settings.IMPORT_FUNCTION, InvocationType="Event", Payload=event.encode()
        )
