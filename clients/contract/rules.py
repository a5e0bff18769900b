"""One raw row → a ClientRow or its problems. The admin's form, the command and the worker share these rules.

Messages never repeat a cell: they travel in mails and logs, which hold no personal data.
"""

import re
from collections.abc import Callable, Sequence
from operator import call

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from clients.contract.columns import BY_FIELD, COLUMNS, ClientRow, Column
from clients.contract.formulas import restore
from clients.contract.layout import Layout
from clients.contract.problems import Problem

# C0 and C1 controls that are no white space, and the bidirectional embeddings, overrides and isolates.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
_PHONE_SEPARATORS = str.maketrans("", "", " ().-")
_PHONE = re.compile(r"\+?[0-9]+")
_PHONE_MIN = 5

# Canonical forms: a cell that has one is stored as it stands. Every character class leaves out what the full
# rules would look at twice (white space, controls, overrides, backslash, quotes, the apostrophe of a
# neutralised formula), so a match proves that the cell is what it should be, and no match proves nothing: the
# full rules decide then. A word is told in text, and in UTF-8, as which whole lines are seen without decoding
# them; there, all that is left out beyond ASCII begins with one of four bytes. Groups are repeated inside
# atomic ones, (?>(?:…)*): before 3.11.5 Python's (?:…)*+ keeps what a failed repetition took (gh-106052).
_WORD = r'[^\x00-\x20"\\\x7f-\xa0\u1680\u2000-\u202f\u205f-\u206f\u3000{delimiter}]++'
_PLAIN = r'[^\x00-\x20"\\\x7f\xc2\xe1\xe2\xe3{delimiter}]'
_WIDE = (
    r"(?:\xc2[\xa1-\xbf]"  # not U+0080 to U+00A0
    r"|\xe1(?!\x9a\x80)"  # not U+1680
    r"|\xe2(?!\x80[\x80-\xaf]|\x81[\x9f-\xaf])"  # not U+2000 to U+202F, U+205F to U+206F
    r"|\xe3(?!\x80\x80))"  # not U+3000
)
_WORD_IN_UTF8 = f"(?:{_PLAIN}|{_WIDE}){_PLAIN}*+(?>(?:{_WIDE}{_PLAIN}*+)*)"
_ATOM = "[-!#$%&*+/=?^_`{}|~0-9a-z]"
_LABEL = r"(?![^.\n]{64})[a-z0-9]++(?>(?:-++[a-z0-9]++)*)"
_CANONICAL_PHONE = r"(?:\+[0-9]{4,14}|[0-9]{5,15})?"
_NEVER = "(?!)"
_LINE_END = r"\r?\n"


def _words(word: str, separator: str) -> str:
    """A pattern for words with single spaces between them, not beginning as a neutralised formula does."""
    word = word.replace("{delimiter}", separator)
    return f"(?!'){word}(?>(?: {word})*)"


def _canonical_forms(statuses: Sequence[str], word: str, delimiter: str = "") -> dict[str, str]:
    """A pattern for each field: its cells in canonical form, as long as they hold no delimiter."""
    separator = re.escape(delimiter)
    atom = f"{_ATOM.replace(delimiter, '') if delimiter else _ATOM}++"
    usual = [status for status in statuses if re.fullmatch(_words(_WORD, separator), status)]
    special = {
        "email": rf"{atom}(?>(?:\.{atom})*)@(?:{_LABEL}\.)+[a-z]{{2,63}}",
        "phone": _CANONICAL_PHONE,
        "status": "|".join(map(re.escape, usual)) or _NEVER,
    }
    forms = ((column, special.get(column.field) or _words(word, separator)) for column in COLUMNS)
    # No cell is too long that has no more bytes than it may have characters.
    return {
        column.field: rf"(?![^\n{separator}]{{{column.max_length + 1}}})(?:{form})" for column, form in forms
    }


LineTest = Callable[[bytes], object]
"""Tells whether a line of a file, its break included, is one row that needs no further look."""


class MalformedRow(list[str]):
    """A line that quotes its cells in a way that can be read in more than one; holds it as one cell."""


