"""Promise 22: only finished objects older than the limit go; the rest is reported."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import boto3
import psutil
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from clients.aws import storage
from clients.aws.storage import StoredVersion
from clients.models import ImportRun, RejectedRow
from clients.models.states import Mode, State
from clients.upkeep import cleanup
from workers import file_cleaner

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(hours=24)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def plain_bucket(aws_endpoint: str, settings: Settings) -> Iterator[str]:
    """An upload bucket that never kept versions."""
    settings.IMPORT_BUCKET = "bucket-without-versions"
    bucket = boto3.resource("s3").create_bucket(Bucket=settings.IMPORT_BUCKET)
    yield settings.IMPORT_BUCKET
    bucket.objects.delete()
    bucket.delete()


def put(bucket: str, name: str, body: bytes = b"x") -> dict[str, Any]:
    key = settings.IMPORT_PREFIX + name
    return dict(boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body))


def imported(bucket: str, name: str, answer: Mapping[str, Any], state: State, **fields: Any) -> ImportRun:
    """The run of an upload, in the state that it has come to."""
    return ImportRun.objects.create(
        bucket=bucket,
        key=settings.IMPORT_PREFIX + name,
        version_id=answer.get("VersionId", ""),
        etag=answer["ETag"].strip('"'),
        state=state,
        **{"event_at": timezone.now(), **fields},
    )


def names(bucket: str) -> list[str]:
    """Every version there is, without the prefix."""
    return sorted(
        version.key.removeprefix(settings.IMPORT_PREFIX)
        for page in storage.list_versions()
        for version in page
    )


def uploaded_at(name: str) -> datetime:
    return next(
        version.last_modified
        for page in storage.list_versions()
        for version in page
        if version.key == settings.IMPORT_PREFIX + name
    )


@pytest.mark.parametrize("versioned", [True, False])
def test_promise_22_a_file_stays_at_23_59_and_goes_at_24_01(
    versioned: bool, request: pytest.FixtureRequest
) -> None:
    bucket = request.getfixturevalue("bucket" if versioned else "plain_bucket")
    imported(bucket, "a.csv", put(bucket, "a.csv"), State.SUCCEEDED)
    uploaded = uploaded_at("a.csv")

    early = cleanup.clean_up(now=uploaded + DAY - MINUTE)
    assert names(bucket) == ["a.csv"]
    assert (early.deleted, early.kept) == (0, {cleanup.NEWER: 1})

    late = cleanup.clean_up(now=uploaded + DAY + MINUTE)
    assert names(bucket) == []
    assert (late.deleted, late.deleted_bytes, late.kept) == (1, 1, {})


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.SUCCEEDED, ""),
        (State.PARTIAL, ""),
        (State.REJECTED, ""),
        (State.SKIPPED, ""),
        (State.UNDONE, ""),
        (State.QUEUED, cleanup.IN_WORK),
        (State.RUNNING, cleanup.IN_WORK),
        (State.FAILED, cleanup.FAILED),
    ],
)
def test_promise_22_only_what_is_done_with_goes(
    state: State, reason: str, versioned: bool, request: pytest.FixtureRequest
) -> None:
    bucket = request.getfixturevalue("bucket" if versioned else "plain_bucket")
    imported(bucket, "a.csv", put(bucket, "a.csv"), state)

    report = cleanup.clean_up(now=timezone.now() + 2 * DAY)

    assert names(bucket) == ([] if not reason else ["a.csv"])
    assert report.kept == ({} if not reason else {reason: 1})
    assert report.kept_examples == ({} if not reason else {reason: ["client-data/uploads/a.csv"]})


def test_promise_22_a_file_that_was_only_previewed_was_never_imported(bucket: str) -> None:
    imported(bucket, "a.csv", put(bucket, "a.csv"), State.SUCCEEDED, mode=Mode.PREVIEW)
    put(bucket, "b.csv")

    report = cleanup.clean_up(now=timezone.now() + 2 * DAY)

    assert report.kept == {cleanup.NEVER_IMPORTED: 2}
    assert names(bucket) == ["a.csv", "b.csv"]


def test_promise_22_the_latest_import_of_a_version_decides(bucket: str) -> None:
    for name, states in {
        "failed-then-done.csv": (State.FAILED, State.SUCCEEDED),
        "done-then-failed.csv": (State.SUCCEEDED, State.FAILED),
        "done-and-again-in-work.csv": (State.SUCCEEDED, State.QUEUED),
    }.items():
        answer = put(bucket, name)
        for state in states:
            imported(bucket, name, answer, state)

    cleanup.clean_up(now=timezone.now() + 2 * DAY)

    assert names(bucket) == ["done-and-again-in-work.csv", "done-then-failed.csv"]


def test_promise_22_an_older_version_goes_and_the_newer_one_stays(bucket: str) -> None:
    imported(bucket, "a.csv", put(bucket, "a.csv", b"old"), State.SUCCEEDED)
    newer = put(bucket, "a.csv", b"new")

    report = cleanup.clean_up(now=timezone.now() + 2 * DAY)

    assert report.kept == {cleanup.NEVER_IMPORTED: 1}
    kept = boto3.client("s3").get_object(Bucket=bucket, Key="client-data/uploads/a.csv")
    assert kept["VersionId"] == newer["VersionId"]
    assert report.deleted == 1


def test_promise_22_the_same_content_uploaded_again_is_another_upload(plain_bucket: str) -> None:
    """Without versions both uploads look alike, but for the time."""
    answer = put(plain_bucket, "a.csv")
    imported(plain_bucket, "a.csv", answer, State.SUCCEEDED, event_at=timezone.now() - MINUTE)

    report = cleanup.clean_up(now=timezone.now() + 2 * DAY)

    assert report.kept == {cleanup.NEVER_IMPORTED: 1}
    assert names(plain_bucket) == ["a.csv"]


def test_promise_22_objects_elsewhere_in_the_bucket_and_folders_are_left_alone(bucket: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key="other/a.csv", Body=b"x")
    put(bucket, "folder/", b"")

    report = cleanup.clean_up(now=timezone.now() + 2 * DAY)

    assert (report.deleted, report.kept) == (0, {})
    assert names(bucket) == ["folder/"]


def test_a_delete_marker_goes_when_nothing_is_left_under_it(bucket: str) -> None:
    for name, state in {"done.csv": State.SUCCEEDED, "failed.csv": State.FAILED}.items():
        imported(bucket, name, put(bucket, name), state)
        boto3.client("s3").delete_object(Bucket=bucket, Key=settings.IMPORT_PREFIX + name)
    later = timezone.now() + 2 * DAY

    first = cleanup.clean_up(now=later)
    second = cleanup.clean_up(now=later)

    assert (first.deleted, first.deleted_markers, second.deleted_markers) == (1, 0, 1)
    # Without its marker the failed file would come back to life.
    assert second.kept == {cleanup.FAILED: 1, cleanup.MARKS_A_DELETION: 1}
    assert names(bucket) == ["failed.csv", "failed.csv"]


def test_a_key_whose_versions_stretch_over_pages_keeps_its_marker(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_PAGE", 1)
    imported(bucket, "a.csv", put(bucket, "a.csv"), State.FAILED)
    boto3.client("s3").delete_object(Bucket=bucket, Key=settings.IMPORT_PREFIX + "a.csv")

    report = cleanup.clean_up(now=timezone.now() + 2 * DAY)

    assert report.deleted_markers == 0
    assert names(bucket) == ["a.csv", "a.csv"]


def test_more_objects_than_a_page_go_with_one_query_a_page(
    bucket: str, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_PAGE", 10)
    answers = {f"{n:03}.csv": put(bucket, f"{n:03}.csv") for n in range(35)}
    for name, answer in answers.items():
        imported(bucket, name, answer, State.FAILED if name == "020.csv" else State.SUCCEEDED)

    with django_assert_num_queries(4 + 1):  # four pages, and the look for cells to purge
        report = cleanup.clean_up(now=timezone.now() + 2 * DAY)

    assert (report.deleted, names(bucket)) == (34, ["020.csv"])


def test_more_than_a_hundred_thousand_objects_go_in_one_cleaning_with_memory_for_a_few_pages(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing is made up (the local S3 takes minutes for it), the runs are real."""
    count, uploaded = 101_000, timezone.now()
    ImportRun.objects.create(bucket=bucket, version_id="v")
    same = [f.column for f in ImportRun._meta.concrete_fields if f.name not in ("id", "key", "state")]
    columns = ", ".join(f'"{column}"' for column in same)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO import_runs (key, state, {columns})"
            f" SELECT %s || n, CASE n %% 1000 WHEN 7 THEN 'failed' ELSE 'succeeded' END, {columns}"
            " FROM import_runs, generate_series(0, %s) n",
            [settings.IMPORT_PREFIX, count - 1],
        )

    def pages() -> Iterator[list[StoredVersion]]:
        for start in range(0, count, 1_000):
            yield [
                StoredVersion(f"{settings.IMPORT_PREFIX}{n}", "v", "e", 1, uploaded, is_latest=True)
                for n in range(start, start + 1_000)
            ]

    requests: list[int] = []

    def delete(versions: list[StoredVersion], *, versioned: bool) -> list[storage.DeleteFailure]:
        requests.append(len(versions))
        return []

    monkeypatch.setattr(storage, "list_versions", pages)
    monkeypatch.setattr(storage, "delete_versions", delete)
    before = psutil.Process().memory_info().rss
    report = cleanup.clean_up(now=uploaded + 2 * DAY)
    grown = psutil.Process().memory_info().rss - before

    assert (report.deleted, report.kept) == (count - 101, {cleanup.FAILED: 101})
    assert len(report.kept_examples[cleanup.FAILED]) == 10
    assert max(requests) <= 1_000
    assert grown < 50 * 1024**2


