"""The doctor: proves each link of the chain from bucket to mail, one line a link, with what to do.

Runs anywhere: `python manage.py doctor`, and on Lambda `zappa invoke … workers.maintenance.doctor`.
A link that doesn't exist here (the local platform has no Lambda, no schedules) is skipped and says so.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from clients.aws import clients
from clients.aws.secrets import resolve_secret
from clients.models import Client, ImportRun
from clients.models.import_run import FINAL, Notification, State

_RETRIES = 2  # after the first attempt: IMPORT_DELIVERIES in all
_DOCTORS_OWN = "doctor-"  # file names the import function may write and delete


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


class _Problem(Exception):
    """What a check found wrong, and what to do."""

    def __init__(self, seen: str, todo: str) -> None:
        super().__init__(seen)
        self.todo = todo


class _NotHere(Exception):
    """The link doesn't exist where we run."""


def examine() -> Iterator[Finding]:
    """Look at every link; yields as it goes, and never raises for what it finds."""
    for link, check in _CHECKS.items():
        yield _finding(link, check)


def end_to_end(seconds: float = 90) -> Finding:
    """Upload two rows, watch them arrive and the mail go out, and remove them; their run stays as audit."""
    return _finding("end to end", lambda: _upload_and_watch(seconds))


def is_healthy(findings: list[Finding]) -> bool:
    return all(finding.verdict != Verdict.PROBLEM for finding in findings)


def _finding(link: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(link, Verdict.OK, check())
    except _NotHere as reason:
        return Finding(link, Verdict.SKIPPED, str(reason))
    except _Problem as problem:
        return Finding(link, Verdict.PROBLEM, str(problem), problem.todo)
    except DatabaseError as error:
        return Finding(link, Verdict.PROBLEM, " ".join(str(error).split()), _MEND_DATABASE)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return Finding(link, Verdict.PROBLEM, f"{error.operation_name} says {code}", _aws_todo(code))
    except BotoCoreError as error:
        return Finding(
            link, Verdict.PROBLEM, str(error), _START_LOCAL if settings.LOCAL else _LOOK_AT_THE_NETWORK
        )


_MEND_DATABASE = (
    "Check RDS_HOST, RDS_USER, RDS_PASS and RDS_DB, "
    "and that the function's security group may reach port 5432."
)
_START_LOCAL = "Start the local platform: python manage.py runlocal"
_LOOK_AT_THE_NETWORK = "Look at the NAT gateway and the route tables of the function's subnets."
_REDEPLOY = "Deploy again: make deploy STAGE=…"


def _aws_todo(code: str) -> str:
    if "Denied" in code or code in ("403", "Forbidden"):
        return "The function's role lacks this right; update the stack: make deploy STAGE=…"
    return _REDEPLOY


def _only_on_aws() -> None:
    if settings.LOCAL:
        raise _NotHere("the local platform has none")


# --- database ---------------------------------------------------------------------------------------


def _database() -> str:
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('max_connections')")
        version, connections = cursor.fetchone()
    return f"PostgreSQL {version}, {connections} connections at most"


def _encryption() -> str:
    if not connection.settings_dict["HOST"] or connection.settings_dict["HOST"].startswith("/"):
        raise _NotHere("a socket on this machine")
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
        row = cursor.fetchone()
    if row is None:
        raise _Problem("the connection is not encrypted", "Remove RDS_SSLMODE, or set it to require.")
    return str(row[0])


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing[:3])
        raise _Problem(
            f"{len(missing)} migrations are missing ({names} …)",
            "Run: zappa invoke STAGE_import workers.maintenance.migrate (here: python manage.py migrate)",
        )
    return "all applied"


def _password() -> str:
    _only_on_aws()
    reference = str(settings.DATABASES["default"]["PASSWORD"])
    if not reference.startswith("arn:"):
        raise _Problem(
            "RDS_PASS is the password itself", "Put it into Secrets Manager, and its ARN into RDS_PASS."
        )
    resolve_secret(reference, refetch=True)
    return "readable in Secrets Manager"


# --- bucket -----------------------------------------------------------------------------------------


