"""What the doctor says of a link: what was seen, and for a problem what to do about it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db import DatabaseError


class Verdict(StrEnum):
    OK = "ok"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One link: what was seen, and for a problem what to do about it."""

    link: str
    verdict: Verdict
    seen: str
    todo: str = ""

    def __str__(self) -> str:
        mark = {Verdict.OK: "ok     ", Verdict.PROBLEM: "PROBLEM", Verdict.SKIPPED: "skipped"}[self.verdict]
        return f"{mark}  {self.link}: {self.seen}" + (f" → {self.todo}" if self.todo else "")


class Problem(Exception):
    """What a check found wrong, and what to do."""

    def __init__(self, seen: str, todo: str) -> None:
        super().__init__(seen)
        self.todo = todo


class NotHere(Exception):
    """The link doesn't exist where we run."""


def look(link: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(link, Verdict.OK, check())
    except NotHere as reason:
        return Finding(link, Verdict.SKIPPED, str(reason))
    except Problem as problem:
        return Finding(link, Verdict.PROBLEM, str(problem), problem.todo)
    except DatabaseError as error:
        return Finding(link, Verdict.PROBLEM, " ".join(str(error).split()), _CHECK_DATABASE)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return Finding(link, Verdict.PROBLEM, f"{error.operation_name} says {code}", _aws_todo(code))
    except BotoCoreError as error:
        return Finding(
            link, Verdict.PROBLEM, str(error), START_LOCAL if settings.LOCAL else _LOOK_AT_THE_NETWORK
        )


_CHECK_DATABASE = (
    "Check RDS_HOST, RDS_USER, RDS_PASS and RDS_DB, "
    "and that the function's security group may reach port 5432."
)
START_LOCAL = "Start the local platform: python manage.py runlocal"
_LOOK_AT_THE_NETWORK = "Look at the NAT gateway and the route tables of the function's subnets."
REDEPLOY = "Deploy again: make deploy STAGE=…"


def _aws_todo(code: str) -> str:
    if "Denied" in code or code in ("403", "Forbidden"):
        return "The function's role lacks this right; update the stack: make deploy STAGE=…"
    return REDEPLOY
