"""Cells that a spreadsheet program would run as formulas, made safe for an export and restored on import."""

import re

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