def _bucket() -> str:
    versioning = clients.s3().get_bucket_versioning(Bucket=settings.IMPORT_BUCKET)
    if versioning.get("Status") != "Enabled":
        raise _Problem(
            f"{settings.IMPORT_BUCKET} keeps no versions",
            "Switch versioning on, or update the stack: make deploy STAGE=…",
        )
    return f"{settings.IMPORT_BUCKET}, versions kept"


def _notification() -> str:
    found: Mapping[str, Any] = clients.s3().get_bucket_notification_configuration(
        Bucket=settings.IMPORT_BUCKET
    )
    wanted = settings.IMPORT_QUEUE if settings.LOCAL else settings.IMPORT_FUNCTION
    kind, arn = ("Queue", "QueueArn") if settings.LOCAL else ("LambdaFunction", "LambdaFunctionArn")
    ours = [entry for entry in found.get(f"{kind}Configurations", []) if entry[arn].split(":")[-1] == wanted]
    if not ours:
        raise _Problem(f"no event of the bucket goes to {wanted}", _REDEPLOY)
    for entry in ours:
        rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", [])
        prefix = "".join(rule["Value"] for rule in rules if rule["Name"].lower() == "prefix")
        if prefix != settings.IMPORT_PREFIX:
            raise _Problem(
                f"the event fires for “{prefix}”, not for {settings.IMPORT_PREFIX}",
                f'Write "prefix": "{settings.IMPORT_PREFIX}" into event_source, zappa_settings.json; deploy.',
            )
        if not any(event.startswith("s3:ObjectCreated:") for event in entry["Events"]):
            raise _Problem("the event is not ObjectCreated", _REDEPLOY)
    return f"new files under {settings.IMPORT_PREFIX} go to {wanted}"


def _permission() -> str:
    _only_on_aws()
    policy = json.loads(clients.functions().get_policy(FunctionName=settings.IMPORT_FUNCTION)["Policy"])
    bucket = f"arn:aws:s3:::{settings.IMPORT_BUCKET}"
    statements = [s for s in policy["Statement"] if bucket in json.dumps(s.get("Condition", {}))]
    if not statements:
        raise _Problem(f"{settings.IMPORT_BUCKET} may not invoke {settings.IMPORT_FUNCTION}", _REDEPLOY)
    return f"the bucket may invoke {settings.IMPORT_FUNCTION}"


# --- functions --------------------------------------------------------------------------------------


def _dead_letters() -> str:
    sqs = clients.sqs()
    url = sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]
    waiting = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    count = int(waiting["Attributes"]["ApproximateNumberOfMessages"])
    if count:
        raise _Problem(
            f"{count} given-up events wait in {settings.IMPORT_DEAD_LETTER_QUEUE}",
            "Mend what the runs say, then: zappa invoke STAGE_import workers.maintenance.redrive",
        )
    return f"{settings.IMPORT_DEAD_LETTER_QUEUE} is empty"


def _attached() -> str:
    _only_on_aws()
    client = clients.functions()
    for name in (settings.IMPORT_FUNCTION, settings.CLEANER_FUNCTION):
        function = client.get_function_configuration(FunctionName=name)
        target = function.get("DeadLetterConfig", {}).get("TargetArn", "")
        if target.split(":")[-1] != settings.IMPORT_DEAD_LETTER_QUEUE:
            raise _Problem(f"{name} has {target or 'no queue'} for events it gives up", _REDEPLOY)
        try:
            retries = client.get_function_event_invoke_config(FunctionName=name)["MaximumRetryAttempts"]
        except client.exceptions.ResourceNotFoundException:
            retries = _RETRIES  # Lambda's own default
        if retries != _RETRIES:
            raise _Problem(f"{name} is tried {retries + 1} times", _REDEPLOY)
    return f"both workers try {_RETRIES + 1} times, then give events to it"


def _schedules() -> str:
    _only_on_aws()
    rules = []
    for name in (settings.IMPORT_FUNCTION, settings.CLEANER_FUNCTION):
        arn = clients.functions().get_function_configuration(FunctionName=name)["FunctionArn"]
        found = clients.schedules().list_rule_names_by_target(TargetArn=arn)["RuleNames"]
        enabled = [rule for rule in map(_rule, found) if rule["State"] == "ENABLED"]
        if not enabled:
            raise _Problem(f"nothing wakes {name} up", "Run: zappa schedule STAGE_import (or STAGE_clean)")
        rules += [f"{name} {rule['ScheduleExpression']}" for rule in enabled]
    return ", ".join(rules)


