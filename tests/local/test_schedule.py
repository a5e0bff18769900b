"""The reconciler and the cleaner run on their schedules here, too, through the door that Lambda uses."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from clients.models import ImportRun
from clients.models.states import State
from local.delivery import Delivery
from local.schedule import Rule, Schedules

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("rate(15 minutes)", NOON + timedelta(minutes=15)),
        ("rate(1 hour)", NOON + timedelta(hours=1)),
        ("cron(0 0 * * ? *)", datetime(2026, 3, 2, tzinfo=UTC)),
        ("cron(30 13 * * ? *)", datetime(2026, 3, 1, 13, 30, tzinfo=UTC)),
    ],
)
def test_a_rule_is_next_due(expression: str, due: datetime) -> None:
    assert Rule("workers.maintenance.reconcile", expression, NOON).next_after(NOON) == due


def test_an_expression_that_cannot_be_kept_is_named() -> None:
    with pytest.raises(ValueError, match="cron"):
        Rule("f", "cron(0 0 1 * ? *)", NOON).next_after(NOON)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("queues", "bucket")
def test_a_due_reconciler_finds_what_was_lost(settings: Any) -> None:
    run = ImportRun.objects.create(bucket=settings.IMPORT_BUCKET, key="k", state=State.QUEUED, deliveries=3)
    ImportRun.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=1))
    schedules = Schedules()
    with Delivery(poll=0):
        schedules.look()
        time.sleep(0.3)
        run.refresh_from_db()
        assert run.state == State.QUEUED, "nothing is due yet"

        for rule in schedules._rules:
            rule.due = timezone.now()
        schedules.look()
        until = time.monotonic() + 10
        while run.state != State.FAILED and time.monotonic() < until:
            time.sleep(0.05)
            run.refresh_from_db()
    assert (run.state, run.fault_code) == (State.FAILED, "given-up")
