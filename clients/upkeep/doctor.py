"""The doctor: proves each link of the chain from bucket to mail, one line a link, with what to do.

Runs anywhere: `python manage.py doctor`, and on Lambda `zappa invoke … workers.maintenance.doctor`.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from clients.aws import clients
from clients.models import Client, ImportRun
from clients.models.states import FINAL, Notification, State
from clients.upkeep.checks import CHECKS
from clients.upkeep.findings import START_LOCAL, Finding, Problem, Verdict, look

_DOCTORS_OWN = "doctor-"  # file names the import function may write and delete


def examine() -> Iterator[Finding]:
    """Look at every link; yields as it goes, and never raises for what it finds."""
    for link, check in CHECKS.items():
        yield look(link, check)


def end_to_end(seconds: float = 90) -> Finding:
    """Upload two rows, watch them arrive and the mail go out, and remove them; their run stays as audit."""
    return look("end to end", lambda: _upload_and_watch(seconds))


def is_healthy(findings: list[Finding]) -> bool:
    return all(finding.verdict != Verdict.PROBLEM for finding in findings)


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
            raise Problem(
                f"run {run.pk} is {run.state} ({run.fault}), {arrived} rows arrived",
                "Look at the run in the admin.",
            )
        took = time.monotonic() - started
        if run.notification != Notification.SENT:
            raise Problem(
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
    """The run of this file, finished and its mail sent; raises Problem when the time is over."""
    run = None
    while time.monotonic() < until:
        run = ImportRun.objects.filter(bucket=settings.IMPORT_BUCKET, key=key).first()
        if run and run.state in FINAL and run.notification == Notification.SENT:
            return run
        time.sleep(0.25)
    if run is None:
        raise Problem(
            "nobody imported the file",
            START_LOCAL if settings.LOCAL else "Look at the bucket's event above.",
        )
    return run


def _remove(s3: Any, key: str) -> None:
    """Every version of the key."""
    listed = s3.list_object_versions(Bucket=settings.IMPORT_BUCKET, Prefix=key)
    for entry in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=settings.IMPORT_BUCKET, Key=key, VersionId=entry["VersionId"])
