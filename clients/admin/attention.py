"""What waits for somebody: shown on the front page, the gravest first.

Each thing leaves the list by itself once it is dealt with: a failed or rejected file when it has been
imported after all, a rejected row when a correction has brought it in.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError
from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet, Value
from django.urls import reverse
from django.utils import timezone

from clients.models import ImportRun
from clients.models.states import Mode, Notification, State
from clients.upkeep import dead_letters

_WAITS_TOO_LONG = timedelta(minutes=5)
_NAMED = 5  # of each kind; what is left over is counted
_LIST = "admin:clients_importrun_changelist"
_IMPORTED = (State.SUCCEEDED, State.PARTIAL)


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that somebody should look at, and what to do about it."""

    text: str
    url: str = ""
    verb: str = ""


def attention(days: int) -> list[Attention]:
    """What needs somebody's attention, of the last so many days."""
    since = timezone.now() - timedelta(days=days)
    return [
        *_files(_unsettled(since, State.FAILED), "import failed, nothing was imported", "Look", State.FAILED),
        *_files(_unsettled(since, State.REJECTED), "file not imported", "See why", State.REJECTED),
        *_rows_left(since),
        *_waiting(since),
        *_dead_letters(),
        *_unsent(since),
    ]


def _unsettled(since: datetime, state: State) -> QuerySet[ImportRun]:
    """Imports in this state that neither a repetition nor a later upload of the same name has made good."""
    name = Func(F("key"), Value("^.*/"), Value(""), function="regexp_replace")
    later = (
        ImportRun.objects.filter(
            pk__gt=OuterRef("pk"), mode=Mode.IMPORT, state__in=(*_IMPORTED, State.UNDONE)
        )
        .annotate(name=name)
        .filter(Q(name=OuterRef("name")) | Q(parent=OuterRef("pk")))
        .order_by()
    )
    runs = ImportRun.objects.filter(created_at__gt=since, mode=Mode.IMPORT, state=state)
    return runs.exclude(fault_code="cancelled").annotate(name=name).filter(~Exists(later)).only("key")


def _files(runs: QuerySet[ImportRun], what: str, verb: str, state: State) -> list[Attention]:
    found = list(runs[: _NAMED + 1])
    named = [Attention(f"{run.file_name}: {what}.", run.get_absolute_url(), verb) for run in found[:_NAMED]]
    if len(found) > _NAMED:
        url = f"{reverse(_LIST)}?state__exact={state}"
        named.append(Attention(f"{runs.count() - _NAMED:,} more like it.", url, "Show all"))
    return named


def _rows_left(since: datetime) -> list[Attention]:
    """Files with rows that are still to be corrected. What corrections bring in is no longer left."""
    fixed = _fixed_by_corrections()
    files = []
    for run in _unsettled(since, State.PARTIAL).filter(corrects=None).only("key", "rejected"):
        left = run.rejected - fixed.get(run.pk, 0)
        if left > 0:
            text = f"{run.file_name}: {left:,} of {run.rejected:,} rejected rows left to correct."
            files.append(Attention(text, f"{run.get_absolute_url()}#rejected", "Fix"))
    more = len(files) - _NAMED
    if more > 0:
        url = f"{reverse(_LIST)}?state__exact={State.PARTIAL}"
        return [*files[:_NAMED], Attention(f"{more:,} more files with rejected rows.", url, "Show all")]
    return files


def _fixed_by_corrections() -> dict[int, int]:
    """How many rows of a run were brought in by its corrections, and by the corrections of these."""
    corrections: dict[int, list[tuple[int, int]]] = defaultdict(list)
    runs = ImportRun.objects.filter(corrects__isnull=False, mode=Mode.IMPORT, state__in=_IMPORTED).order_by()
    for pk, corrected, fixed in runs.values_list("pk", "corrects", "fixed"):
        corrections[corrected or 0].append((pk, fixed or 0))
    totals: dict[int, int] = {}
    # A correction is younger than what it corrects, so its own corrections are summed before it.
    for corrected in sorted(corrections, reverse=True):
        totals[corrected] = sum(fixed + totals.get(pk, 0) for pk, fixed in corrections[corrected])
    return totals


def _waiting(since: datetime) -> list[Attention]:
    late = timezone.now() - _WAITS_TOO_LONG
    stuck = Q(state=State.QUEUED, created_at__lt=late) | Q(state=State.RUNNING, lease_expires_at__lt=late)
    count = ImportRun.objects.filter(stuck, created_at__gt=since).count()
    if not count:
        return []
    text = "1 file waits to be imported." if count == 1 else f"{count:,} files wait to be imported."
    return [Attention(text, reverse(_LIST), "Show")]


def _unsent(since: datetime) -> list[Attention]:
    late = timezone.now() - _WAITS_TOO_LONG
    count = ImportRun.objects.filter(
        notification=Notification.PENDING, finished_at__lt=late, created_at__gt=since
    ).count()
    if not count:
        return []
    text = "1 mail could not be sent yet." if count == 1 else f"{count:,} mails could not be sent yet."
    return [Attention(text, f"{reverse(_LIST)}?notification__exact={Notification.PENDING}", "Show")]


def _dead_letters() -> list[Attention]:
    try:
        count = dead_letters.count()
    except (BotoCoreError, ClientError):
        return [Attention("The list of failed deliveries can’t be read right now.")]
    if not count:
        return []
    text = (
        "1 delivery failed several times and waits for you."
        if count == 1
        else f"{count:,} deliveries failed several times and wait for you."
    )
    return [Attention(text, reverse("admin:clients_importrun_dead_letters"), "Show")]
