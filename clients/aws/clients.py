"""boto3's clients for the services that we use, with types, and with time-outs short enough for a page.

A client is made for each use: where it speaks to is looked up in the environment, which tests change.
Uploads go through storage.client(), which django-storages has configured.
"""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from django.conf import settings

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient

# Seconds. boto3's own are 60, and API Gateway gives a page 29.
_SHORT = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 2})


def s3() -> "S3Client":
    return boto3.client("s3", config=_SHORT, region_name=settings.AWS_REGION)


def sqs() -> "SQSClient":
    return boto3.client("sqs", config=_SHORT, region_name=settings.AWS_REGION)


def functions() -> "LambdaClient":
    return boto3.client("lambda", config=_SHORT, region_name=settings.AWS_REGION)


def schedules() -> "EventBridgeClient":
    return boto3.client("events", config=_SHORT, region_name=settings.AWS_REGION)


def mail() -> "SESV2Client":
    return boto3.client("sesv2", config=_SHORT, region_name=settings.AWS_REGION)
