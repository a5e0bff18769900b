"""What the local AWS remembers from one start to the next: S3's object versions and SQS's messages.

Runs inside moto's process and reads moto's own objects. Every object version is a pair of files that never
change, so that several processes can share the folder. Tags and access lists are not kept.
"""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.utils import utcnow
from moto.s3.models import FakeDeleteMarker, FakeKey, s3_backends
from moto.sqs.models import Message, sqs_backends

_EVERY_SECONDS = 1.0
_UNVERSIONED = "null"


class Memory:
    """Objects and messages under `folder`: restore(), then keep_saving(), at the end save_all()."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "s3"
        self._messages = folder / "sqs"
        self._saved: set[str] = set()  # version ids that are on disk and were in S3
        self._lock = threading.Lock()

    def restore(self) -> None:
        """Bring everything back into the buckets and queues that exist; no event is sent again."""
        with self._lock:
            found = [json.loads(path.read_text()) for path in self._objects.glob("*.json")]
            for facts in sorted(found, key=lambda facts: str(facts["modified"])):
                self._restore_version(facts)
            for path in self._messages.glob("*/*.json"):
                _restore_message(path.parent.name, json.loads(path.read_text()))
                path.unlink(missing_ok=True)

    def keep_saving(self) -> None:
        """Save S3's changes about once a second from now on."""

        def loop() -> None:
            while True:
                time.sleep(_EVERY_SECONDS)
                # A bucket may change while we walk through it; the next turn sees it whole.
                with suppress(RuntimeError):
                    self._save_objects(settled=True)

        threading.Thread(target=loop, daemon=True).start()

    def save_all(self) -> None:
        """Save objects and messages, once nobody changes them any more."""
        self._save_objects(settled=False)
        for queue, message in _messages():
            folder = self._messages / queue
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{message.id}.json").write_text(
                json.dumps(
                    {
                        "id": message.id,
                        "body": message.body,
                        "attributes": message.message_attributes,
                        "received": message.approximate_receive_count,
                    }
                )
            )

    def _save_objects(self, *, settled: bool) -> None:
        """Write what is new, delete what is gone. `settled`: leave what may still be in the making."""
        with self._lock:
            present = set()
            for bucket, version in _versions():
                present.add(version.version_id)
                age = (utcnow() - version.last_modified).total_seconds()
                if version.version_id not in self._saved and not (settled and age < _EVERY_SECONDS):
                    self._save_version(bucket, version)
            for version_id in self._saved - present:
                (self._objects / f"{version_id}.json").unlink(missing_ok=True)
                (self._objects / version_id).unlink(missing_ok=True)
            self._saved &= present

    def _save_version(self, bucket: str, version: Any) -> None:
        self._objects.mkdir(parents=True, exist_ok=True)
        facts = {
            "bucket": bucket,
            "key": version.name,
            "version": version.version_id,
            "modified": version.last_modified.isoformat(),
            "deleted": isinstance(version, FakeDeleteMarker),
        }
        if isinstance(version, FakeKey):
            facts |= {"etag": version.etag.strip('"'), "metadata": dict(version.metadata.items())}
            with version.lock, (self._objects / version.version_id).open("wb") as file:
                version._value_buffer.seek(0)
                shutil.copyfileobj(version._value_buffer, file)
        # Last, and in one step: what has its facts is complete.
        new = self._objects / f"{version.version_id}.new"
        new.write_text(json.dumps(facts))
        new.replace(self._objects / f"{version.version_id}.json")
        self._saved.add(version.version_id)

    def _restore_version(self, facts: dict[str, Any]) -> None:
        bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.get(facts["bucket"])
        if bucket is None:
            return
        earlier = bucket.keys.getlist(facts["key"], [])
        version: Any
        if facts["deleted"]:
            if not earlier:
                return
            version = FakeDeleteMarker(key=earlier[-1])
            version._version_id = facts["version"]
        else:
            version = FakeKey(
                name=facts["key"],
                value=(self._objects / facts["version"]).read_bytes(),
                account_id=DEFAULT_ACCOUNT_ID,
                region_name=bucket.region_name,
                etag=facts["etag"],
                is_versioned=True,
                version_id=facts["version"],
                bucket_name=facts["bucket"],
            )
            version.set_metadata(facts["metadata"])
        version.last_modified = datetime.fromisoformat(facts["modified"])
        bucket.keys.setlist(facts["key"], [*earlier, version])
        self._saved.add(facts["version"])


def _versions() -> Iterator[tuple[str, Any]]:
    """Every object version and delete marker, with its bucket's name."""
    for bucket in list(s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets.values()):
        for name in list(bucket.keys):
            for version in list(bucket.keys.getlist(name, [])):
                if version.version_id != _UNVERSIONED:
                    yield bucket.name, version


def _messages() -> Iterator[tuple[str, Message]]:
    """Every message that was not deleted, those being processed included, with its queue's name."""
    for backend in sqs_backends[DEFAULT_ACCOUNT_ID].values():
        for queue in backend.queues.values():
            for message in queue._messages:
                yield queue.name, message


def _restore_message(queue_name: str, facts: dict[str, Any]) -> None:
    for backend in sqs_backends[DEFAULT_ACCOUNT_ID].values():
        if queue := backend.queues.get(queue_name):
            message = Message(facts["id"], facts["body"])
            message.message_attributes = facts["attributes"]
            message.approximate_receive_count = facts["received"]
            message.mark_sent()
            queue.add_message(message)
