"""Files that the admin makes on request, whatever their size."""

from collections.abc import Callable, Iterable
from tempfile import SpooledTemporaryFile
from typing import IO

from django.conf import settings
from django.http import FileResponse, HttpResponseBase, HttpResponseRedirect

from clients import exports, storage
from clients.models import ImportRun

CSV = "text/csv; charset=utf-8"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_IN_MEMORY = 2 * 1024**2

KINDS: dict[str, tuple[str, Callable[[IO[bytes], Iterable[list[str]]], None]]] = {
    "csv": (CSV, exports.write_csv),
    "xlsx": (XLSX, exports.write_xlsx),
}


def rejected_rows(run: ImportRun, kind: str) -> HttpResponseBase:
    """The run's rejected rows as `csv` or `xlsx`; the name says which run they are of."""
    content_type, write = KINDS[kind]
    file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the response closes it
    write(file, _with_header(run))
    stem = run.file_name.removesuffix(".gz").rpartition(".")[0] or run.file_name
    return respond(file, f"{stem[:100]}-rejected-rows-of-run-{run.pk}.{kind}", content_type)


def _with_header(run: ImportRun) -> Iterable[list[str]]:
    yield exports.rejected_header(run)
    yield from exports.rejected_cells(run)


def respond(file: IO[bytes], name: str, content_type: str) -> HttpResponseBase:
    """The file as a download, by way of S3 where it is too large for an answer of ours."""
    size = file.seek(0, 2)
    file.seek(0)
    if settings.DOWNLOAD_MAX_BYTES and size > settings.DOWNLOAD_MAX_BYTES:
        with file:
            return HttpResponseRedirect(storage.hand_over(file, name, content_type))
    return FileResponse(file, as_attachment=True, filename=name, content_type=content_type)
