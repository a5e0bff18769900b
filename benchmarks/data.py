"""Client files as people have them, by profile: of any size, the same in every run of the same arguments."""

import csv
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from clients.contract.columns import TITLES

_COMPANIES = ("Acme", "Widget", "Globex", "Initech", "Umbrella", "Hooli", "Vehement", "Massive Dynamic")
_NAMES = ("Ada", "Grace", "Linus", "Guido", "Margaret", "Alan", "Barbara", "Zoë", "Łukasz", "José")
_ACCENTED = ("Zoë", "José", "Jörg", "Renée", "Søren", "Grâce", "Núria", "Jürgen", "Anaïs", "Ángel")
_BAD_CELLS = ((1, "not-an-address"), (2, ""), (3, "12"), (4, "Dormant"), (0, "x" * 120))
_SEPARATORS = str.maketrans("", "", " ()-")
_OTHERS = 20  # columns of a CRM's export that aren't ours


@dataclass(frozen=True, slots=True)
class Profile:
    """How a program writes its rows."""

    header: tuple[str, ...] = TITLES
    delimiter: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"


PROFILES = {
    "canonical": Profile(),
    "mixed": Profile(),
    "crm": Profile(),
    "crm-extra": Profile(("Id", *TITLES[:3], "Owner", *TITLES[3:], "Created", "Notes")),
    "excel": Profile(delimiter=";", encoding="cp1252", line_end="\r\n"),
    "mapped": Profile(
        (
            *("First Name", "Last Name", "E-mail Address", "Account Name", "Business Phone"),
            *(f"Field {number}" for number in range(1, _OTHERS + 1)),
        )
    ),
}


def rows(
    count: int, *, series: str = "a", changed: bool = False, profile: str = "canonical"
) -> Iterator[list[str]]:
    """Valid clients, their emails in no order: the five cells of our columns, as the profile's program has
    them.

    `series` keeps the emails of two files apart; `changed` gives the same emails other data.
    """
    dice = random.Random(count)
    suffix = " II" if changed else ""
    names = _ACCENTED if profile == "excel" else _NAMES
    for number in range(1, count + 1):
        scattered = dice.getrandbits(32)
        cells = [
            f"{names[scattered % 10]} {series}{number}{suffix}",
            f"{scattered:08x}.{series}{number}@example{scattered % 97}.com",
            f"{_COMPANIES[scattered % 8]} {scattered % 1000}",
            f"+1555{scattered % 10_000_000:07d}" if scattered % 7 else "",
            "Inactive" if scattered % 3 else "Active",
        ]
        if profile != "canonical" and scattered % 4 == 0:
            comma = f"{cells[2]}, Inc."
            cells[2] = comma if scattered % 8 else f'The "{cells[2]}" Company'
        if profile in ("crm", "crm-extra", "mapped"):
            _as_people_write(cells, scattered)
        yield cells


def _as_people_write(cells: list[str], scattered: int) -> None:
    """Phones with separators, capitals in half of the emails, stray spaces, statuses in any case."""
    if cells[3]:
        area, line = 200 + scattered % 700, scattered % 10_000
        cells[3] = f"({area}) 555-{line:04d}" if scattered % 5 else f"+44 20 7946 {line:04d}"
    if scattered % 2:
        cells[1] = cells[1].title()
    if scattered % 11 == 0:
        cells[scattered % 3] += " "
    cells[4] = (cells[4], cells[4].upper(), cells[4].lower())[scattered % 3]


def _in_file(cells: list[str], number: int, profile: str) -> list[str]:
    """The row with the columns that the program has besides ours."""
    if profile == "crm-extra":
        return [
            str(number),
            *cells[:3],
            "Pat Owner",
            *cells[3:],
            "2024-01-02 10:00",
            "called, will call back",
        ]
    if profile == "mapped":
        first, _, last = cells[0].strip().partition(" ")
        others = [f"value {number % (column + 7)}" for column in range(_OTHERS)]
        return [first, last, *cells[1:4], *others]
    return cells


def write_csv(
    path: Path, source: Iterable[list[str]], *, bad_every: int = 0, profile: str = "canonical"
) -> None:
    """A file to import. With `bad_every` n, each n-th row is made invalid, in several ways by turns."""
    how = PROFILES[profile]
    ways = cycle(_BAD_CELLS if "Status" in how.header else islice(_BAD_CELLS, 4))
    with path.open("w", newline="", encoding=how.encoding) as file:
        writer = csv.writer(file, delimiter=how.delimiter, lineterminator=how.line_end)
        writer.writerow(how.header)
        for number, cells in enumerate(source, 1):
            if bad_every and number % bad_every == 0:
                position, bad = next(ways)
                cells[position] = bad
            writer.writerow(_in_file(cells, number, profile))


def write_copy(path: Path, source: Iterator[list[str]], *, leave_out_every: int = 0) -> None:
    """The same clients in COPY's own text format, without those that `bad_every` makes invalid."""
    with path.open("w", encoding="utf-8") as file:
        for number, cells in enumerate(source, 1):
            if not leave_out_every or number % leave_out_every:
                file.write("\t".join(_canonical(cells)) + "\n")


def _canonical(cells: list[str]) -> list[str]:
    """The cells as an import stores them, for a table that takes nothing else."""
    name, email, company, phone, status = map(str.strip, cells)
    return [name, email.lower(), company, phone.translate(_SEPARATORS), status.capitalize()]
