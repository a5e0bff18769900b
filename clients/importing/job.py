"""A claimed run from its file to its end: read, validate and stage in turns, merge in one transaction."""

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.db import transaction

from clients.aws.storage import Download
from clients.contract.error_files import corrected_run
from clients.contract.problems import FileFault, ProblemKind, Statement
from clients.contract.recognition import Recogniser
from clients.contract.rules import Rules
from clients.contract.status_words import status_words
from clients.contract.updates import UpdatePlan
from clients.importing import upload_options
from clients.importing.deliveries import is_out_of_date
from clients.importing.invocation import Invocation
from clients.importing.staging import Merged, Staging
from clients.importing.validation import ValidatedRows
from clients.models.import_run import ImportRun
from clients.models.states import ConflictPolicy, Mode, Notification, State, Trigger
from clients.reading.reader import CsvReader
from clients.reading.source import Limits, too_large

logger = logging.getLogger(__name__)

_TURN_SECONDS = 1.0  # between signs of life: progress, lease, a look at the clock
_SAMPLE = 10  # clients of each kind that a preview shows

Source = Callable[[], AbstractContextManager[Download]]
Progress = Callable[[ImportRun], None]


class ImportJob:
    """One attempt at one claimed run."""

    def __init__(self, run: ImportRun, source: Source, invocation: Invocation, progress: Progress) -> None:
        self.run = run
        self._source = source
        self._invocation = invocation
        self._progress = progress
        self._timings: dict[str, float] = {}

    @property
    def _keep(self) -> bool:
        """Whether the clients are written; a preview only counts them."""
        return self.run.mode == Mode.IMPORT

    def complete(self) -> None:
        """Bring the run to its end. Raises ImpossibleMove when another worker took it over meanwhile."""
        if is_out_of_date(self.run):
            self._skip()
            return
        try:
            with self._source() as download:
                self._note_source(download)
                self._import(download)
        except FileFault as fault:
            self.run.reject(fault, notification=mail_wanted(self.run))
            logger.info("file rejected", extra={"run": self.run.pk, "fault": fault.code})

    def _skip(self) -> None:
        self.run.skip_as_out_of_date()
        logger.info("skipped as out of date", extra={"run": self.run.pk})

    def _note_source(self, download: Download) -> None:
        """What the object says of itself; a run that somebody queued has its own options."""
        options: dict[str, Any] = {}
        if self.run.delivery_id is not None:
            options = upload_options.options(download.metadata)
        if options:
            options["trigger"] = Trigger.UPLOAD_PAGE
        self.run.keep_alive(
            size=download.size,
            etag=self.run.etag or download.etag,
            version_id=self.run.version_id or download.version_id,
            **options,
        )
        if download.size > settings.IMPORT_MAX_BYTES:
            raise too_large(settings.IMPORT_MAX_BYTES)

    def _import(self, download: Download) -> None:
        reader = CsvReader(download.body, _limits(), _recogniser(self.run))
        with Staging(self.run.pk, reader.layout, reader.delimiter, UpdatePlan()) as staging:
            rows = ValidatedRows(reader, _rules())
            with self._timed("validate"):
                self._stage(staging, rows)
            logger.info(
                "rows validated",
                extra={"run": self.run.pk, "valid": rows.valid, "rejected": rows.rejected, **self._timings},
            )
            try:
                self._merge(staging, rows)
            except _TooManyRejected as refusal:
                self._call_off(staging, rows, refusal)
        logger.info("finished", extra={"run": self.run.pk, "state": self.run.state, **self.run.counts})

    def _stage(self, staging: Staging, rows: ValidatedRows) -> None:
        """Validate and stage in turns of about a second; between them others see how far we are."""
        blocks = rows.blocks()
        # Rows are a great many lists and no cycles: looking for some took a tenth of the time and more.
        thresholds = gc.get_threshold()
        gc.set_threshold(100_000, *thresholds[1:])

        def one_turn() -> Iterator[bytes]:
            until = time.monotonic() + _TURN_SECONDS
            for block in blocks:
                yield block
                if time.monotonic() > until:
                    return

        try:
            while not rows.exhausted:
                staging.copy(rows.copied, one_turn())
                self._invocation.check_time()
                if not rows.exhausted:
                    self.run.keep_alive(read=rows.read, bytes_read=rows.reader.bytes_read)
                    self._progress(self.run)
        finally:
            gc.set_threshold(*thresholds)

    def _merge(self, staging: Staging, rows: ValidatedRows) -> None:
        """The one transaction: clients, rejected rows, before-images, the run's end, and the mail to send."""
        run = self.run
        with transaction.atomic():
            # Locks the run's row first: from here on nobody can take the run over until we are done.
            run.keep_alive(read=rows.read, bytes_read=rows.reader.bytes_read)
            # For a preview too, whose counts would not add up if clients changed between its statements.
            staging.lock_clients(self._invocation.seconds_for_a_lock)
            if self._keep and is_out_of_date(run):
                self._skip()
                return
            with self._timed("merge"):
                merged = staging.merge(run.conflict_policy, rows.valid, keep=self._keep)
                rejected = rows.rejected + merged.rejected
                _check_share(run, rejected, rows.read)
                facts = {**self._file_facts(rows), **self._lineage(staging, rows)}
                if not self._keep:
                    facts["sample"] = staging.sample(run.conflict_policy, _SAMPLE)
            run.finish(
                State.PARTIAL if rejected else State.SUCCEEDED,
                read=rows.read,
                inserted=merged.inserted,
                updated=merged.updated,
                unchanged=merged.unchanged,
                rejected=rejected,
                problem_counts=_by_key(rows.problem_counts, merged.rejections),
                rests_on=list(merged.rests_on) if self._keep else [],
                timings=self._timings,
                notification=mail_wanted(run),
                **facts,
            )

    def _call_off(self, staging: Staging, rows: ValidatedRows, refusal: "_TooManyRejected") -> None:
        """Keep nothing, list every row: those at fault with their problems, the others as called off."""
        with transaction.atomic():
            self.run.keep_alive()
            staging.lock_clients(self._invocation.seconds_for_a_lock)
            merged: Merged = staging.merge(self.run.conflict_policy, rows.valid, keep=False)
            called_off = staging.call_off()
            self.run.call_off(
                refusal,
                read=rows.read,
                rejected=rows.read,
                problem_counts=_by_key(rows.problem_counts, merged.rejections, called_off),
                notification=mail_wanted(self.run),
                **self._file_facts(rows),
            )

    def _lineage(self, staging: Staging, rows: ValidatedRows) -> dict[str, Any]:
        """Of a corrected error file: the run it belongs to, and how many of its rows are in now."""
        corrected, position = corrected_run(self.run.key, rows.reader.layout.header)
        if corrected is None:
            return {}
        if not ImportRun.objects.filter(pk=corrected, rejected__gt=0).exclude(pk=self.run.pk).exists():
            return {}
        fixed = None if position is None else staging.count_fixed(corrected, position)
        return {"corrects_id": corrected, "fixed": fixed}

    def _file_facts(self, rows: ValidatedRows) -> dict[str, Any]:
        """What is known of a file once it was read to its end."""
        notices = [*rows.reader.notices, *rows.notices]
        if not rows.read:
            notices.append(Statement.of("no-rows"))
        sha256 = rows.reader.sha256
        imports = ImportRun.objects.filter(mode=Mode.IMPORT, state__in=(State.SUCCEEDED, State.PARTIAL))
        earlier = imports.filter(sha256=sha256).exclude(pk=self.run.pk).first()
        if earlier:
            notices.append(Statement.of("imported-before", run=earlier.pk))
        return {
            "sha256": sha256,
            "header": list(rows.reader.layout.header),
            "stored_notices": [notice.as_stored() for notice in notices],
            "bytes_read": rows.reader.bytes_read,
        }

    def _timed(self, step: str) -> "_Timed":
        return _Timed(self._timings, step)


