"""Random CSV files whose every row is known beforehand: what it should become, or what is wrong with it."""

import gzip
import random
from dataclasses import dataclass, field

HEADER = ("Name", "Email", "Company", "Phone", "Status")
# (column, code) as the audit has them.
Problems = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Row:
    """`values`: name, email, company, phone, status as they are to be stored; empty for a rejected row."""

    line: int
    cells: tuple[str, ...]
    values: tuple[str, str, str, str, str] | None = None
    problems: Problems = frozenset()


@dataclass(frozen=True)
class File:
    body: bytes
    fault: str = ""  # code of the file fault
    rows: tuple[Row, ...] = field(default=())


def random_file(rng: random.Random) -> File:
    """Mostly good rows; now and then a file that can't be imported."""
    kind = rng.random()
    if kind < 0.04:
        return File(b"", "empty")
    if kind < 0.08:
        return File(b"Name,Company\nA,B\n", "column-missing")
    lines = [",".join(HEADER)]
    rows = []
    number = 2
    for _ in range(rng.choice((0, 1, 5, 40, 150, 400))):
        row, text = _random_row(rng, number)
        rows.append(row)
        lines.append(text)
        number += 1 + text.count("\n")
    body = ("\n".join(lines) + "\n").encode()
    if rng.random() < 0.3:
        body = gzip.compress(body, mtime=0)
        if rng.random() < 0.15:
            return File(body[:-9], "gzip-truncated")
    return File(body, rows=tuple(rows))


def _random_row(rng: random.Random, line: int) -> tuple[Row, str]:
    # Few emails: files overlap, and have duplicates of their own.
    email = f"client-{rng.randrange(400)}@example.com"
    name = rng.choice(("Ada", "Bob", "Zoë 😀", "O'Hara \\N"))
    company = rng.choice(("Acme", "Globex", "=Initech"))
    phone = rng.choice(("", "", "+1234567", "5550100"))
    status = rng.choice(("Active", "Inactive"))
    values = (name, email, company, phone, status)
    cells = [name, email, company, phone, status]
    problems: Problems = frozenset()
    match rng.randrange(40):
        case 0:
            cells[2], problems = "", frozenset({("Company", "missing")})
        case 1:
            cells[1], problems = "not an address", frozenset({("Email", "invalid-email")})
        case 2:
            cells[3], cells[4] = "12", "Dormant"
            problems = frozenset({("Phone", "invalid-phone"), ("Status", "invalid-status")})
        case 3:
            cells, problems = cells[:4], frozenset({("", "cell-count")})
        case 4:
            cells[0], problems = "x" * 101, frozenset({("Name", "too-long")})
        case 5:
            cells[0], problems = "A\x07da", frozenset({("Name", "control-character")})
        case 6:
            cells[1], cells[4] = email.upper(), status.upper()
        case 7:
            cells[0] = f"  {name} "
        case 8:
            cells[0], values = f"{name}\nJunior", (f"{name} Junior", *values[1:])
        case 9:
            cells[3], values = "+1 (555) 0100", (*values[:3], "+15550100", status)
    text = ",".join(f'"{cell}"' if "\n" in cell else cell for cell in cells)
    return Row(line, tuple(cells), None if problems else values, problems), text
