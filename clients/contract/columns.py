"""The columns of the contract as one table: what a file may bring, and what the clients table keeps."""

from dataclasses import dataclass


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
