import boto3
import pytest
from django.conf import settings

from clients.models import Client, ImportRun
from workers import import_processor


class Context:
    aws_request_id = "r1"
    log_stream_name = ""
    def get_remaining_time_in_millis(self): return 300_000


@pytest.mark.django_db(transaction=True)
def test_it(bucket):
    r = boto3.client("s3").put_object(Bucket=bucket, Key="client-data/uploads/a b.csv", Body=b"Name,Email,Company,Phone,Status\nA,a@x.com,C,,active\n")
    sqs = boto3.client("sqs")
    q = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    import json
    for m in sqs.receive_message(QueueUrl=q, MaxNumberOfMessages=10)["Messages"]:
        print(m["Body"])
        print(import_processor.handler(json.loads(m["Body"]), Context()))
    assert Client.objects.get().status == "Active"
    print(ImportRun.objects.get().__dict__)
