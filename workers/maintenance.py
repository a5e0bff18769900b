"""What `zappa invoke` offers, and the reconciler's schedule. Each is a few lines around its domain.

    zappa invoke STAGE_import workers.maintenance.NAME --payload '{"…": …}'

STAGE is production or staging; two are for other functions and say so. Their results are printed as they
are. A TypeError never leaves here: Zappa would call the function again with fewer arguments.
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.core.management import call_command
from django.db import close_old_connections
from django.db.models import Count, Max, Sum
from django.utils import timezone

from clientimport.env import env_required
from clients import actions
from clients.actions import Refused
from clients.aws.secrets import resolve_secret
from clients.errors import ImportFailed, describe
from clients.models import Client, ImportRun
from clients.models.states import FINAL, Notification
from clients.reporting import mails
from clients.upkeep import cleanup, dead_letters
from clients.upkeep import doctor as doctors
from clients.upkeep import reconcile as reconciling

_TIME_TO_REPORT = 10.0  # seconds

Task = Callable[[dict[str, Any], Any], dict[str, Any]]


def _task(task: Task) -> Task:
    """A task begins with a connection that works, and says in one line what is wrong with its request."""

    @wraps(task)
    def run(event: dict[str, Any], context: Any) -> dict[str, Any]:
        close_old_connections()
        try:
            return task(event, context)
        except (Refused, ObjectDoesNotExist) as refusal:
            return {"refused": str(refusal)}
        except KeyError as missing:
            return {"refused": f"--payload lacks {missing}; {(task.__doc__ or '').strip()}"}
        except Exception as error:  # noqa: BLE001 - Lambda gets no message that may quote data
            raise ImportFailed(f"{task.__name__} failed: {describe(error)}") from None

    return run


@_task
def reconcile(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Find lost files, stuck runs and unsent mails: `workers.maintenance.reconcile` (also on a schedule)."""
    return reconciling.reconcile(deadline=_deadline(context)).as_dict()


@_task
def redrive(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Deliver everything in the dead-letter queue again: `workers.maintenance.redrive`."""
    return dead_letters.redrive_all().as_dict()


@_task
def rerun(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Import a run's file again: `workers.maintenance.rerun --payload '{"run": 12, "by": "admin"}'`."""
    by = User.objects.get(username=event["by"])
    return {"queued": actions.rerun(ImportRun.objects.get(pk=event["run"]), by=by).pk}


@_task
def resend_mail(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Send a finished run's mail once more: `workers.maintenance.resend_mail --payload '{"run": 12}'`."""
    run = ImportRun.objects.get(pk=event["run"], state__in=FINAL)
    ImportRun.objects.filter(pk=run.pk).update(
        notification=Notification.PENDING, notification_claimed_until=None
    )
    sent = mails.send(run)
    run.refresh_from_db()
    return {"run": run.pk, "sent": sent, "error": run.notification_error}


@_task
def purge(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Erase the cells of old rejected rows now (the cleaner does it nightly): `workers.maintenance.purge`."""
    report = cleanup.Cleaning()
    cleanup.purge_cells(report, now=timezone.now(), deadline=_deadline(context))
    return {"purged_rows": report.purged_rows, "complete": report.complete}


@_task
def clean(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Delete finished files now: `zappa invoke STAGE_clean workers.maintenance.clean` (others may not)."""
    return cleanup.clean_up(deadline=_deadline(context)).as_dict()


@_task
def doctor(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Prove each link: `workers.maintenance.doctor --payload '{"end_to_end": true}'` (or without it)."""
    findings = list(doctors.examine())
    if event.get("end_to_end"):
        findings.append(doctors.end_to_end())
    return {"healthy": doctors.is_healthy(findings), "findings": [str(finding) for finding in findings]}


@_task
def migrate(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Bring the database's tables up to this version of the code: `workers.maintenance.migrate`."""
    call_command("migrate", interactive=False)
    return {"migrated": True}


@_task
def statistics(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Clients, runs by state, rows by outcome, the last import: `workers.maintenance.statistics`."""
    sums = {name: Sum(name, default=0) for name in ("read", "inserted", "updated", "unchanged", "rejected")}
    latest = ImportRun.objects.aggregate(latest=Max("finished_at"))["latest"]
    states = ImportRun.objects.order_by().values("state").annotate(runs=Count("pk"))
    return {
        "clients": Client.objects.count(),
        "runs": {row["state"]: row["runs"] for row in states},
        "rows": ImportRun.objects.aggregate(**sums),
        "last_import": latest.isoformat() if latest else None,
    }


@_task
def create_first_admin(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Make the first administrator from the stack's secret, if there is none:
    `zappa invoke STAGE workers.maintenance.create_first_admin` (the admin's function may read the secret).
    """
    if User.objects.filter(is_superuser=True).exists():
        return {"created": False, "reason": "there is an administrator already"}
    password = resolve_secret(env_required("FIRST_ADMIN_SECRET"))
    User.objects.create_superuser("admin", settings.NOTIFICATION_EMAIL, password)
    return {"created": True, "username": "admin"}


def _deadline(context: Any) -> float:
    """On time.monotonic()'s clock, with some seconds kept back to report."""
    return time.monotonic() + float(context.get_remaining_time_in_millis()) / 1000 - _TIME_TO_REPORT
