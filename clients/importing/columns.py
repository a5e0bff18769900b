"""The CSV contract's columns as one table, and how a cell that looks like a formula is neutralised."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clients.importing.problems import FileFault, visible


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the contract. `max_length` is in characters, as in the clients table."""

    field: str
    title: str
    max_length: int
    required: bool
    aliases: tuple[str, ...] = ()


COLUMNS = (
    Column("name", "Name", 100, True, ("Client Name", "Full Name", "Client", "Contact Name")),
    Column("email", "Email", 100, True, ("E-mail", "Email Address", "E-mail Address", "Mail")),
    Column("company", "Company", 100, True, ("Company Name", "Organization", "Organisation")),
    Column("phone", "Phone", 15, False, ("Phone Number", "Telephone", "Tel", "Mobile")),
    Column("status", "Status", 50, True, ("Client Status",)),
)
BY_FIELD = {column.field: column for column in COLUMNS}
TITLES = tuple(column.title for column in COLUMNS)

# What an error file adds to the original columns; ignored when the mended file comes back.
LINE_TITLE = "Line"
PROBLEMS_TITLE = "Problems"


class ClientRow(NamedTuple):
    """A valid row in canonical form, ready for the clients table."""

    name: str
    email: str
    company: str
    phone: str
    status: str


_IGNORED_IN_TITLES = re.compile(r"[\s_\-\ufeff]+")


def normalise_title(title: str) -> str:
    """A header cell without what the contract ignores: case, spaces, `_` and `-`."""
    return _IGNORED_IN_TITLES.sub("", title).casefold()


_BY_TITLE = {
    normalise_title(title): column for column in COLUMNS for title in (column.title, *column.aliases)
}


def column_of(title: str) -> Column | None:
    """The column that a header cell names, or None for a column we don't know."""
    return _BY_TITLE.get(normalise_title(title))


# What spreadsheet programs take for a formula (OWASP, "CSV Injection"). Cells that already carry the
# apostrophe get one more, so that restoring is the exact inverse of neutralising.
_DANGEROUS = re.compile(r"'*[=+\-@\t\r]")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")


def neutralise(cell: str) -> str:
    """The cell for an export: no spreadsheet runs it as a formula."""
    return f"'{cell}" if _DANGEROUS.match(cell) else cell


def restore(cell: str) -> str:
    """The inverse of neutralise(), for cells that come back from an export."""
    return cell[1:] if cell.startswith("'") and _NEUTRALISED.match(cell) else cell


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file keeps its columns. `positions` follows COLUMNS; None where the file has no such column."""

    header: tuple[str, ...]
    positions: tuple[int | None, ...]
    unknown: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of cells in a complete row."""
        return len(self.header)

    def pick(self, cells: Sequence[str]) -> list[str]:
        """A row's cells in the order of COLUMNS; a column that the file doesn't have is empty."""
        if self.positions == _IN_ORDER:
            return list(cells[: len(_IN_ORDER)])
        return ["" if position is None else cells[position] for position in self.positions]

    @property
    def order(self) -> tuple[int, ...]:
        """Indices into COLUMNS of those that the file has, in the file's order."""
        known = ((position, n) for n, position in enumerate(self.positions) if position is not None)
        return tuple(n for _, n in sorted(known))

    @property
    def email_position(self) -> int:
        position = self.positions[1]
        assert position is not None, "a layout without an email column is a file fault"
        return position


LineTest = Callable[[bytes], object]
"""Tells whether a line of a file, its break included, is one row that needs no further look."""

_IN_ORDER = tuple(range(len(COLUMNS)))
DEFAULT_LAYOUT = Layout(TITLES, _IN_ORDER)


def layout_of(header: Sequence[str]) -> Layout:
    """Read a header line; raises FileFault naming a required column that is missing or one given twice."""
    titles = tuple(visible(" ".join(title.split())) for title in header)
    while titles and not titles[-1]:
        titles = titles[:-1]
    found: dict[str, int] = {}
    unknown = []
    for position, title in enumerate(titles):
        column = column_of(title)
        if column is None:
            unknown.append(title)
        elif column.field in found:
            first = titles[found[column.field]]
            raise FileFault(
                "column-twice",
                f"The column {column.title} is given twice, as “{first}” and as “{title}”. "
                "Remove or rename one of them and upload the file again.",
            )
        else:
            found[column.field] = position
    missing = [c.title for c in COLUMNS if c.required and c.field not in found]
    if missing:
        raise FileFault("column-missing", _missing_message(missing, titles))
    return Layout(titles, tuple(found.get(column.field) for column in COLUMNS), tuple(unknown))


def _missing_message(missing: list[str], titles: tuple[str, ...]) -> str:
    shown = ", ".join(f"“{title[:40]}”" for title in titles[:10]) or "nothing"
    more = f" and {len(titles) - 10} more" if len(titles) > 10 else ""
    which = f"column {missing[0]}" if len(missing) == 1 else f"columns {', '.join(missing)}"
    return (
        f"The required {which} can't be found. The first line has: {shown}{more}. "
        f"It should name the columns {', '.join(TITLES)} (in any order; Phone may be left out)."
    )
