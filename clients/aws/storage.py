"""The only S3 code: the upload bucket, through django-storages, with one file fault for what is gone."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, Protocol, TypedDict

from botocore.exceptions import ClientError
from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone
from django.utils.http import content_disposition_header

from clients.contract.problems import FileFault
from clients.reading.source import ByteStream

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Unversioned buckets, and objects older than versioning, have this for a version.
NO_VERSION = "null"


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One upload of one key, as an S3 event or a listing names it. `size` in bytes."""

    bucket: str
    key: str
    version_id: str = ""
    etag: str = ""
    sequencer: str = ""
    size: int | None = None
    event_at: datetime | None = None
    principal: str = ""

    @property
    def delivery_id(self) -> str:
        """What tells this upload of the key from the next one, the same in every delivery of its event."""
        if self.version_id and self.version_id != NO_VERSION:
            return self.version_id
        when = self.sequencer or (self.event_at.isoformat() if self.event_at else "")
        return f"{self.etag}/{when}"


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of a key, or the marker that a deletion left, as a listing shows it. `size` in bytes."""

    key: str
    version_id: str
    etag: str
    size: int
    last_modified: datetime
    is_latest: bool
    is_marker: bool = False


@dataclass(frozen=True, slots=True)
class DeleteFailure:
    """An object that S3 refused to delete, with its error code."""

    key: str
    version_id: str
    code: str


class Body(ByteStream, Protocol):
    """What we need of an open object."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Download:
    """An open object. `body` raises when the connection ends before all of `size` bytes have come."""

    body: Body
    size: int
    etag: str
    version_id: str
    metadata: dict[str, str] = field(default_factory=dict)


def client() -> "S3Client":
    """The boto3 S3 client that django-storages has configured."""
    found: S3Client = default_storage.connection.meta.client  # type: ignore[attr-defined]
    return found


def open_version(version: ObjectVersion) -> Download:
    """Open exactly this version for streaming.

    Raises FileFault when it was deleted, or (in a bucket without versions) overwritten meanwhile.
    """
    try:
        answer = client().get_object(Bucket=version.bucket, Key=version.key, **_exact(version))
    except ClientError as error:
        raise _fault(error) or error from None
    return Download(
        answer["Body"],
        answer["ContentLength"],
        answer["ETag"].strip('"'),
        answer.get("VersionId", ""),
        answer["Metadata"],
    )


def _fault(error: ClientError) -> FileFault | None:
    match error.response.get("Error", {}).get("Code", ""):
        case "NoSuchKey" | "NoSuchVersion" | "404" | "MethodNotAllowed":
            return FileFault("object-gone")
        case "PreconditionFailed" | "412":
            return FileFault("object-replaced")
        case "InvalidObjectState":
            return FileFault("object-archived")
    return None


def exists(version: ObjectVersion) -> bool:
    """Whether this very version can still be read."""
    return uploaded_at(version) is not None


def _exact(version: ObjectVersion) -> "_Condition":
    """The condition under which S3 hands out this version and no other."""
    if version.version_id:
        return {"VersionId": version.version_id}
    return {"IfMatch": f'"{version.etag}"'} if version.etag else {}


class _Condition(TypedDict, total=False):
    """What a request for an object may insist on."""

    VersionId: str
    IfMatch: str


def _is_gone(error: ClientError) -> bool:
    return bool(_fault(error)) or error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 405, 412)


_PAGE = 1_000  # S3's limit for a listing's page and for one request to delete


def list_versions() -> Iterator[list[StoredVersion]]:
    """Everything under the upload prefix in pages of at most 1,000, by key, a key's newest version first.

    Buckets without versioning list each object as its version "null". Pages are fetched one ahead: the
    next one is asked for by the last object of the one before, which the caller may be about to delete.
    """
    before: list[StoredVersion] = []
    for page in (
        client()
        .get_paginator("list_object_versions")
        .paginate(
            Bucket=settings.IMPORT_BUCKET, Prefix=settings.IMPORT_PREFIX, PaginationConfig={"PageSize": _PAGE}
        )
    ):
        if before:
            yield before
        found = [_stored(entry) for entry in page.get("Versions", [])]
        found += [_stored(entry, is_marker=True) for entry in page.get("DeleteMarkers", [])]
        before = sorted(found, key=lambda version: version.key.encode())
    if before:
        yield before