class Rules:
    """The rules for one list of statuses. What is asked a million times is made ready once."""

    def __init__(self, statuses: tuple[str, ...]) -> None:
        self._spellings = statuses
        self._statuses = {status.casefold(): status for status in statuses}
        self._invalid_status = Problem(
            BY_FIELD["status"].title, "invalid-status", (("statuses", ", ".join(statuses)),)
        )
        forms = _canonical_forms(statuses, _WORD)
        # For each column what gives None for a cell that isn't in canonical form.
        self._canonical: list[Callable[[str], object]] = [
            re.compile(forms[column.field]).fullmatch for column in COLUMNS
        ]
        self._kinds = {"email": _clean_email, "phone": _clean_phone, "status": self._clean_status}

    def canonical_line(self, layout: Layout, delimiter: str, *, quotes: bool) -> LineTest:
        """What tells whether a line is a row of a file, all of it in canonical form, with its line break.

        A space may follow a delimiter. Cells of unknown columns may hold anything but the delimiter, quotes
        and line breaks. With `quotes` cells may stand between double quotes.
        """
        separator = re.escape(delimiter)
        forms = _canonical_forms(self._spellings, _WORD_IN_UTF8, delimiter)
        fields = dict(zip(layout.positions, (column.field for column in COLUMNS), strict=True))
        anything = rf'[^"\r\n{separator}]*+'
        cells = [forms[fields[n]] if n in fields else anything for n in range(layout.width)]
        if quotes:
            cells = [f'(?:"{cell}"|{cell})' for cell in cells]
        # Possessive: a space that another column's cell might take as well must not be tried both ways.
        return re.compile((f"{separator} ?+".join(cells) + _LINE_END).encode()).fullmatch

    def clean_cell(self, column: Column, cell: str) -> tuple[str, Problem | None]:
        """One cell in canonical form and what is wrong with it, if anything."""
        if not cell.isprintable() and _FORBIDDEN.search(cell):
            return cell, _CONTROL_CHARACTER[column.field]
        text = " ".join(restore(cell.strip()).split())
        if not text:
            return text, _MISSING[column.field] if column.required else None
        return self._kinds.get(column.field, _clean_text)(column, text)

    def clean_row(self, cells: Sequence[str], layout: Layout) -> ClientRow | list[Problem]:
        """A whole row in canonical form, or every problem that it has."""
        if isinstance(cells, MalformedRow):
            return [Problem("", "quote")]
        if len(cells) != len(layout.header) and (problem := _wrong_number_of_cells(cells, layout)):
            return [problem]
        picked = layout.pick(cells)
        problems = []
        for index, match in enumerate(map(call, self._canonical, picked)):
            if match is None:
                picked[index], problem = self.clean_cell(COLUMNS[index], picked[index])
                if problem:
                    problems.append(problem)
        return problems or ClientRow(*picked)

    def _clean_status(self, _: Column, text: str) -> tuple[str, Problem | None]:
        status = self._statuses.get(text.casefold())
        return (text, self._invalid_status) if status is None else (status, None)


_CONTROL_CHARACTER = {column.field: Problem(column.title, "control-character") for column in COLUMNS}
_MISSING = {column.field: Problem(column.title, "missing") for column in COLUMNS}


def _wrong_number_of_cells(cells: Sequence[str], layout: Layout) -> Problem | None:
    """Extra cells are forgiven when they are empty (spreadsheets write them), missing ones never."""
    count = len(cells)
    if count > layout.width and not any(map(str.strip, cells[layout.width :])):
        return None
    return Problem("", "cell-count", (("cells", count), ("columns", layout.width)))


def _too_long(column: Column, text: str) -> Problem | None:
    if len(text) <= column.max_length:
        return None
    return Problem(column.title, "too-long", (("length", len(text)), ("limit", column.max_length)))


def _clean_text(column: Column, text: str) -> tuple[str, Problem | None]:
    return text, _too_long(column, text)


def _clean_email(column: Column, text: str) -> tuple[str, Problem | None]:
    """What Django's EmailValidator accepts, lower-cased: two spellings are one client."""
    lowered = text.lower()
    if problem := _too_long(column, lowered):
        return lowered, problem
    if "@" not in text:
        return lowered, _INVALID_EMAIL  # the common mistake, without the cost of an exception
    if _CANONICAL_EMAIL(lowered):
        return lowered, None
    try:
        validate_email(text)
    except ValidationError:
        return lowered, _INVALID_EMAIL
    return lowered, None


_CANONICAL_EMAIL = re.compile(_canonical_forms([], _WORD)["email"]).fullmatch
_INVALID_EMAIL = Problem(BY_FIELD["email"].title, "invalid-email")
_INVALID_PHONE = Problem(
    BY_FIELD["phone"].title,
    "invalid-phone",
    (("least", _PHONE_MIN), ("limit", BY_FIELD["phone"].max_length)),
)


def _clean_phone(column: Column, text: str) -> tuple[str, Problem | None]:
    digits = text.translate(_PHONE_SEPARATORS)
    if _PHONE.fullmatch(digits) and _PHONE_MIN <= len(digits) <= column.max_length:
        return digits, None
    return digits, _INVALID_PHONE
