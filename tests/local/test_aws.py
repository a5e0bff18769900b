"""The local AWS remembers, sends events as AWS does, and ends with the process that started it."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.conf import settings

from local import aws
from local.protocol import HOST

KEY = f"{settings.IMPORT_PREFIX}clients.csv"


def _receive() -> list[dict[str, Any]]:
    """Everything in the event queue, but for the test event of setting it up."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    events = [json.loads(message["Body"]) for message in messages]
    return [record for event in events for record in event.get("Records", [])]


Start = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def restarting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a local AWS beside the session's, always on the same memory."""

    @contextmanager
    def start() -> Iterator[None]:
        with aws.running(0, memory=tmp_path) as url, monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", url)
            aws.create_resources()
            aws.restore()
            yield

    return start


def test_object_versions_outlive_a_restart_and_send_no_second_event(restarting: Start) -> None:
    with restarting():
        s3 = boto3.client("s3")
        first = s3.put_object(Bucket=settings.IMPORT_BUCKET, Key=KEY, Body=b"one", Metadata={"by": "jane"})
        s3.put_object(Bucket=settings.IMPORT_BUCKET, Key=KEY, Body=b"two")
        before = s3.get_object(Bucket=settings.IMPORT_BUCKET, Key=KEY, VersionId=first["VersionId"])
        gone = s3.put_object(Bucket=settings.IMPORT_BUCKET, Key="gone", Body=b"x")
        time.sleep(2.5)  # long enough to be saved, and then deleted from what was saved
        s3.delete_object(Bucket=settings.IMPORT_BUCKET, Key="gone", VersionId=gone["VersionId"])
        s3.put_object(Bucket=settings.IMPORT_BUCKET, Key="hidden", Body=b"x")
        s3.delete_object(Bucket=settings.IMPORT_BUCKET, Key="hidden")
        queue = boto3.client("sqs")
        queue.purge_queue(QueueUrl=queue.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"])
    with restarting():
        s3 = boto3.client("s3")
        after = s3.get_object(Bucket=settings.IMPORT_BUCKET, Key=KEY, VersionId=first["VersionId"])
        assert after["Body"].read() == b"one"
        for fact in ("ETag", "LastModified", "Metadata", "ContentType", "ContentLength"):
            assert after[fact] == before[fact], fact
        assert s3.get_object(Bucket=settings.IMPORT_BUCKET, Key=KEY)["Body"].read() == b"two"
        listed = s3.list_objects_v2(Bucket=settings.IMPORT_BUCKET)["Contents"]
        assert [item["Key"] for item in listed] == [KEY]
        assert _receive() == []


def test_messages_outlive_a_restart_with_their_deliveries_counted(restarting: Start) -> None:
    def receive() -> Any:
        sqs = boto3.client("sqs")
        url = sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]
        return sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])

    with restarting():
        sqs = boto3.client("sqs")
        url = sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]
        why: Any = {"DataType": "String", "StringValue": "because"}
        sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes={"ErrorMessage": why})
        [before] = receive()["Messages"]
    with restarting():
        [after] = receive()["Messages"]
    assert after["MessageId"] == before["MessageId"]
    assert after["MessageAttributes"] == {"ErrorMessage": why}
    assert after["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_multipart_upload_sends_one_event_with_version_sequencer_and_requester(restarting: Start) -> None:
    with restarting():
        s3 = boto3.client("s3")
        s3.put_object(Bucket=settings.IMPORT_BUCKET, Key=KEY, Body=b"x")
        upload = s3.create_multipart_upload(Bucket=settings.IMPORT_BUCKET, Key=KEY)["UploadId"]
        part: Any = {"Bucket": settings.IMPORT_BUCKET, "Key": KEY, "UploadId": upload}
        etag = s3.upload_part(**part, PartNumber=1, Body=b"y")["ETag"]
        done = s3.complete_multipart_upload(
            **part, MultipartUpload={"Parts": [{"ETag": etag, "PartNumber": 1}]}
        )
        put, completed = _receive()
    assert put["eventName"] == "ObjectCreated:Put"
    assert completed["eventName"] == "ObjectCreated:CompleteMultipartUpload"
    assert completed["s3"]["object"]["versionId"] == done["VersionId"]
    assert completed["s3"]["object"]["sequencer"] > put["s3"]["object"]["sequencer"]
    assert completed["userIdentity"]["principalId"]


def test_a_port_in_use_is_told_with_the_variable_that_changes_it() -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(aws.PortInUse, match=f"Port {port} .* in use.* LOCAL_AWS_PORT"), aws.running(port):
            pass
