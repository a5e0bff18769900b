"""Our own failures, and what may be told of any error: its type and code, never its message.

A message may quote a row. The user's faults are another family (clients.contract.problems.FileFault); the two
never mix.
"""

import traceback

import psycopg2
from botocore.exceptions import ClientError


class ImportingError(Exception):
    """We could not finish an import; nothing of it was kept, and it may be tried again."""


class LeaseHeld(ImportingError):
    """Another worker is at work on this run and alive; come back later."""


class Fenced(ImportingError):
    """Another worker took this run over while we were frozen; what we did is not kept."""


class OutOfTime(ImportingError):
    """The time that the invocation has left does not suffice; stopped and rolled back."""


class Interrupted(ImportingError):
    """Somebody stopped the process (Ctrl-C, SIGTERM); stopped and rolled back."""


class ImportFailed(ImportingError):
    """What a worker raises so that Lambda delivers the event again; holds no personal data.

    `run` is the number of the run that failed, where there is one.
    """

    def __init__(self, message: str, run: int | None = None) -> None:
        super().__init__(message)
        self.run = run


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-character code, None where the server had no chance to send one."""
    cause = error if isinstance(error, psycopg2.Error) else error.__cause__
    return cause.pgcode if isinstance(cause, psycopg2.Error) else None


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
