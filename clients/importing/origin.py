"""What a file says about itself: the options it was uploaded with, and the run whose rows it corrects.

Anybody who may write to the bucket can say anything here: only known values are taken, and the uploader's
name is a label, not a proof.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from clients.importing.columns import LINE_TITLE, PROBLEMS_TITLE

UPLOADER = "import-uploader"
MODE = "import-mode"
ON_CONFLICT = "import-on-conflict"
MAX_REJECTED_PERCENT = "import-max-rejected-percent"
OPTIONS = (MODE, ON_CONFLICT, MAX_REJECTED_PERCENT)
_MODES = ("import", "preview")
_POLICIES = ("reject", "update")

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


def error_file_name(key: str, run_id: int) -> str:
    """What the error file of a run is called, without its ending; says which run its rows are of."""
    stem = key.rsplit("/", 1)[-1].removesuffix(".gz").rsplit(".", 1)[0]
    return f"{_IN_NAME.sub('', stem).rstrip('-')[:100]}-rejected-rows-of-run-{run_id}"


def corrected_run(key: str, header: Sequence[str]) -> tuple[int | None, int | None]:
    """The run whose error file this is, told by its name; and where its line numbers of that run stand."""
    match = _IN_NAME.search(key.rsplit("/", 1)[-1])
    if match is None:
        return None, None
    return int(match[1]), _last(header, LINE_TITLE)


def own_columns(key: str, header: Sequence[str]) -> list[int]:
    """Positions of a file's columns without those that an error file adds."""
    if corrected_run(key, header)[0] is None:
        return list(range(len(header)))
    added = {_last(header, LINE_TITLE), _last(header, PROBLEMS_TITLE)}
    return [position for position in range(len(header)) if position not in added]


def _last(header: Sequence[str], title: str) -> int | None:
    return max((position for position, other in enumerate(header) if other == title), default=None)
