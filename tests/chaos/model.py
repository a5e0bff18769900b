"""What an import does, written from the design and without the engine.

Several imports at once must leave what they would have left one after the other, in some order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.chaos.files import File, Problems


@dataclass(frozen=True)
class Client:
    """A row of `clients` and where it came from."""

    name: str
    company: str
    phone: str
    status: str
    created_by: int | None = None
    created_from_line: int | None = None
    changed_by: int | None = None

    @property
    def data(self) -> tuple[str, str, str, str]:
        return (self.name, self.company, self.phone, self.status)


# What a changed client was: name, company, phone, status, and who had changed it last.
Before = tuple[str, str, str, str, int | None]


@dataclass
class Outcome:
    """What one import leaves in the audit."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: dict[int, Problems] = field(default_factory=dict)  # by line
    before: dict[int, Before] = field(default_factory=dict)  # by line

    def counts(self) -> tuple[int, int, int, int]:
        return (self.inserted, self.updated, self.unchanged, len(self.rejected))


Clients = dict[str, Client]  # by email


def apply(clients: Clients, file: File, policy: str, run: int) -> tuple[Clients, Outcome]:
    """Import a file into the clients; both are new objects."""
    after, outcome, seen = dict(clients), Outcome(), set()
    for row in file.rows:
        if row.values is None:
            outcome.rejected[row.line] = row.problems
            continue
        name, email, company, phone, status = row.values
        if email in seen:
            outcome.rejected[row.line] = frozenset({("Email", "duplicate")})
            continue
        seen.add(email)
        known = clients.get(email)
        if known is None:
            after[email] = Client(name, company, phone, status, run, row.line, run)
            outcome.inserted += 1
            continue
        wanted = (name, company, phone or (known.phone if policy == "update" else ""), status)
        if wanted == known.data:
            outcome.unchanged += 1
        elif policy == "reject":
            outcome.rejected[row.line] = frozenset({("Email", "conflict")})
        else:
            after[email] = Client(*wanted, known.created_by, known.created_from_line, run)
            outcome.before[row.line] = (*known.data, known.changed_by)
            outcome.updated += 1
    return after, outcome


@dataclass(frozen=True)
class Observed:
    """An import as the database has it. Of imports of one key, `rank` tells which upload came first."""

    run: int
    key: str
    rank: int
    file: File
    policy: str
    counts: tuple[int, int, int, int]
    rejected: dict[int, Problems]
    before: dict[int, Before]

    def explained_by(self, outcome: Outcome) -> bool:
        return (self.counts, self.rejected, self.before) == (
            outcome.counts(),
            outcome.rejected,
            outcome.before,
        )


def serial_orders(start: Clients, end: Clients, runs: list[Observed]) -> Iterator[list[int]]:
    """Orders of the runs that explain everything: each one's audit, and the clients in the end."""
    if not runs:
        if start == end:
            yield []
        return
    for run in runs:
        others = [other for other in runs if other is not run]
        if any(other.key == run.key and other.rank < run.rank for other in others):
            continue
        after, outcome = apply(start, run.file, run.policy, run.run)
        if run.explained_by(outcome):
            for order in serial_orders(after, end, others):
                yield [run.run, *order]
