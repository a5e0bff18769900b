"""A claimed run from its file to its end: read, validate and stage in turns, merge in one transaction."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.db import transaction

from clients.aws.storage import Download
from clients.contract.error_files import corrected_run
from clients.contract.problems import FileFault, Statement
from clients.importing import upload_options
from clients.importing.deliveries import is_out_of_date
from clients.importing.invocation import Invocation
from clients.importing.staging import Merged, Staging
from clients.importing.validation import ValidatedRows
from clients.models.import_run import ImportRun, Mode, Notification, State, Trigger
from clients.reading.reader import CsvReader
from clients.reading.source import Limits, too_large

logger = logging.getLogger(__name__)

_TURN_SECONDS = 1.0  # between signs of life: progress, lease, a look at the clock
_SAMPLE = 10  # clients of each kind that a preview shows

Source = Callable[[], AbstractContextManager[Download]]
Progress = Callable[[ImportRun], None]


def complete(run: ImportRun, source: Source, invocation: Invocation, progress: Progress) -> None:
    """Bring a claimed run to its end. Raises ImpossibleMove when it was taken over meanwhile."""
    if is_out_of_date(run):
        run.skip_as_out_of_date()
        logger.info("skipped as out of date", extra={"run": run.pk})
        return
    try:
        with source() as download:
            _describe_source(run, download)
            _import(run, download, invocation, progress)
    except FileFault as fault:
        run.reject(fault, notification=mail_wanted(run))
        logger.info("file rejected", extra={"run": run.pk, "fault": fault.code})


def _describe_source(run: ImportRun, download: Download) -> None:
    if download.size > settings.IMPORT_MAX_BYTES:
        raise too_large(settings.IMPORT_MAX_BYTES)
    run.keep_alive(
        size=download.size,
        etag=run.etag or download.etag,
        version_id=run.version_id or download.version_id,
        **_requested(run, download),
    )


def _requested(run: ImportRun, download: Download) -> dict[str, Any]:
    """The options that an upload carries; a run that somebody queued has its own."""
    if run.delivery_id is None:
        return {}
    options = upload_options.options(download.metadata)
    return {**options, "trigger": Trigger.UPLOAD_PAGE} if options else {}


def _import(run: ImportRun, download: Download, invocation: Invocation, progress: Progress) -> None:
    started = time.monotonic()
    reader = CsvReader(download.body, _limits())
    with Staging(run.pk, reader.layout) as staging:
        rows = ValidatedRows(reader, settings.IMPORT_STATUSES)
        _stage(run, staging, rows, invocation, progress)
        staged = time.monotonic()
        logger.info(
            "rows validated",
            extra={
                "run": run.pk,
                "valid": rows.valid,
                "rejected": rows.rejected,
                "seconds": round(staged - started, 3),
            },
        )
        timings = {"validate": round(staged - started, 3)}
        try:
            _merge(run, staging, rows, invocation, timings, keep=run.mode == Mode.IMPORT)
        except _TooManyRejected as refusal:
            _call_off(run, staging, rows, refusal, invocation)
    logger.info("finished", extra={"run": run.pk, "state": run.state, **_counts(run)})


def _stage(
    run: ImportRun,
    staging: Staging,
    rows: ValidatedRows,
    invocation: Invocation,
    progress: Progress,
) -> None:
    """Validate and stage in turns of about a second; between them others see how far we are."""
    blocks = rows.blocks()

    def one_turn() -> Iterator[bytes]:
        until = time.monotonic() + _TURN_SECONDS
        for block in blocks:
            yield block
            if time.monotonic() > until:
                return

    while not rows.exhausted:
        staging.copy(rows.copied, one_turn())
        invocation.check_time()
        if not rows.exhausted:
            run.keep_alive(read=rows.reader.rows, bytes_read=rows.reader.bytes_read)
            progress(run)


def _merge(
    run: ImportRun,
    staging: Staging,
    rows: ValidatedRows,
    invocation: Invocation,
    timings: dict[str, float],
    *,
    keep: bool,
) -> None:
    """The one transaction: clients, rejected rows, before-images, the run's end, and the mail to send."""
    started = time.monotonic()
    with transaction.atomic():
        # Locks the run's row first: from here on nobody can take the run over until we are done.
        run.keep_alive(read=rows.reader.rows, bytes_read=rows.reader.bytes_read)
        # For a preview too, whose counts would not add up if clients changed between its statements.
        staging.lock_clients(invocation.seconds_for_a_lock)
        if keep and is_out_of_date(run):
            run.skip_as_out_of_date()
            return
        merged = staging.merge(run.conflict_policy, rows.valid, keep=keep)
        rejected = rows.rejected + merged.rejected
        _check_share(run, rejected, rows.reader.rows)
        facts = {**_file_facts(run, rows), **_lineage(run, rows, staging)}
        if not keep:
            facts["sample"] = staging.sample(run.conflict_policy, _SAMPLE)
        timings["merge"] = round(time.monotonic() - started, 3)
        run.finish(
            State.PARTIAL if rejected else State.SUCCEEDED,
            read=rows.reader.rows,
            inserted=merged.inserted,
            updated=merged.updated,
            unchanged=merged.unchanged,
            rejected=rejected,
            problem_counts=_sum_problems(rows, merged),
            rests_on=list(merged.rests_on) if keep else [],
            timings=timings,
            notification=mail_wanted(run),
            **facts,
        )


