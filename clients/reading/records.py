"""What one CSV record is, apart from any file: lines, quotes, and what to say of a quote gone astray."""

import csv
import re

from clients.contract.problems import FileFault

LINE_BREAK = re.compile(r"\r\n|\r|\n")


def first_record(lines: list[str], delimiter: str) -> list[str]:
    records = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    return next((cells for cells in records if "".join(cells).strip()), [])


def parse_record(record: str, delimiter: str) -> tuple[list[str], int | None]:
    """One record's cells, spaces after a closing quote allowed; or where the unreadable cell begins."""
    delimiter = re.escape(delimiter)
    cell = re.compile(
        rf' *+(?:"((?>(?:[^"]++|"")*))" *+|((?!")[^{delimiter}\r\n]*+))({delimiter}|\r\n|\r|\n|\Z)'
    )
    cells: list[str] = []
    position = 0
    while found := cell.match(record, position):
        quoted, plain, end = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        if end in ("", "\r\n", "\r", "\n"):
            return cells, None
        position = found.end()
    return cells, position


def line_of_cell_around(number: int, line: int, cells: list[str]) -> int:
    """The line on which the cell begins that goes on over line `number`, in a record from `line` on."""
    for cell in cells:
        end = line + len(LINE_BREAK.findall(cell))
        if end >= number:
            return line
        line = end
    return line


def is_unclosed(record: str, position: int) -> bool:
    """Whether the quote that opens a cell at `position` has no partner in the record."""
    return not re.match(r' *+"(?>(?:[^"]++|"")*)"', record[position:])


def unclosed_quote(line: int) -> FileFault:
    return FileFault("quote-not-closed", line=line)


def is_blank(cells: list[str]) -> bool:
    """Whether a record is a blank line: nothing in it but white space."""
    return len(cells) < 2 and not "".join(cells).strip()
