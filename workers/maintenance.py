"""What `zappa invoke` offers. Each function is one line to its domain; STAGE is production or staging.

    zappa invoke STAGE_import workers.maintenance.NAME [--payload '{"…": …}']
"""

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Count, Max, Sum

from clientimport.env import env_required, resolve_secret
from clients import doctor as doctors
from clients.models import Client, ImportRun


def doctor(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Prove each link: `workers.maintenance.doctor`, with `--payload '{"end_to_end": true}'` the whole road."""
    findings = list(doctors.examine())
    if event.get("end_to_end"):
        findings.append(doctors.end_to_end())
    return {"healthy": doctors.is_healthy(findings), "findings": [str(finding) for finding in findings]}


def statistics(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Runs by state, rows by outcome, clients in all: `workers.maintenance.statistics`."""
    sums = {name: Sum(name, default=0) for name in ("read", "inserted", "updated", "unchanged", "rejected")}
    latest = ImportRun.objects.aggregate(latest=Max("finished_at"))["latest"]
    return {
        "clients": Client.objects.count(),
        "runs": dict(ImportRun.objects.values_list("state").annotate(Count("pk"))),
        "rows": ImportRun.objects.aggregate(**sums),
        "last_import": latest.isoformat() if latest else None,
    }


def create_first_admin(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Make the first administrator from the stack's secret, once:
    `zappa invoke STAGE workers.maintenance.create_first_admin` (the admin's function may read the secret).
    """
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return {"created": False, "reason": "there is an administrator already"}
    password = resolve_secret(env_required("FIRST_ADMIN_SECRET"))
    users.create_superuser(username="admin", email=settings.NOTIFICATION_EMAIL, password=password)
    return {"created": True, "username": "admin"}
