"""The front page: the last runs, what needs attention, and two charts of the last two weeks."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from clients.admin.attention import attention
from clients.admin.labels import badge
from clients.contract.problems import ProblemKind
from clients.models import ImportRun
from clients.models.states import Mode, State
from clients.reporting.kinds import problem_label
from clients.reporting.reports import headline

_DAYS = 14
_RUNS = 8
_PROBLEMS = 8
_RUNS_WITH_PROBLEMS = 1_000  # at most, newest first, are looked through

# The chart's space, in the units of its viewBox.
WIDTH, HEIGHT = 420, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 20
_KINDS = ("inserted", "updated", "rejected")


def overview() -> dict[str, Any]:
    """The template's variables; the number of queries doesn't depend on how much there is."""
    since = timezone.localdate() - timedelta(days=_DAYS - 1)
    runs = list(ImportRun.objects.defer("header", "problem_counts", "sample")[:_RUNS])
    return {
        "runs": [{"run": run, "badge": badge(run), "headline": headline(run)} for run in runs],
        "attention": attention(_DAYS),
        "chart": chart(_rows_per_day(since), since),
        "problems": _problems(since),
        "days": _DAYS,
    }


def _rows_per_day(since: date) -> dict[date, dict[str, int]]:
    days = (
        ImportRun.objects.filter(created_at__date__gte=since, mode=Mode.IMPORT)
        .exclude(state=State.UNDONE)
        .order_by()
        .values(day=TruncDate("created_at"))
        .annotate(**{f"{kind}_rows": Sum(kind) for kind in _KINDS})
    )
    found: Iterable[Any] = days  # its keys are made above, which no type checker follows
    return {row["day"]: {kind: row[f"{kind}_rows"] for kind in _KINDS} for row in found}


def chart(rows: dict[date, dict[str, int]], since: date) -> dict[str, Any]:
    """Stacked bars as rectangles of an SVG: where, how large, and what they stand for."""
    days = [since + timedelta(days=number) for number in range(_DAYS)]
    totals = {day: sum(rows.get(day, {}).values()) for day in days}
    top = _round_up(max(totals.values()))
    height = HEIGHT - _TOP - _BOTTOM
    step = (WIDTH - _LEFT - _RIGHT) / _DAYS
    bars = []
    for number, day in enumerate(days):
        x = _LEFT + number * step + step * 0.15
        bars.append(
            {
                "day": day,
                "x": f"{x:.1f}",
                "middle": f"{x + step * 0.35:.1f}",
                "width": f"{step * 0.7:.1f}",
                "parts": _stacked(rows.get(day, {}), height / top),
                "total": totals[day],
                "labelled": number % 2 == 1,
            }
        )
    lines = [
        {"y": f"{HEIGHT - _BOTTOM - height * share:.1f}", "text": _short(top * share)}
        for share in (0, 0.5, 1)
    ]
    return {
        "bars": bars,
        "lines": lines,
        "width": WIDTH,
        "height": HEIGHT,
        "left": _LEFT,
        "right": WIDTH - _RIGHT,
        "empty": not any(totals.values()),
    }


def _stacked(counts: dict[str, int], scale: float) -> list[dict[str, Any]]:
    """A day's rectangles from the bottom up; `scale` is in units of the viewBox per row."""
    parts = []
    y = float(HEIGHT - _BOTTOM)
    for kind in _KINDS:
        size = counts.get(kind, 0) * scale
        y -= size
        parts.append({"kind": kind, "y": f"{y:.1f}", "height": f"{size:.1f}", "rows": counts.get(kind, 0)})
    return parts


def _round_up(number: int) -> int:
    """The next of 2, 4, 10, 20, 40, 100, …: a scale whose half is a round number, too."""
    power = 1
    while True:
        for step in (2, 4, 10):
            if number <= step * power:
                return step * power
        power *= 10


def _short(number: float) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size:
            return f"{number / size:g} {unit}"
    return f"{number:g}"


def _problems(since: date) -> list[dict[str, Any]]:
    """The most frequent kinds of problems, with each one's share of the most frequent, in percent."""
    counts: Counter[str] = Counter()
    runs = ImportRun.objects.filter(created_at__date__gte=since, rejected__gt=0, mode=Mode.IMPORT)
    for found in runs.values_list("problem_counts", flat=True)[:_RUNS_WITH_PROBLEMS]:
        counts.update(found)
    most = counts.most_common(_PROBLEMS)
    return [
        {
            "label": problem_label(ProblemKind.parse(key)),
            "rows": rows,
            "share": max(1, rows * 100 // most[0][1]),
        }
        for key, rows in most
    ]
