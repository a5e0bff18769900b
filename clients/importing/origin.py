"""What a file says about itself: the options it was uploaded with, and the run whose rows it corrects.

Anybody who may write to the bucket can say anything here: only known values are taken, and the uploader's
name is a label, not a proof.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from clients.importing.columns import LINE_TITLE

UPLOADER = "import-uploader"
MODE = "import-mode"
ON_CONFLICT = "import-on-conflict"
MAX_REJECTED_PERCENT = "import-max-rejected-percent"
OPTIONS = (MODE, ON_CONFLICT, MAX_REJECTED_PERCENT)
_MODES = ("import", "preview")
_POLICIES = ("reject", "update")

_IN_TITLE = re.compile(rf"{LINE_TITLE} of run ([0-9]{{1,18}})", re.IGNORECASE)
_IN_NAME = re.compile(r"rejected-rows-of-run-([0-9]{1,18})(?![0-9])", re.IGNORECASE)


def uploaded_by(name: str) -> dict[str, str]:
    """Who uploads, as the object's metadata, which holds ASCII only."""
    return {UPLOADER: quote(name)}


def options(metadata: Mapping[str, str]) -> dict[str, str | int]:
    """Fields of ImportRun: those that an object's metadata gives a known value."""
    found: dict[str, str | int] = {}
    if uploader := unquote(metadata.get(UPLOADER, "")).strip():
        found["uploader"] = "".join(c for c in uploader if c.isprintable())[:200]
    if metadata.get(MODE) in _MODES:
        found["mode"] = metadata[MODE]
    if metadata.get(ON_CONFLICT) in _POLICIES:
        found["conflict_policy"] = metadata[ON_CONFLICT]
    percent = metadata.get(MAX_REJECTED_PERCENT, "")
    if re.fullmatch(r"[0-9]{1,2}", percent):
        found["max_rejected_percent"] = int(percent)
    return found


def line_title(run_id: int) -> str:
    """The title of an error file's column of line numbers; names the run, whatever the file is called."""
    return f"{LINE_TITLE} of run {run_id}"


def corrected_run(key: str, header: Sequence[str]) -> tuple[int | None, int | None]:
    """The run whose error file this is, and the position of the cell with that run's line numbers.

    The column's title says it; a file whose columns were removed is known by its name, without lines.
    """
    for position, title in enumerate(header):
        if match := _IN_TITLE.fullmatch(title.strip()):
            return int(match[1]), position
    match = _IN_NAME.search(key.rsplit("/", 1)[-1])
    return (int(match[1]) if match else None), None
