"""The columns of the contract as one table: what a file may bring, and what the clients table keeps."""

import re
from dataclasses import dataclass
from typing import NamedTuple


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
# What a client is known by, and what an import may change of it.
KEY = BY_FIELD["email"]
DATA = tuple(column for column in COLUMNS if column is not KEY)


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
