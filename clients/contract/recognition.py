"""Which line of a file is its header, and which of its columns feeds which of ours.

What is decided for the user is a notice. Sentences show titles only where they can't be data, and mails never
do.
"""

from collections.abc import Sequence
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from clients.contract.columns import BY_FIELD, COLUMNS, KEY, TITLES
from clients.contract.layout import DEFAULT_LAYOUT, Feed, Layout
from clients.contract.problems import FileFault, Statement, visible
from clients.contract.titles import (
    ALSO_LAST_NAMES,
    FIRST_NAMES,
    LAST_NAMES,
    column_of,
    is_own,
    rank_of,
    readings,
)

_ROWS_ABOVE = 20  # among so many rows the header is looked for
_KNOWN_ENOUGH = 2  # columns that a header line names
_SHOWN = 10  # titles in a sentence
_MOSTLY = 0.8  # of a column's cells, for their values to give it away


class Recognition(NamedTuple):
    """A file's layout, which of the sample's rows is its header (None: none is), and what to tell of it."""

    layout: Layout
    header: int | None
    notices: tuple[Statement, ...] = ()


class Recogniser:
    """Reads a file's first rows. With `partial` a file may bring only Email and the columns that it changes.

    `default_status` stands in for a missing Status.
    """

    def __init__(self, *, default_status: str = "", partial: bool = False) -> None:
        self._default_status = default_status
        self._partial = partial

    def likeness(self, sample: Sequence[Sequence[str]]) -> tuple[int, int]:
        """How much these rows look like clients: the delimiter that makes them look most so is the one."""
        return max(map(_known, sample[:_ROWS_ABOVE])), len(sample[0])

    def __call__(self, sample: Sequence[Sequence[str]]) -> Recognition:
        """Raises FileFault where the columns can't be told."""
        known = [_known(row) for row in sample[:_ROWS_ABOVE]]
        most = max(known)
        if most < _KNOWN_ENOUGH:
            if _is_client(sample[0]):
                return Recognition(
                    DEFAULT_LAYOUT, None, (Statement.of("no-header", titles=", ".join(TITLES)),)
                )
            if most == 0 or any(map(_may_be_data, sample[0])):
                raise _no_header(sample)
        header = known.index(most)
        return self._read(sample[header], sample[header + 1 :], header)

    def _read(self, header: Sequence[str], rows: Sequence[Sequence[str]], index: int) -> Recognition:
        titles = tuple(visible(" ".join(title.replace("\ufeff", "").split())) for title in header)
        while titles and not titles[-1]:
            titles = titles[:-1]
        found = _candidates(titles)
        if KEY.field not in found and (position := _emails(titles, rows, found)) is not None:
            found[KEY.field] = [(position,)]
        feeds = tuple(
            Feed(
                tuple(found.get(column.field, ())),
                default=self._default_status if column.field == "status" else "",
            )
            for column in COLUMNS
        )
        missing = [
            column.title
            for column, feed in zip(COLUMNS, feeds, strict=True)
            if column.required and feed == Feed() and (column is KEY or not self._partial)
        ]
        if missing:
            raise _missing(missing, titles)
        used = {n for feed in feeds for candidate in feed.candidates for n in candidate}
        unknown = tuple(title for n, title in enumerate(titles) if n not in used)
        layout = Layout(titles, feeds, unknown)
        return Recognition(layout, index, tuple(_notices(layout)))


def _known(row: Sequence[str]) -> int:
    """How many of our columns a row names; none when it holds an address."""
    if any("@" in cell for cell in row):
        return 0
    return len({column.field for column in map(column_of, row) if column})


def _candidates(titles: Sequence[str]) -> dict[str, list[tuple[int, ...]]]:
    """The columns that feed each of ours, by rank; raises FileFault where two have the same one."""
    by_field: dict[str, dict[int, int]] = {}
    first = _position(titles, FIRST_NAMES)
    last = _position(titles, LAST_NAMES)
    if first is not None and last is None:
        last = _position(titles, ALSO_LAST_NAMES)
    for position, title in enumerate(titles):
        ranked = rank_of(title)
        if ranked is None or (ranked[0] == "name" and first is not None and position == last):
            continue
        field, rank = ranked
        taken = by_field.setdefault(field, {})
        if rank in taken:
            raise FileFault(
                "column-twice",
                column=BY_FIELD[field].title,
                first=titles[taken[rank]][:40],
                second=title[:40],
            )
        taken[rank] = position
    found: dict[str, list[tuple[int, ...]]] = {
        field: [(taken[rank],) for rank in sorted(taken)] for field, taken in by_field.items()
    }
    if first is not None or last is not None:
        joined = tuple(position for position in (first, last) if position is not None)
        found.setdefault("name", []).append(joined)
    return found


