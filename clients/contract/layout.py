"""Where a file keeps the columns of the contract, as its header says."""

from collections.abc import Sequence
from dataclasses import dataclass

from clients.contract.columns import COLUMNS, TITLES
from clients.contract.problems import visible


@dataclass(frozen=True, slots=True)
class Feed:
    """Where one column's cells come from: in each row, from the first of its candidates that isn't empty.

    A candidate is the position of one cell, or of several that are joined (First Name and Last Name).
    `default` stands in where all are empty, or the file has none; for new clients only.
    """

    candidates: tuple[tuple[int, ...], ...] = ()
    joiner: str = " "
    default: str = ""

    @property
    def position(self) -> int | None:
        """The position of the one cell that feeds the column; None where it isn't as simple as that."""
        if len(self.candidates) == 1 and len(self.candidates[0]) == 1:
            return self.candidates[0][0]
        return None

    def take(self, cells: Sequence[str]) -> str:
        """The column's cell of a row; empty where nothing feeds it."""
        for positions in self.candidates:
            parts = [cell for cell in (cells[position].strip() for position in positions) if cell]
            if parts:
                return cells[positions[0]] if len(positions) == 1 else self.joiner.join(parts)
        return ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file keeps its columns; `feeds` follows COLUMNS."""

    header: tuple[str, ...]
    feeds: tuple[Feed, ...]
    unknown: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Number of cells in a complete row."""
        return len(self.header)

    @property
    def is_plain(self) -> bool:
        """Whether each column is fed by one cell at most."""
        return all(feed.position is not None or not feed.candidates for feed in self.feeds)

    @property
    def positions(self) -> tuple[int | None, ...]:
        """Of a plain layout: the position of each column's cell, None where the file has no such column."""
        return tuple(feed.position for feed in self.feeds)

    @property
    def fed(self) -> tuple[int, ...]:
        """Indices into COLUMNS of those that something feeds."""
        return tuple(n for n, feed in enumerate(self.feeds) if feed != Feed())

    def pick(self, cells: Sequence[str]) -> list[str]:
        """A row's cells in the order of COLUMNS; empty for a column that the file doesn't have."""
        return [feed.take(cells) for feed in self.feeds]

    def is_header(self, cells: Sequence[str]) -> bool:
        """Whether a row is the header once more."""
        if len(cells) < len(self.header) or cells[0].strip() != self.header[0]:
            return False  # at once, as nearly always
        titles = tuple(visible(" ".join(cell.split())) for cell in cells)
        return titles[: len(self.header)] == self.header and not any(titles[len(self.header) :])

    @property
    def least(self) -> int:
        """Number of cells that a row needs at least: without optional ones at its end."""
        needed = [
            min(max(positions) for positions in feed.candidates)
            for column, feed in zip(COLUMNS, self.feeds, strict=True)
            if column.required and not feed.default and feed.candidates
        ]
        return max(needed, default=-1) + 1

    @property
    def email_position(self) -> int:
        """Where the email address stands first of all."""
        return self.feeds[_EMAIL].candidates[0][0]


_EMAIL = [column.field for column in COLUMNS].index("email")
DEFAULT_LAYOUT = Layout(TITLES, tuple(Feed(((n,),)) for n in range(len(COLUMNS))))
