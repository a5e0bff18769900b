"""Error files: a run's rejected rows as a file to correct and upload again.

Its name says which run the rows are of; two columns more than the original file say where each row stood and
what is wrong with it. Both are ignored when the file comes back.
"""

import re
from collections.abc import Sequence

LINE_TITLE = "Line"
PROBLEMS_TITLE = "Problems"

_IN_NAME = re.compile(r"rejected-rows-of-run-([0-9]{1,18})(?![0-9])", re.IGNORECASE)


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