def _position(titles: Sequence[str], names: frozenset[str]) -> int | None:
    """The first title that is one of these; titles of whole names count only without one of those."""
    for position, title in enumerate(titles):
        if any(reading in names for reading in readings(title)):
            return position
    return None


def _emails(
    titles: Sequence[str], rows: Sequence[Sequence[str]], found: dict[str, list[tuple[int, ...]]]
) -> int | None:
    """The one column whose cells are addresses, whatever its title."""
    used = {n for candidates in found.values() for candidate in candidates for n in candidate}
    likely = []
    for position in range(len(titles)):
        cells = [row[position] for row in rows if len(row) > position and row[position].strip()]
        if position not in used and cells and sum(map(_is_email, cells)) >= _MOSTLY * len(cells):
            likely.append(position)
    return likely[0] if len(likely) == 1 else None


def _notices(layout: Layout) -> list[Statement]:
    """What was decided: columns read from other titles, several candidates, defaults, what is ignored."""
    notices = []
    for column, feed in zip(COLUMNS, layout.feeds, strict=True):
        titles = [
            " + ".join(f"“{layout.header[n][:40]}”" for n in candidate) for candidate in feed.candidates
        ]
        if not titles:
            if feed.default:
                notices.append(Statement.of("column-defaulted", column=column.title, default=feed.default))
            continue
        own = [n for n in feed.candidates[0] if is_own(layout.header[n], column)]
        if len(titles) > 1:
            others = ", then ".join(titles[1:])
            notices.append(Statement.of("column-chosen", column=column.title, title=titles[0], others=others))
        elif not own:
            notices.append(Statement.of("column-read-from", column=column.title, title=titles[0]))
    if layout.unknown:
        names = [f"“{title[:40]}”" if title else "one without a name" for title in layout.unknown]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        notices.append(
            Statement.of("columns-ignored", titles=f"{', '.join(names[:_SHOWN])}{more}", count=len(names))
        )
    return notices


def _missing(missing: list[str], titles: tuple[str, ...]) -> FileFault:
    if len(titles) == 1 and any(_known(titles[0].split(delimiter)) >= _KNOWN_ENOUGH for delimiter in ",;\t|"):
        return FileFault("lines-quoted")
    which = f"column {missing[0]}" if len(missing) == 1 else f"columns {', '.join(missing)}"
    if any(map(_may_be_data, titles)):
        return FileFault("column-missing-unshown", missing=which, expected=", ".join(TITLES))
    shown = ", ".join(f"“{title[:40]}”" for title in titles[:30]) or "nothing"
    more = f" and {len(titles) - 30} more" if len(titles) > 30 else ""
    return FileFault("column-missing", missing=which, titles=f"{shown}{more}", expected=", ".join(TITLES))


def _no_header(sample: Sequence[Sequence[str]]) -> FileFault:
    if len(sample[0]) == 1 and any(_known(sample[0][0].split(d)) >= _KNOWN_ENOUGH for d in ",;\t|"):
        return FileFault("lines-quoted")
    if any("\\" in cell for cell in sample[0]):
        return FileFault("backslash-escapes", expected=", ".join(TITLES))
    code = "header-missing" if any(map(_may_be_data, sample[0])) else "columns-unknown"
    return FileFault(code, expected=", ".join(TITLES))


def _may_be_data(title: str) -> bool:
    """Whether a title might be somebody's cell: an address, a number, or words that no title of ours has."""
    return "@" in title or sum(map(str.isdigit, title)) > 2 or len(title) > 60


def _is_client(cells: Sequence[str]) -> bool:
    """Whether a first line is a client rather than a header: five cells, the second an email address."""
    return len(cells) == len(COLUMNS) and _is_email(cells[1])


def _is_email(cell: str) -> bool:
    try:
        validate_email(cell.strip())
    except ValidationError:
        return False
    return True
