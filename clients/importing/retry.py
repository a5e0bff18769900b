"""Which errors pass by themselves, and how patiently to try again inside one invocation."""

import random
import ssl
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import botocore.exceptions as aws
import psycopg2
import urllib3
from botocore.exceptions import ClientError
from django.db import DatabaseError, InterfaceError, OperationalError

from clients.errors import sqlstate

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
# through botocore's streams.
_TRANSIENT_AWS = (
    aws.ConnectionError,
    aws.HTTPClientError,
    aws.IncompleteReadError,
    aws.FlexibleChecksumError,
    urllib3.exceptions.HTTPError,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: by exception type and SQLSTATE (PostgreSQL manual, appendix A)."""
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


class Attempt:
    """One of the attempts of `retrying`: a block that keeps a transient error in while there is patience."""

    def __init__(self, number: int, until: float) -> None:
        self.number = number
        self.goes_on = False
        self._until = until

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> bool:
        self.goes_on = error is not None and is_transient(error) and time.monotonic() < self._until
        return self.goes_on


def retrying(seconds: float) -> Iterator[Attempt]:
    """Tries again after transient errors for at most so many seconds, with backoff and jitter:

    `for attempt in retrying(30): with attempt: …`
    """
    attempt = Attempt(1, time.monotonic() + seconds)
    yield attempt
    while attempt.goes_on:
        time.sleep(random.uniform(0, min(8, 0.1 * 2**attempt.number)))  # noqa: S311 - nothing secret
        attempt = Attempt(attempt.number + 1, attempt._until)
        yield attempt