def _stored(entry: Mapping[str, Any], *, is_marker: bool = False) -> StoredVersion:
    return StoredVersion(
        key=entry["Key"],
        version_id=entry["VersionId"],
        etag=entry.get("ETag", "").strip('"'),
        size=entry.get("Size", 0),
        last_modified=entry["LastModified"],
        is_latest=entry["IsLatest"],
        is_marker=is_marker,
    )


def keeps_versions() -> bool:
    """Whether the upload bucket is, or ever was, versioned."""
    return "Status" in client().get_bucket_versioning(Bucket=settings.IMPORT_BUCKET)


def delete_versions(versions: Sequence[StoredVersion], *, versioned: bool) -> list[DeleteFailure]:
    """Delete these for good; returns those that S3 kept. At most 1,000 a request.

    Without versions a key's object may have been replaced since it was listed: its ETag makes S3 refuse.
    """
    failures: list[DeleteFailure] = []
    for start in range(0, len(versions), _PAGE):
        answer = client().delete_objects(
            Bucket=settings.IMPORT_BUCKET,
            Delete={
                "Objects": [
                    {"Key": version.key, "VersionId": version.version_id}
                    if versioned
                    else {"Key": version.key, "ETag": version.etag}
                    for version in versions[start : start + _PAGE]
                ],
                "Quiet": True,
            },
        )
        failures += [
            DeleteFailure(error["Key"], error.get("VersionId", ""), error["Code"])
            for error in answer.get("Errors", [])
        ]
    return failures


def uploaded_at(version: ObjectVersion) -> datetime | None:
    """When this object was uploaded, in whole seconds; None when it is gone or was replaced."""
    try:
        answer = client().head_object(Bucket=version.bucket, Key=version.key, **_exact(version))
    except ClientError as error:
        if _is_gone(error):
            return None
        raise
    when: datetime = answer["LastModified"]
    return when


@dataclass(frozen=True, slots=True)
class UploadForm:
    """What an HTML form needs to send a file to S3 straight from the browser."""

    url: str
    fields: dict[str, str]
    expires_at: datetime


def upload_form(
    *, folder: str, metadata: dict[str, str], free_metadata: Iterable[str], redirect: str
) -> UploadForm:
    """A form for one file into `folder` of the upload prefix, signed; it lands at `redirect`.

    `metadata` is fixed by the signature, of `free_metadata` the form may send what it likes.
    Raises botocore's errors when the bucket can't be reached.
    """
    client().head_bucket(Bucket=settings.IMPORT_BUCKET)
    fixed = {
        "success_action_redirect": redirect,
        **{f"x-amz-meta-{name}": value for name, value in metadata.items()},
    }
    signed = client().generate_presigned_post(
        settings.IMPORT_BUCKET,
        f"{settings.IMPORT_PREFIX}{folder}/${{filename}}",  # boto3 adds the condition on its beginning
        Fields=fixed,
        Conditions=[
            *({name: value} for name, value in fixed.items()),
            *(["starts-with", f"$x-amz-meta-{name}", ""] for name in free_metadata),
            ["content-length-range", 0, settings.IMPORT_MAX_BYTES],
        ],
        ExpiresIn=settings.UPLOAD_FORM_SECONDS,
    )
    expires_at = timezone.now() + timedelta(seconds=settings.UPLOAD_FORM_SECONDS)
    return UploadForm(signed["url"], signed["fields"], expires_at)


def hand_over(file: IO[bytes], name: str, content_type: str) -> str:
    """Put a download where the browser fetches it by itself; returns a URL that is good for five minutes."""
    key = f"{settings.DOWNLOAD_PREFIX}{uuid.uuid4()}/{name}"
    disposition = content_disposition_header(True, name)
    client().upload_fileobj(
        file,
        settings.IMPORT_BUCKET,
        key,
        ExtraArgs={"ContentType": content_type, "ContentDisposition": disposition},
    )
    url: str = client().generate_presigned_url(
        "get_object", Params={"Bucket": settings.IMPORT_BUCKET, "Key": key}, ExpiresIn=300
    )
    return url


def is_upload(bucket: str, key: str) -> bool:
    """Whether an object lies where uploads lie. Folders, which some tools create as empty objects, don't."""
    return (
        bucket == settings.IMPORT_BUCKET
        and key.startswith(settings.IMPORT_PREFIX)
        and not key.endswith("/")
        and "\0" not in key  # PostgreSQL's text can't hold it, so no run could name it
    )
