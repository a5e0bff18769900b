"""The local platform's EventBridge: wakes the workers on the schedules of zappa_settings.json.

A due rule puts the event that EventBridge would send into the queue that the delivery loop reads, so the
reconciler and the cleaner run here as on Lambda. A rule fires when it falls due while the platform runs;
what fell due while it was off is not made up for.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import boto3
from django.conf import settings
from django.utils import timezone

_UNITS = {"minute": 60, "hour": 3_600, "day": 86_400}
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_DAILY = re.compile(r"cron\((\d+) (\d+) \* \* \? \*\)")


@dataclass
class Rule:
    """A function of the workers, and when it is next due."""

    function: str
    expression: str
    due: datetime

    def next_after(self, now: datetime) -> datetime:
        """Raises ValueError for an expression that is neither a rate nor a time of day (in UTC)."""
        if rate := _RATE.fullmatch(self.expression):
            return now + timedelta(seconds=int(rate[1]) * _UNITS[rate[2]])
        if daily := _DAILY.fullmatch(self.expression):
            today = now.replace(hour=int(daily[2]), minute=int(daily[1]), second=0, microsecond=0)
            return today if today > now else today + timedelta(days=1)
        raise ValueError(f"zappa_settings.json: {self.expression!r} is no schedule that can be kept here")


class Schedules:
    """Every schedule of the production stages; look() sends what is due."""

    def __init__(self) -> None:
        now = timezone.now()
        self._rules = [Rule(function, expression, now) for function, expression in _schedules()]
        for rule in self._rules:
            rule.due = rule.next_after(now)

    def look(self) -> None:
        """Send the event of each rule that is due."""
        now = timezone.now()
        for rule in self._rules:
            if rule.due <= now:
                _send(rule.function)
                rule.due = rule.next_after(now)


def _schedules() -> Iterator[tuple[str, str]]:
    stages = json.loads((settings.BASE_DIR / "zappa_settings.json").read_text())
    for name, stage in stages.items():
        if name.startswith("production"):
            for event in stage.get("events", []):
                if "expression" in event:
                    yield event["function"], event["expression"]


def _send(function: str) -> None:
    event = {
        "detail-type": "Scheduled Event",
        "resources": [f"arn:aws:events:local:000000000000:rule/local-{function}"],
    }
    sqs = boto3.client("sqs")
    queue = sqs.get_queue_url(QueueName=settings.IMPORT_QUEUE)["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))
