"""One raw row → a ClientRow or its problems. The admin's form, the command and the worker share these rules.

Messages never repeat a cell: they travel in mails and logs, which hold no personal data.
"""

import re
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from clients.importing.columns import BY_FIELD, COLUMNS, ClientRow, Column, Layout, restore
from clients.importing.problems import MalformedRow, Problem

# C0 and C1 controls that are no white space, and the bidirectional embeddings, overrides and isolates.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
_PHONE_SEPARATORS = str.maketrans("", "", " ().-")
_PHONE = re.compile(r"\+?[0-9]+")
_PHONE_MIN = 5

# Canonical forms. Every character class leaves out what the full rules would look at twice (white space,
# controls, overrides, backslash, the apostrophe of a neutralised formula), so a match proves that the cell
# is what it should be, and no match proves nothing: the full rules decide then. Lengths are seen to apart.
_WORD = r"[^\x00-\x20\\\x7f-\xa0\u1680\u2000-\u202f\u205f-\u206f\u3000]++"
_TEXT = rf"(?!['=+@-]){_WORD}(?: {_WORD})*+"
_ATOM = r"[-!#$%&*+/=?^_`{}|~0-9a-z]++"
_EMAIL = rf"(?![=+-]){_ATOM}(?:\.{_ATOM})*+@(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.)+[a-z]{{2,63}}"
_CANONICAL_PHONE = r"(?:\+[0-9]{4,14}|[0-9]{5,15})?"


class Rules:
    """The rules for one list of statuses. What is asked a million times is made ready once."""

    def __init__(self, statuses: tuple[str, ...]) -> None:
        self._statuses = {status.casefold(): status for status in statuses}
        self._invalid_status = Problem(
            BY_FIELD["status"].title, "invalid-status", f"Status must be one of: {', '.join(statuses)}."
        )
        status = f"(?:{'|'.join(map(re.escape, statuses))})"
        patterns = {"email": _EMAIL, "phone": _CANONICAL_PHONE, "status": status}
        forms = [patterns.get(column.field, _TEXT) for column in COLUMNS]
        #: Matches a row in canonical form, its cells joined by tabs and none longer than allowed.
        self.fast_lane = re.compile("\t".join(forms)).fullmatch
        # The same cells one by one: a group is None where its cell isn't in canonical form.
        self._canonical_cells = re.compile(
            "\t".join(rf"(?:({form})(?=\t|\Z)|[^\t]*+)" for form in forms)
        ).fullmatch

    def clean_cell(self, column: Column, cell: str) -> tuple[str, Problem | None]:
        """One cell in canonical form and what is wrong with it, if anything."""
        if _FORBIDDEN.search(cell):
            return cell, _CONTROL_CHARACTER[column.field]
        text = " ".join(restore(cell.strip()).split())
        if not text:
            return text, _MISSING[column.field] if column.required else None
        match column.field:
            case "email":
                return _clean_email(column, text)
            case "phone":
                return _clean_phone(column, text)
            case "status":
                return self._clean_status(text)
        return text, _too_long(column, text)

    def clean_row(self, cells: Sequence[str], layout: Layout) -> ClientRow | list[Problem]:
        """A whole row in canonical form, or every problem that it has."""
        if isinstance(cells, MalformedRow):
            return [Problem("", "quote", cells.message)]
        if len(cells) != len(layout.header) and (problem := _wrong_number_of_cells(cells, layout)):
            return [problem]
        picked = ["" if position is None else cells[position] for position in layout.positions]
        found = self._canonical_cells("\t".join(picked))
        canonical = found.groups() if found else _NONE_CANONICAL
        problems = []
        for index, text in enumerate(canonical):
            if text is None or len(text) > _MAX_LENGTHS[index]:
                picked[index], problem = self.clean_cell(COLUMNS[index], picked[index])
                if problem:
                    problems.append(problem)
        return problems or ClientRow(*picked)

    def _clean_status(self, text: str) -> tuple[str, Problem | None]:
        status = self._statuses.get(text.casefold())
        return (text, self._invalid_status) if status is None else (status, None)


_MAX_LENGTHS = [column.max_length for column in COLUMNS]
_NONE_CANONICAL = (None,) * len(COLUMNS)
_CONTROL_CHARACTER = {
    column.field: Problem(
        column.title,
        "control-character",
        f"{column.title} contains a control character that can't be seen. "
        "Type the cell anew and upload the row again.",
    )
    for column in COLUMNS
}
_MISSING = {
    column.field: Problem(column.title, "missing", f"{column.title} is empty. Fill it in.")
    for column in COLUMNS
}


def _wrong_number_of_cells(cells: Sequence[str], layout: Layout) -> Problem | None:
    """Extra cells are forgiven when they are empty (spreadsheets write them), missing ones never."""
    count = len(cells)
    if count > layout.width and not any(map(str.strip, cells[layout.width :])):
        return None
    word = "cell" if count == 1 else "cells"
    return Problem(
        "",
        "cell-count",
        f"The row has {count} {word}, the header has {layout.width}. "
        + (
            "Fill in what is missing; an empty cell still needs its delimiter."
            if count < layout.width
            else "Put a cell that contains the delimiter between double quotes."
        ),
    )


def _too_long(column: Column, text: str) -> Problem | None:
    if len(text) <= column.max_length:
        return None
    return Problem(
        column.title,
        "too-long",
        f"{column.title} has {len(text)} characters; at most {column.max_length} are allowed. Shorten it.",
    )


def _clean_email(column: Column, text: str) -> tuple[str, Problem | None]:
    """What Django's EmailValidator accepts, lower-cased: two spellings are one client."""
    lowered = text.lower()
    if problem := _too_long(column, lowered):
        return lowered, problem
    if "@" not in text:
        return lowered, _INVALID_EMAIL  # the common mistake, without the cost of an exception
    try:
        validate_email(text)
    except ValidationError:
        return lowered, _INVALID_EMAIL
    return lowered, None


_INVALID_EMAIL = Problem(
    BY_FIELD["email"].title,
    "invalid-email",
    "Email is not a valid address. Write it like name@example.com, one address in the cell.",
)
_INVALID_PHONE = Problem(
    BY_FIELD["phone"].title,
    "invalid-phone",
    "Phone is not a phone number. Use digits, with a + in front if need be, "
    f"{_PHONE_MIN} to {BY_FIELD['phone'].max_length} characters in all (spaces, dots, dashes and brackets "
    "are not counted), or leave the cell empty.",
)


def _clean_phone(column: Column, text: str) -> tuple[str, Problem | None]:
    digits = text.translate(_PHONE_SEPARATORS)
    if _PHONE.fullmatch(digits) and _PHONE_MIN <= len(digits) <= column.max_length:
        return digits, None
    return digits, _INVALID_PHONE
