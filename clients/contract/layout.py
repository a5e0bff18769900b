"""Where a file keeps the columns of the contract, as its header says."""

from collections.abc import Sequence
from dataclasses import dataclass

from clients.contract.columns import COLUMNS, TITLES, column_of
from clients.contract.problems import FileFault, visible


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
            raise FileFault("column-twice", column=column.title, first=first, second=title)
        else:
            found[column.field] = position
    missing = [c.title for c in COLUMNS if c.required and c.field not in found]
    if missing:
        raise _column_missing(missing, titles)
    return Layout(titles, tuple(found.get(column.field) for column in COLUMNS), tuple(unknown))


def _column_missing(missing: list[str], titles: tuple[str, ...]) -> FileFault:
    shown = ", ".join(f"“{title[:40]}”" for title in titles[:10]) or "nothing"
    more = f" and {len(titles) - 10} more" if len(titles) > 10 else ""
    which = f"column {missing[0]}" if len(missing) == 1 else f"columns {', '.join(missing)}"
    return FileFault("column-missing", missing=which, titles=f"{shown}{more}", expected=", ".join(TITLES))
