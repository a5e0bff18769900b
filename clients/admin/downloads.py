"""Files that the admin makes on request, whatever their size."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO

from django.conf import settings
from django.http import FileResponse, HttpResponseBase, HttpResponseRedirect

from clients.aws import storage
from clients.contract.error_files import error_file_name
from clients.models import ImportRun
from clients.reporting import exports, spreadsheets

_IN_MEMORY = 2 * 1024**2

Writer = Callable[[IO[bytes], Iterable[Sequence[str]]], None]
KINDS: dict[str, tuple[str, Writer]] = {
    "csv": ("text/csv; charset=utf-8", spreadsheets.write_csv),
    "xlsx": (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        spreadsheets.write_xlsx,
    ),
}


def rejected_rows(run: ImportRun, kind: str) -> HttpResponseBase:
    """The run's rejected rows as a file whose name says which run they are of. Raises TooManyRows."""
    rows = chain([exports.rejected_header(run)], exports.rejected_cells(run))
    return table(rows, error_file_name(run.file_name, run.pk), kind)


def table(rows: Iterable[Sequence[str]], stem: str, kind: str) -> HttpResponseBase:
    """Rows as a download of one of the KINDS. Raises TooManyRows."""
    content_type, write = KINDS[kind]
    file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the response closes it
    write(file, rows)
    return respond(file, f"{stem}.{kind}", content_type)


def respond(file: IO[bytes], name: str, content_type: str) -> HttpResponseBase:
    """The file as a download, by way of S3 where it is too large for an answer of ours."""
    size = file.seek(0, 2)
    file.seek(0)
    if settings.DOWNLOAD_MAX_BYTES and size > settings.DOWNLOAD_MAX_BYTES:
        with file:
            return HttpResponseRedirect(storage.hand_over(file, name, content_type))
    return FileResponse(file, as_attachment=True, filename=name, content_type=content_type)
