"""A warm worker with an S3 of its own: imports each file named on standard input as an S3 event does, and
prints the seconds from the event to the commit."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import workers  # noqa: F401 - sets Django up

import boto3  # isort: skip
from django.conf import settings

from benchmarks.small import ROWS
from clients.models import ImportRun
from clients.reporting import mails
from local import aws
from workers import import_processor


class Context:
    """What a worker asks of a Lambda context."""

    aws_request_id = ""
    log_stream_name = ""

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


def main() -> None:
    committed: list[float] = []

    def mark_commit(run: ImportRun) -> bool:
        committed.append(time.perf_counter())
        return True

    # The mail comes right after the commit and is not part of the figure.
    mails.send = mark_commit
    with aws.running(port=0) as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        aws.create_resources()
        context = Context()
        for number, line in enumerate(sys.stdin):
            event = _upload(Path(line.strip()), number)
            context.aws_request_id = f"request-{number}"
            started = time.perf_counter()
            import_processor.handler(event, context)
            run = ImportRun.objects.latest()
            assert run.inserted == ROWS * 99 // 100, run.fault
            print(committed[-1] - started, flush=True)


def _upload(path: Path, number: int) -> dict[str, Any]:
    """Put a file into S3; the event that S3 sends of it."""
    key = f"{settings.IMPORT_PREFIX}{number}.csv"
    put = boto3.client("s3").put_object(Bucket=settings.IMPORT_BUCKET, Key=key, Body=path.read_bytes())
    created = {
        "key": key,
        "size": path.stat().st_size,
        "eTag": put["ETag"].strip('"'),
        "versionId": put["VersionId"],
        "sequencer": f"{number:016X}",
    }
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "s3": {"bucket": {"name": settings.IMPORT_BUCKET}, "object": created},
    }
    return {"Records": [record]}


if __name__ == "__main__":
    main()
