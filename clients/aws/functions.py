"""Asking the worker for something without waiting; the one place that names its functions."""

import json
from enum import StrEnum
from typing import Any

from django.conf import settings

from clients.aws import clients


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
        sqs = clients.sqs()
        queue = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody=event)
    else:
        clients.functions().invoke(
            FunctionName=settings.IMPORT_FUNCTION, InvocationType="Event", Payload=event.encode()
        )
