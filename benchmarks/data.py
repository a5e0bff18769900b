"""Client files of any size, the same in every run of the same arguments."""

import csv
import random
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from clients.contract.columns import TITLES

_COMPANIES = ("Acme", "Widget", "Globex", "Initech", "Umbrella", "Hooli", "Vehement", "Massive Dynamic")
_NAMES = ("Ada", "Grace", "Linus", "Guido", "Margaret", "Alan", "Barbara", "Zoë", "Łukasz", "José")
_BAD_CELLS = ((1, "not-an-address"), (2, ""), (3, "12"), (4, "Dormant"), (0, "x" * 120))


def rows(count: int, *, series: str = "a", changed: bool = False) -> Iterator[list[str]]:
    """Valid rows in canonical form, their emails in no order. `series` keeps the emails of two files apart;
    `changed` gives the same emails other data."""
    dice = random.Random(count)
    suffix = " II" if changed else ""
    for number in range(1, count + 1):
        scattered = dice.getrandbits(32)
        yield [
            f"{_NAMES[scattered % 10]} {series}{number}{suffix}",
            f"{scattered:08x}.{series}{number}@example{scattered % 97}.com",
            f"{_COMPANIES[scattered % 8]} {scattered % 1000}",
            f"+1555{scattered % 10_000_000:07d}" if scattered % 7 else "",
            "Inactive" if scattered % 3 else "Active",
        ]


def write_csv(path: Path, source: Iterator[list[str]], *, bad_every: int = 0) -> None:
    """A file to import. With `bad_every` n, each n-th row is made invalid, in five ways by turns."""
    ways = cycle(_BAD_CELLS)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(TITLES)
        for number, cells in enumerate(source, 1):
            if bad_every and number % bad_every == 0:
                position, bad = next(ways)
                cells[position] = bad
            writer.writerow(cells)


def write_copy(path: Path, source: Iterator[list[str]], *, leave_out_every: int = 0) -> None:
    """The same rows as COPY's own text format, without those that `bad_every` makes invalid."""
    with path.open("w", encoding="utf-8") as file:
        for number, cells in enumerate(source, 1):
            if not leave_out_every or number % leave_out_every:
                file.write("\t".join(cells) + "\n")