def _rule(name: str) -> Mapping[str, Any]:
    return clients.schedules().describe_rule(Name=name)


# --- mail -------------------------------------------------------------------------------------------


def _sender() -> str:
    ses = clients.mail()
    sender = settings.DEFAULT_FROM_EMAIL
    if not any(_is_verified(ses, identity) for identity in (sender, sender.split("@")[-1])):
        raise _Problem(
            f"SES has not verified {sender}",
            "Click the link in the mail that AWS sent there (again: SES console → Identities → Resend).",
        )
    return f"{sender} is verified"


def _sandbox() -> str:
    _only_on_aws()
    ses = clients.mail()
    recipient = settings.NOTIFICATION_EMAIL
    if ses.get_account().get("ProductionAccessEnabled"):
        return "SES sends to everybody"
    if any(_is_verified(ses, identity) for identity in (recipient, recipient.split("@")[-1])):
        return f"SES is in its sandbox, and {recipient} is verified"
    raise _Problem(
        f"SES is in its sandbox and {recipient} is not verified, so it gets no mail",
        "Verify the address, or ask for production access (SES console → Account dashboard).",
    )


def _is_verified(ses: Any, identity: str) -> bool:
    try:
        answer = ses.get_email_identity(EmailIdentity=identity)
        return bool(answer["VerifiedForSendingStatus"]) or settings.LOCAL  # there nobody clicks a link
    except ses.exceptions.NotFoundException:
        return False


_CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "encryption": _encryption,
    "migrations": _migrations,
    "database password": _password,
    "bucket": _bucket,
    "bucket's event": _notification,
    "bucket's permission": _permission,
    "dead-letter queue": _dead_letters,
    "dead-letter queue attached": _attached,
    "schedules": _schedules,
    "mail sender": _sender,
    "mail recipient": _sandbox,
}


# --- end to end -------------------------------------------------------------------------------------


def _upload_and_watch(seconds: float) -> str:
    name = f"{_DOCTORS_OWN}{uuid.uuid4().hex[:12]}"
    key = f"{settings.IMPORT_PREFIX}{name}.csv"
    emails = [f"{name}-{number}@example.com" for number in (1, 2)]
    rows = "".join(f"Doctor,{email},Doctor,,{settings.IMPORT_STATUSES[0]}\n" for email in emails)
    s3 = clients.s3()
    started = time.monotonic()
    s3.put_object(
        Bucket=settings.IMPORT_BUCKET, Key=key, Body=f"Name,Email,Company,Phone,Status\n{rows}".encode()
    )
    try:
        run = _wait_for_run(key, started + seconds)
        arrived = Client.objects.filter(email__in=emails).count()
        if run.state != State.SUCCEEDED or arrived != len(emails):
            raise _Problem(
                f"run {run.pk} is {run.state} ({run.fault}), {arrived} rows arrived",
                "Look at the run in the admin.",
            )
        took = time.monotonic() - started
        if run.notification != Notification.SENT:
            raise _Problem(
                f"the rows arrived in {took:.1f} s, but the mail did not go out: {run.notification_error}",
                "Look at the lines about mail above.",
            )
        return (
            f"two rows from {key} arrived in {took:.1f} s, the mail went out; rows and file are removed again"
        )
    finally:
        Client.objects.filter(email__in=emails).delete()
        _remove(s3, key)


def _wait_for_run(key: str, until: float) -> ImportRun:
    """The run of this file, finished and its mail sent; raises _Problem when the time is over."""
    run = None
    while time.monotonic() < until:
        run = ImportRun.objects.filter(bucket=settings.IMPORT_BUCKET, key=key).first()
        if run and run.state in FINAL and run.notification == Notification.SENT:
            return run
        time.sleep(0.25)
    if run is None:
        raise _Problem(
            "nobody imported the file",
            _START_LOCAL if settings.LOCAL else "Look at the bucket's event above.",
        )
    return run


def _remove(s3: Any, key: str) -> None:
    """Every version of the key."""
    listed = s3.list_object_versions(Bucket=settings.IMPORT_BUCKET, Prefix=key)
    for entry in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=settings.IMPORT_BUCKET, Key=key, VersionId=entry["VersionId"])
