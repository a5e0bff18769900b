"""Which errors pass by themselves, and how patiently to try again inside one invocation."""

import ssl
import traceback

import botocore.exceptions as aws
import psycopg2
import urllib3
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.exceptions import ClientError
from django.db import DatabaseError, InterfaceError, OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

# Classes and codes of SQLSTATE after which the same work may well succeed:
# connection, serialisation and deadlock, resources, lock not available, shutdown, a reader instead of
# the writer, idle-in-transaction timeout. A cancelled query was cancelled by somebody, as long as there is
# time left: the service tells its own limit from that.
_TRANSIENT_CLASSES = ("08", "53")
_TRANSIENT_CODES = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57014", "25006", "25P03"}
_TRANSIENT_S3 = {
    "500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout",
    "Throttling", "ThrottlingException", "TooManyRequestsException",
}  # fmt: skip
# A connection to AWS that breaks, or a body that ends too early or damaged; some of it comes unwrapped
# through botocore's streams. And a secret that can't be read just now.
_TRANSIENT_AWS = (
    aws.ConnectionError,
    aws.HTTPClientError,
    aws.IncompleteReadError,
    aws.FlexibleChecksumError,
    urllib3.exceptions.HTTPError,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
    GetParameterError,
)


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-character code, None where the server had no chance to send one."""
    cause = error if isinstance(error, psycopg2.Error) else error.__cause__
    return cause.pgcode if isinstance(cause, psycopg2.Error) else None


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: by exception type and SQLSTATE, as PLATFORM_FACTS has them."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "") in _TRANSIENT_S3
    if isinstance(error, _TRANSIENT_AWS):
        return True
    if isinstance(error, (DatabaseError, InterfaceError, psycopg2.Error)):
        code = sqlstate(error)
        if code is None:
            # Terminated in mid-COPY, no slot at connect, reply lost: the server could not say why.
            broken = (OperationalError, InterfaceError, psycopg2.OperationalError, psycopg2.InterfaceError)
            return isinstance(error, broken)
        return code[:2] in _TRANSIENT_CLASSES or code in _TRANSIENT_CODES
    return False


def describe(error: BaseException) -> str:
    """An error without its message, which may quote a row: its type and SQLSTATE or AWS code."""
    name = type(error).__name__
    if isinstance(error, ClientError):
        return f"{name} {error.response.get('Error', {}).get('Code', '')}".strip()
    code = sqlstate(error)
    return f"{name} {code}" if code else name


def trace(error: BaseException) -> list[str]:
    """Where an error came from, innermost last, without its message."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def retrying(seconds: float) -> Retrying:
    """Tries again after transient errors for at most so many seconds, with backoff and jitter."""
    return Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_delay(seconds),
        wait=wait_random_exponential(multiplier=0.2, max=8),
        reraise=True,
    )
