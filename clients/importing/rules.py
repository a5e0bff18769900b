"""One raw row → a ClientRow or its problems. The admin's form, the command and the worker share these rules.

Messages never repeat a cell: they travel in mails and logs, which hold no personal data.
"""

import re
from collections.abc import Sequence
from functools import cache

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from clients.importing.columns import BY_FIELD, COLUMNS, ClientRow, Column, Layout, restore
from clients.importing.problems import MalformedRow, Problem

# C0 and C1 controls that are no white space, and the bidirectional embeddings, overrides and isolates.
_FORBIDDEN = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]"
)
_PHONE_SEPARATORS = str.maketrans("", "", " ().-")
_PHONE = re.compile(r"\+?[0-9]+")
_PHONE_MIN = 5

# The fast lane: a row in canonical form, its cells joined by tabs. Every character class leaves out
# what the full rules would look at twice (white space, controls, backslash, quotes of a formula), so a
# match is a proof, and no match proves nothing: the full rules decide then.
_TEXT = (
    r"(?!['=+@-])"
    r"[^\x00-\x20\\\x7f-\xa0\u1680\u2000-\u202f\u205f-\u206f\u3000]++"
    r"(?: [^\x00-\x20\\\x7f-\xa0\u1680\u2000-\u202f\u205f-\u206f\u3000]++)*+"
)
_ATOM = r"[-!#$%&*+/=?^_`{}|~0-9a-z]"
_EMAIL = (
    rf"(?![=+-]){_ATOM}++(?:\.{_ATOM}++)*+"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
)
_CANONICAL_PHONE = r"(?:\+[0-9]{4,14}|[0-9]{5,15})?"


@cache
def fast_lane(statuses: tuple[str, ...]) -> re.Pattern[str]:
    """Matches five canonical cells joined by tabs; the caller sees to their lengths (at most 100)."""
    status = "|".join(map(re.escape, statuses))
    return re.compile(rf"{_TEXT}\t{_EMAIL}\t{_TEXT}\t{_CANONICAL_PHONE}\t(?:{status})")


def clean_cell(field: str, cell: str, statuses: tuple[str, ...]) -> tuple[str, Problem | None]:
    """One cell in canonical form and what is wrong with it, if anything."""
    column = BY_FIELD[field]
    if _FORBIDDEN.search(cell):
        return cell, Problem(
            column.title,
            "control-character",
            f"{column.title} contains a control character that can't be seen. "
            "Type the cell anew and upload the row again.",
        )
    text = " ".join(restore(cell.strip()).split())
    if not text:
        return text, _missing(column) if column.required else None
    match field:
        case "email":
            return _clean_email(column, text)
        case "phone":
            return _clean_phone(column, text)
        case "status":
            return _clean_status(column, text, statuses)
    return text, _too_long(column, text)


def clean_row(
    cells: Sequence[str], layout: Layout, statuses: tuple[str, ...]
) -> ClientRow | list[Problem]:
    """A whole row in canonical form, or every problem that it has."""
    if isinstance(cells, MalformedRow):
        return [Problem("", "quote", cells.message)]
    if problem := _wrong_number_of_cells(cells, layout):
        return [problem]
    texts, problems = [], []
    for column, position in zip(COLUMNS, layout.positions, strict=True):
        cell = "" if position is None else cells[position]
        text, problem = clean_cell(column.field, cell, statuses)
        texts.append(text)
        if problem:
            problems.append(problem)
    return problems or ClientRow(*texts)


def _wrong_number_of_cells(cells: Sequence[str], layout: Layout) -> Problem | None:
    """Extra cells are forgiven when they are empty (spreadsheets write them), missing ones never."""
    count = len(cells)
    if count == layout.width or (count > layout.width and not any(map(str.strip, cells[layout.width :]))):
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


def _missing(column: Column) -> Problem:
    return Problem(column.title, "missing", f"{column.title} is empty. Fill it in.")


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
    try:
        validate_email(text)
    except ValidationError:
        return lowered, Problem(
            column.title,
            "invalid-email",
            "Email is not a valid address. Write it like name@example.com, one address in the cell.",
        )
    return lowered, None


def _clean_phone(column: Column, text: str) -> tuple[str, Problem | None]:
    digits = text.translate(_PHONE_SEPARATORS)
    if _PHONE.fullmatch(digits) and _PHONE_MIN <= len(digits) <= column.max_length:
        return digits, None
    return digits, Problem(
        column.title,
        "invalid-phone",
        f"Phone is not a phone number. Use digits, with a + in front if need be, "
        f"{_PHONE_MIN} to {column.max_length} characters in all (spaces, dots, dashes and brackets "
        "are not counted), or leave the cell empty.",
    )


@cache
def _canonical_statuses(statuses: tuple[str, ...]) -> dict[str, str]:
    return {status.casefold(): status for status in statuses}


def _clean_status(
    column: Column, text: str, statuses: tuple[str, ...]
) -> tuple[str, Problem | None]:
    status = _canonical_statuses(statuses).get(text.casefold())
    if status is not None:
        return status, None
    return text, Problem(
        column.title, "invalid-status", f"Status must be one of: {', '.join(statuses)}."
    )