def test_an_object_that_s3_refuses_to_delete_is_reported(bucket: str) -> None:
    s3 = boto3.client("s3")
    locked = "bucket-with-locks"
    s3.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    kept = s3.put_object(
        Bucket=locked,
        Key="client-data/uploads/locked.csv",
        Body=b"x",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=timezone.now() + DAY,
    )
    gone = s3.put_object(Bucket=locked, Key="client-data/uploads/free.csv", Body=b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "IMPORT_BUCKET", locked)
        imported(locked, "locked.csv", kept, State.SUCCEEDED)
        imported(locked, "free.csv", gone, State.SUCCEEDED)
        report = cleanup.clean_up(now=timezone.now() + 2 * DAY)

        assert names(locked) == ["locked.csv"]
    assert (report.deleted, report.failures) == (1, 1)
    assert report.failure_examples[0]["code"] == "AccessDenied"
    assert report.failure_examples[0]["key"] == "client-data/uploads/locked.csv"


def test_cleaning_stops_when_the_time_runs_out_and_says_so(bucket: str) -> None:
    imported(bucket, "a.csv", put(bucket, "a.csv"), State.SUCCEEDED)

    report = cleanup.clean_up(now=timezone.now() + 2 * DAY, deadline=0.0)

    assert not report.complete
    assert names(bucket) == ["a.csv"]


