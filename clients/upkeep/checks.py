"""The links of the chain from bucket to mail, and how each is looked at. A link that doesn't exist here (the
local platform has no Lambda, no schedules) says so.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from clients.aws import clients
from clients.aws.secrets import resolve_secret
from clients.upkeep.findings import REDEPLOY, NotHere, Problem

_RETRIES = 2  # after the first attempt: IMPORT_DELIVERIES in all


def _only_on_aws() -> None:
    if settings.LOCAL:
        raise NotHere("the local platform has none")


# --- database ---------------------------------------------------------------------------------------


def _database() -> str:
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('max_connections')")
        version, connections = cursor.fetchone()
    return f"PostgreSQL {version}, {connections} connections at most"


def _encryption() -> str:
    if not connection.settings_dict["HOST"] or connection.settings_dict["HOST"].startswith("/"):
        raise NotHere("a socket on this machine")
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
        row = cursor.fetchone()
    if row is None:
        raise Problem("the connection is not encrypted", "Remove RDS_SSLMODE, or set it to require.")
    return str(row[0])


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing[:3])
        raise Problem(
            f"{len(missing)} migrations are missing ({names} …)",
            "Run: zappa invoke STAGE_import workers.maintenance.migrate (here: python manage.py migrate)",
        )
    return "all applied"


def _password() -> str:
    _only_on_aws()
    reference = str(settings.DATABASES["default"]["PASSWORD"])
    if not reference.startswith("arn:"):
        raise Problem(
            "RDS_PASS is the password itself", "Put it into Secrets Manager, and its ARN into RDS_PASS."
        )
    resolve_secret(reference, refetch=True)
    return "readable in Secrets Manager"


# --- bucket -----------------------------------------------------------------------------------------


def _bucket() -> str:
    versioning = clients.s3().get_bucket_versioning(Bucket=settings.IMPORT_BUCKET)
    if versioning.get("Status") != "Enabled":
        raise Problem(
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
        raise Problem(f"no event of the bucket goes to {wanted}", REDEPLOY)
    for entry in ours:
        rules = entry.get("Filter", {}).get("Key", {}).get("FilterRules", [])
        prefix = "".join(rule["Value"] for rule in rules if rule["Name"].lower() == "prefix")
        if prefix != settings.IMPORT_PREFIX:
            raise Problem(
                f"the event fires for “{prefix}”, not for {settings.IMPORT_PREFIX}",
                f'Write "prefix": "{settings.IMPORT_PREFIX}" into event_source, zappa_settings.json; deploy.',
            )
        if not any(event.startswith("s3:ObjectCreated:") for event in entry["Events"]):
            raise Problem("the event is not ObjectCreated", REDEPLOY)
    return f"new files under {settings.IMPORT_PREFIX} go to {wanted}"


def _permission() -> str:
    _only_on_aws()
    policy = json.loads(clients.functions().get_policy(FunctionName=settings.IMPORT_FUNCTION)["Policy"])
    bucket = f"arn:aws:s3:::{settings.IMPORT_BUCKET}"
    statements = [s for s in policy["Statement"] if bucket in json.dumps(s.get("Condition", {}))]
    if not statements:
        raise Problem(f"{settings.IMPORT_BUCKET} may not invoke {settings.IMPORT_FUNCTION}", REDEPLOY)
    return f"the bucket may invoke {settings.IMPORT_FUNCTION}"


# --- functions --------------------------------------------------------------------------------------


def _dead_letters() -> str:
    sqs = clients.sqs()
    url = sqs.get_queue_url(QueueName=settings.IMPORT_DEAD_LETTER_QUEUE)["QueueUrl"]
    waiting = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    count = int(waiting["Attributes"]["ApproximateNumberOfMessages"])
    if count:
        raise Problem(
            f"{count} given-up events wait in {settings.IMPORT_DEAD_LETTER_QUEUE}",
            "Fix what the runs say, then: zappa invoke STAGE_import workers.maintenance.redrive",
        )
    return f"{settings.IMPORT_DEAD_LETTER_QUEUE} is empty"


def _attached() -> str:
    _only_on_aws()
    client = clients.functions()
    for name in (settings.IMPORT_FUNCTION, settings.CLEANER_FUNCTION):
        function = client.get_function_configuration(FunctionName=name)
        target = function.get("DeadLetterConfig", {}).get("TargetArn", "")
        if target.split(":")[-1] != settings.IMPORT_DEAD_LETTER_QUEUE:
            raise Problem(f"{name} has {target or 'no queue'} for events it gives up", REDEPLOY)
        try:
            retries = client.get_function_event_invoke_config(FunctionName=name)["MaximumRetryAttempts"]
        except client.exceptions.ResourceNotFoundException:
            retries = _RETRIES  # Lambda's own default
        if retries != _RETRIES:
            raise Problem(f"{name} is tried {retries + 1} times", REDEPLOY)
    return f"both workers try {_RETRIES + 1} times, then give events to it"


def _schedules() -> str:
    _only_on_aws()
    rules = []
    for name in (settings.IMPORT_FUNCTION, settings.CLEANER_FUNCTION):
        arn = clients.functions().get_function_configuration(FunctionName=name)["FunctionArn"]
        found = clients.schedules().list_rule_names_by_target(TargetArn=arn)["RuleNames"]
        enabled = [rule for rule in map(_rule, found) if rule["State"] == "ENABLED"]
        if not enabled:
            raise Problem(f"nothing wakes {name} up", "Run: zappa schedule STAGE_import (or STAGE_clean)")
        rules += [f"{name} {rule['ScheduleExpression']}" for rule in enabled]
    return ", ".join(rules)


def _rule(name: str) -> Mapping[str, Any]:
    return clients.schedules().describe_rule(Name=name)


# --- mail -------------------------------------------------------------------------------------------


def _sender() -> str:
    ses = clients.mail()
    sender = settings.DEFAULT_FROM_EMAIL
    if not any(_is_verified(ses, identity) for identity in (sender, sender.split("@")[-1])):
        raise Problem(
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
    raise Problem(
        f"SES is in its sandbox and {recipient} is not verified, so it gets no mail",
        "Verify the address, or ask for production access (SES console → Account dashboard).",
    )


def _is_verified(ses: Any, identity: str) -> bool:
    try:
        answer = ses.get_email_identity(EmailIdentity=identity)
        return bool(answer["VerifiedForSendingStatus"]) or settings.LOCAL  # there nobody clicks a link
    except ses.exceptions.NotFoundException:
        return False


CHECKS: dict[str, Callable[[], str]] = {
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
