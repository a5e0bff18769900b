"""S3's events as object versions: what the worker imports, and what a dead letter is about."""

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from clients.aws.storage import ObjectVersion, is_upload

logger = logging.getLogger(__name__)


def uploaded_objects(event: Any) -> Iterator[ObjectVersion]:
    """The uploads that an S3 event tells of; what isn't one is logged and left."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        # s3:TestEvent when the notification is set up, or something that isn't for us.
        kind = event.get("Event") if isinstance(event, dict) else type(event).__name__
        logger.info("nothing to import in this event", extra={"kind": str(kind)[:60]})
        return
    for record in records:
        try:
            version = _object_version(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            logger.warning("unknown record", extra={"error": type(error).__name__})
            continue
        if version is None or not is_upload(version.bucket, version.key):
            logger.info("not an upload", extra={"event_name": str(record.get("eventName"))[:60]})
        else:
            yield version


def _object_version(record: dict[str, Any]) -> ObjectVersion | None:
    """The object of an S3 record; None unless it was created. Keys come URL-encoded, once."""
    if not str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated:"):
        return None
    s3, created = record["s3"], record["s3"]["object"]
    return ObjectVersion(
        bucket=s3["bucket"]["name"],
        key=unquote_plus(created["key"]),
        version_id=created.get("versionId") or "",
        etag=(created.get("eTag") or "").strip('"'),
        sequencer=created.get("sequencer") or "",
        size=created.get("size"),
        event_at=datetime.fromisoformat(record["eventTime"]),
        principal=str(record.get("userIdentity", {}).get("principalId", "")),
    )