def _lineage(run: ImportRun, rows: ValidatedRows, staging: Staging) -> dict[str, Any]:
    """Of an error file that came back mended: the run it belongs to, and how many of its rows are in now."""
    corrected, position = corrected_run(run.key, rows.reader.layout.header)
    if corrected is None:
        return {}
    if not ImportRun.objects.filter(pk=corrected, rejected__gt=0).exclude(pk=run.pk).exists():
        return {}
    fixed = None if position is None else staging.count_fixed(corrected, position)
    return {"corrects_id": corrected, "fixed": fixed}


def _call_off(
    run: ImportRun,
    staging: Staging,
    rows: ValidatedRows,
    refusal: "_TooManyRejected",
    invocation: Invocation,
) -> None:
    """Keep nothing, list every row: those at fault with their problems, the others as called off."""
    with transaction.atomic():
        run.keep_alive()
        staging.lock_clients(invocation.seconds_for_a_lock)
        merged = staging.merge(run.conflict_policy, rows.valid, keep=False)
        called_off = staging.call_off()
        run.call_off(
            refusal,
            read=rows.reader.rows,
            rejected=rows.reader.rows,
            problem_counts={**_sum_problems(rows, merged), **called_off},
            notification=mail_wanted(run),
            **_file_facts(run, rows),
        )


class _TooManyRejected(FileFault):
    """The import is to be called off by the run's own options."""


def _check_share(run: ImportRun, rejected: int, read: int) -> None:
    if run.max_rejected_rows and rejected > run.max_rejected_rows:
        allowed = f"{run.max_rejected_rows:,}"
    elif run.max_rejected_percent and rejected * 100 > run.max_rejected_percent * read:
        allowed = f"{run.max_rejected_percent} %"
    else:
        return
    raise _TooManyRejected("too-many-rejected", rejected=rejected, read=read, limit=allowed)


def _sum_problems(rows: ValidatedRows, merged: Merged) -> dict[str, int]:
    return {**rows.problem_counts, **merged.problem_counts}


def _file_facts(run: ImportRun, rows: ValidatedRows) -> dict[str, Any]:
    """What is known of a file once it was read to its end."""
    notices = list(rows.reader.notices)
    if not rows.reader.rows:
        notices.append(Statement.of("no-rows"))
    sha256 = rows.reader.sha256
    earlier = (
        ImportRun.objects.filter(sha256=sha256, mode=Mode.IMPORT, state__in=(State.SUCCEEDED, State.PARTIAL))
        .exclude(pk=run.pk)
        .first()
    )
    if earlier:
        notices.append(Statement.of("imported-before", run=earlier.pk))
    return {
        "sha256": sha256,
        "header": list(rows.reader.layout.header),
        "stored_notices": [notice.as_stored() for notice in notices],
        "bytes_read": rows.reader.bytes_read,
    }


def mail_wanted(run: ImportRun) -> Notification:
    """Imports are reported by mail; a preview's reader is looking at it already."""
    return Notification.PENDING if run.mode == Mode.IMPORT else Notification.NONE


def _counts(run: ImportRun) -> dict[str, int]:
    return {name: getattr(run, name) for name in ("read", "inserted", "updated", "unchanged", "rejected")}


def _limits() -> Limits:
    return Limits(
        bytes=settings.IMPORT_MAX_BYTES,
        decompressed_bytes=settings.IMPORT_MAX_DECOMPRESSED_BYTES,
        rows=settings.IMPORT_MAX_ROWS,
        cells_per_row=settings.IMPORT_MAX_CELLS_PER_ROW,
        row_characters=settings.IMPORT_MAX_ROW_CHARACTERS,
    )