def test_cells_of_rejected_rows_are_erased_after_their_time_and_the_audit_stays(
    bucket: str, settings: Settings
) -> None:
    settings.REJECTED_CELLS_KEEP_DAYS = 90
    now = timezone.now()
    old, young = (
        ImportRun.objects.create(
            key="k", state=State.PARTIAL, read=3, rejected=3, finished_at=now - timedelta(days=days)
        )
        for days in (91, 89)
    )
    for run in (old, young):
        for line in (2, 3, 4):
            RejectedRow.objects.create(
                run=run, line=line, cells=["Jane", "jane"], problems=[{"column": "Email", "code": "e"}]
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "_ROWS_PER_STATEMENT", 2)
        report = cleanup.clean_up(now=now)

    assert report.purged_rows == 3
    assert set(old.rejected_rows.values_list("line", "cells")) == {(2, None), (3, None), (4, None)}
    assert old.rejected_rows.first().problems == [{"column": "Email", "code": "e"}]  # type: ignore[union-attr]
    assert not young.rejected_rows.filter(cells=None).exists()
    old.refresh_from_db()
    assert old.cells_purged_at == now
    assert cleanup.clean_up(now=now).purged_rows == 0


def test_cells_are_kept_for_ever_when_the_setting_is_zero(bucket: str, settings: Settings) -> None:
    settings.REJECTED_CELLS_KEEP_DAYS = 0
    run = ImportRun.objects.create(
        key="k", state=State.PARTIAL, read=1, rejected=1, finished_at=timezone.now() - timedelta(days=9999)
    )
    RejectedRow.objects.create(run=run, line=2, cells=["Jane"], problems=[])

    assert cleanup.clean_up().purged_rows == 0


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 300_000


def test_the_worker_takes_a_scheduled_event_and_returns_the_report(bucket: str) -> None:
    put(bucket, "a.csv")

    report = file_cleaner.handler({"source": "aws.events", "detail-type": "Scheduled Event"}, Context())

    assert report["kept"] == {cleanup.NEWER: 1}
    assert report["complete"]
