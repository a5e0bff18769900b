"""Which run belongs to which upload, and which of two uploads of a key is the newer one.

An upload has one run, whether its event comes once, twice, late, or never and the reconciler finds the
object in a listing. In a bucket with versions the version says it all; in one without, what an event and a
listing have in common is the ETag and the time.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction

from clients.aws import storage
from clients.aws.storage import NO_VERSION, ObjectVersion, StoredVersion
from clients.models import ImportRun
from clients.models.states import Trigger

# Headers give an object's time in whole seconds, events and some listings in milliseconds.
_CLOCK_TOLERANCE = timedelta(seconds=2)


class RunFacts(NamedTuple):
    """What there is to know of a run here; a page has a thousand keys, and whole runs are large."""

    key: str
    version_id: str
    etag: str
    event_at: datetime | None
    created_at: datetime
    state: str
    mode: str


def runs_by_version(versions: Iterable[StoredVersion]) -> dict[StoredVersion, list[RunFacts]]:
    """The runs of each version, the newest first, by one query."""
    versions = [version for version in versions if not version.is_marker]
    runs = defaultdict(list)
    for row in (
        ImportRun.objects.filter(bucket=settings.IMPORT_BUCKET, key__in={v.key for v in versions})
        .order_by("-id")
        .values_list(*RunFacts._fields)
        .iterator()
    ):
        run = RunFacts(*row)
        runs[run.key].append(run)
    return {version: [run for run in runs[version.key] if _is_of(run, version)] for version in versions}


def _is_of(run: RunFacts, version: StoredVersion) -> bool:
    """Whether a run is about this version.

    Without versions a key holds its latest upload alone, so the run of another upload with the same
    content is told by its time: it was uploaded before this object was.
    """
    if version.version_id != NO_VERSION:
        return run.version_id == version.version_id
    if run.version_id not in ("", NO_VERSION) or run.etag != version.etag:
        return False
    uploaded_at = run.event_at or run.created_at
    return uploaded_at > version.last_modified - _CLOCK_TOLERANCE


def run_for_event(version: ObjectVersion) -> ImportRun:
    """The run of the upload that an event tells of; the first delivery creates it."""
    known = ImportRun.objects.filter(bucket=version.bucket, key=version.key, delivery_id=version.delivery_id)
    run = known.first()
    if run is None:
        with transaction.atomic():
            _lock_key(version.bucket, version.key)
            run = known.first() or _adopt(version) or _create(version, Trigger.S3_EVENT)
    if version.sequencer and not run.sequencer:
        # The reconciler was first, and a listing has no sequencers.
        ImportRun.objects.filter(pk=run.pk).update(sequencer=version.sequencer)
        run.sequencer = version.sequencer
    return run


def run_for_listed(stored: StoredVersion) -> ImportRun | None:
    """A new queued run for an object that has none; None when its event came after all."""
    version = ObjectVersion(
        bucket=settings.IMPORT_BUCKET,
        key=stored.key,
        version_id="" if stored.version_id == NO_VERSION else stored.version_id,
        etag=stored.etag,
        size=stored.size,
        event_at=stored.last_modified,
    )
    with transaction.atomic():
        _lock_key(version.bucket, version.key)
        if runs_by_version([stored])[stored]:
            return None
        return _create(version, Trigger.RECONCILE)


def _create(version: ObjectVersion, trigger: Trigger) -> ImportRun:
    options: dict[str, Any] = {
        "version_id": version.version_id,
        "etag": version.etag,
        "sequencer": version.sequencer,
        "size": version.size,
        "event_at": version.event_at,
        "uploader": version.principal,
        "trigger": trigger,
        "conflict_policy": settings.IMPORT_ON_CONFLICT,
        "max_rejected_rows": settings.IMPORT_MAX_REJECTED_ROWS,
        "max_rejected_percent": settings.IMPORT_MAX_REJECTED_PERCENT,
    }
    run, _ = ImportRun.objects.get_or_create(
        bucket=version.bucket, key=version.key, delivery_id=version.delivery_id, defaults=options
    )
    return run


def _adopt(version: ObjectVersion) -> ImportRun | None:
    """The reconciler's run of this very upload, from now on known by its event; None if there is none.

    Needed without versions only, where the listing's time takes the place of the event's sequencer. Two
    uploads of one content differ in their time: the object must still be the one that was listed.
    """
    if version.version_id not in ("", NO_VERSION):
        return None
    run = ImportRun.objects.filter(
        bucket=version.bucket,
        key=version.key,
        etag=version.etag,
        trigger=Trigger.RECONCILE,
        sequencer="",
    ).first()
    if run is None or run.event_at is None:
        return None
    uploaded_at = storage.uploaded_at(version)
    if uploaded_at is None or abs(uploaded_at - run.event_at) > _CLOCK_TOLERANCE:
        return None
    ImportRun.objects.filter(pk=run.pk).update(delivery_id=version.delivery_id)
    run.delivery_id = version.delivery_id
    return run


def _lock_key(bucket: str, key: str) -> None:
    """Until the transaction ends nobody else creates a run for this key."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{bucket}/{key}"])


def is_out_of_date(run: ImportRun) -> bool:
    """Whether another upload of the same key is newer; runs that somebody asked for never are."""
    if run.delivery_id is None:
        return False
    others = (
        ImportRun.objects.filter(bucket=run.bucket, key=run.key, delivery_id__isnull=False)
        .exclude(pk=run.pk)
        .only("sequencer", "event_at")
    )
    return any(_is_newer(other, run) for other in others)


def _is_newer(one: ImportRun, other: ImportRun) -> bool:
    """By S3's rule for the sequencers of one key: the longer one's length, zeros on the right, compared as
    text. A run that the reconciler made has none; then the time tells, and when both came in the same
    moment, the reconciler's is the newer one: it was the key's latest when it was listed."""
    if one.sequencer and other.sequencer:
        width = max(len(one.sequencer), len(other.sequencer))
        return one.sequencer.upper().ljust(width, "0") > other.sequencer.upper().ljust(width, "0")
    if one.event_at is None or other.event_at is None:
        return False
    if abs(one.event_at - other.event_at) > _CLOCK_TOLERANCE:
        return one.event_at > other.event_at
    return not one.sequencer and (bool(other.sequencer) or one.pk > other.pk)