class _Timed:
    """Notes how many seconds its block took."""

    def __init__(self, timings: dict[str, float], step: str) -> None:
        self._timings, self._step = timings, step

    def __enter__(self) -> None:
        self._started = time.monotonic()

    def __exit__(self, *error: object) -> None:
        self._timings[self._step] = round(time.monotonic() - self._started, 3)


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


def _by_key(*counts: dict[ProblemKind, int]) -> dict[str, int]:
    """Problem counts as the run keeps them; each kind is counted in one place only."""
    return {kind.key: rows for counted in counts for kind, rows in counted.items()}


def mail_wanted(run: ImportRun) -> Notification:
    """Imports are reported by mail; a preview's reader is looking at it already."""
    return Notification.PENDING if run.mode == Mode.IMPORT else Notification.NONE


def _rules() -> Rules:
    return Rules(settings.IMPORT_STATUSES, status_words(settings.IMPORT_STATUSES))


def _recogniser(run: ImportRun) -> Recogniser:
    return Recogniser(
        default_status=settings.IMPORT_DEFAULT_STATUS, partial=run.conflict_policy == ConflictPolicy.UPDATE
    )


def _limits() -> Limits:
    return Limits(
        bytes=settings.IMPORT_MAX_BYTES,
        decompressed_bytes=settings.IMPORT_MAX_DECOMPRESSED_BYTES,
        rows=settings.IMPORT_MAX_ROWS,
        cells_per_row=settings.IMPORT_MAX_CELLS_PER_ROW,
        row_characters=settings.IMPORT_MAX_ROW_CHARACTERS,
    )
