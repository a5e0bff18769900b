"""What an upload says of itself: who sent it, and how it is to be imported, as metadata of its object.

Anybody who may write to the bucket can say anything here: only known values are taken, and the uploader's
name is a label, not a proof.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

UPLOADER = "import-uploader"
MODE = "import-mode"
ON_CONFLICT = "import-on-conflict"
MAX_REJECTED_PERCENT = "import-max-rejected-percent"
OPTIONS = (MODE, ON_CONFLICT, MAX_REJECTED_PERCENT)
_MODES = ("import", "preview")
_POLICIES = ("reject", "update")


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
