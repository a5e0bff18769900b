"""Which runs belong to which stored object: what the cleaner and the reconciler both need to know."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings

from clients.models import ImportRun
from clients.storage import NO_VERSION, StoredVersion

# An object's time has whole seconds, its event's time milliseconds.
_CLOCK_TOLERANCE = timedelta(seconds=2)

# What there is to know of a run here; its JSON columns may be long, and pages have a thousand keys.
_NEEDED = (
    "key", "version_id", "etag", "event_at", "created_at", "state", "mode", "trigger", "delivery_id",
)  # fmt: skip


def runs_by_version(versions: Iterable[StoredVersion]) -> dict[StoredVersion, list[ImportRun]]:
    """The runs of each version, the newest first, by one query."""
    versions = [version for version in versions if not version.is_marker]
    runs = defaultdict(list)
    for run in (
        ImportRun.objects.filter(bucket=settings.IMPORT_BUCKET, key__in={v.key for v in versions})
        .only(*_NEEDED)
        .order_by("-id")
        .iterator()
    ):
        runs[run.key].append(run)
    return {version: [run for run in runs[version.key] if _is_of(run, version)] for version in versions}


def _is_of(run: ImportRun, version: StoredVersion) -> bool:
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
