"""One cell → its canonical form, or what is wrong with it. The admin's form, the command and the worker share
this.

Canonical form is a fixed point: what is stored passes these rules unchanged. Sentences never repeat a cell:
they travel in mails, which hold no personal data. `clients.contract.columnwise` is the fast form of these
rules.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from clients.contract import phones
from clients.contract.columns import BY_FIELD, COLUMNS, Column
from clients.contract.formulas import restore
from clients.contract.layout import Layout
from clients.contract.problems import Problem

# Can't be seen, and mean nothing in an address or a number: soft hyphen, zero-width characters, joiners, byte
# order marks, every bidirectional mark, embedding, override and isolate.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
# In names joiners (U+200C, U+200D) stay: Persian and emoji need them. Overrides and isolates are refused
# below.
_INVISIBLE_IN_TEXT = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u2060-\u2064\ufeff]")
_JOINERS = "\u200c\u200d"
# C0 and C1 controls that are no white space, surrogates, and bidirectional embeddings, overrides, isolates.
_FORBIDDEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u206f\ud800-\udfff]")

# What spreadsheet programs show for a cell that has no value (Excel in English, German, French, Spanish).
_SPREADSHEET_ERRORS = frozenset(
    [
        "#N/A",
        "#REF!",
        "#VALUE!",
        "#DIV/0!",
        "#NAME?",
        "#NULL!",
        "#NUM!",
        "#SPILL!",
        "#CALC!",
        "#GETTING_DATA",
        "#FIELD!",
        "#BLOCKED!",
        "#UNKNOWN!",
        "#NV",
        "#BEZUG!",
        "#WERT!",
        "#ZAHL!",
        "#VALEUR!",
        "#NOM?",
        "#NOMBRE!",
        "#¡VALOR!",
        "#¡REF!",
        "#¿NOMBRE?",
        "#N/D",
    ]
)
# What databases and people write where there is no value; only in columns that may be empty ("Null" is a
# name).
_NO_VALUE = frozenset(
    {"null", "(null)", "\\n", "n/a", "na", "none", "nil", "nan", "-", "--", "?", "undefined"}
)

_MAILTO = re.compile(r"mailto:\s*", re.IGNORECASE)
_WITH_NAME = re.compile(r"[^<>@]*<([^<>]+)>")


class Checked(NamedTuple):
    """What became of a cell: its canonical form (None: it says nothing), what is wrong, what was repaired."""

    value: str | None
    problem: Problem | None = None
    repairs: tuple[str, ...] = ()


class Row(NamedTuple):
    """What became of a row; `values` follow COLUMNS and hold only where there are no problems."""

    values: tuple[str | None, ...]
    problems: tuple[Problem, ...] = ()
    repairs: tuple[tuple[str, str], ...] = ()  # (column's title, code)


class MalformedRow(list[str]):
    """A line that quotes its cells in a way that can be read in more than one; holds it as one cell."""


class Rules:
    """The rules for one list of statuses, and words that stand for them (case-folded → status)."""

    def __init__(self, statuses: tuple[str, ...], words: Mapping[str, str] | None = None) -> None:
        self.statuses = {status.casefold(): status for status in statuses}
        self._words = {**(words or {}), **self.statuses}
        self._invalid_status = Problem(
            BY_FIELD["status"].title, "invalid-status", (("statuses", ", ".join(statuses)),)
        )
        self._kinds: dict[str, Callable[[Column, str], Checked]] = {
            "email": _check_email,
            "phone": _check_phone,
            "status": self._check_status,
        }

    def check(self, column: Column, cell: str, *, default: str = "", exported: bool = True) -> Checked:
        """One cell. With a `default` it may be empty; what was `exported` may carry an apostrophe of ours."""
        text, repairs = _visible(column, cell)
        if _FORBIDDEN.search(text):
            return Checked(text, _CONTROL_CHARACTER[column.field])
        text = " ".join((restore(text.strip()) if exported else text).split())
        may_be_empty = bool(default) or not column.required
        if text.strip(_JOINERS) == "":
            text = ""
        elif text.upper() in _SPREADSHEET_ERRORS:
            text, repairs = "", (*repairs, "spreadsheet-error")
        elif may_be_empty and text.lower() in _NO_VALUE:
            text, repairs = "", (*repairs, "no-value")
        if not text:
            problem = None if may_be_empty else _MISSING[column.field]
            return Checked(None if default else "", problem, repairs)
        checked = self._kinds.get(column.field, _check_text)(column, text)
        return checked._replace(repairs=repairs + checked.repairs)

    def check_row(self, cells: Sequence[str], layout: Layout) -> Row:
        """A whole row: every problem that it has, not just the first."""
        if isinstance(cells, MalformedRow):
            return Row((), (Problem("", "quote"),))
        if len(cells) != layout.width:
            cells, problem = _fit(cells, layout)
            if problem:
                return Row((), (problem,))
        checked = [
            self.check(column, feed.take(cells), default=feed.default)
            for column, feed in zip(COLUMNS, layout.feeds, strict=True)
            if feed.candidates
        ]
        found = iter(checked)
        values = tuple(next(found).value if feed.candidates else None for feed in layout.feeds)
        fed = [column for column, feed in zip(COLUMNS, layout.feeds, strict=True) if feed.candidates]
        return Row(
            values,
            tuple(each.problem for each in checked if each.problem),
            tuple(
                (column.title, code)
                for column, each in zip(fed, checked, strict=True)
                for code in each.repairs
            ),
        )

    def _check_status(self, column: Column, text: str) -> Checked:
        status = self._words.get(text.casefold())
        return Checked(text, self._invalid_status) if status is None else Checked(status)


def _visible(column: Column, cell: str) -> tuple[str, tuple[str, ...]]:
    """The cell in the canonical form of Unicode, without what can't be seen in it."""
    if cell.isascii():
        return cell, ()
    is_text = column.field not in ("email", "phone", "status")
    # Compatibility forms (full-width letters) are another way to write the same address or number.
    text = unicodedata.normalize("NFC" if is_text else "NFKC", cell)
    seen = (_INVISIBLE_IN_TEXT if is_text else _INVISIBLE).sub("", text)
    if seen == text:
        return text, ()
    return unicodedata.normalize("NFC", seen), ("invisible",)


_CONTROL_CHARACTER = {column.field: Problem(column.title, "control-character") for column in COLUMNS}
_MISSING = {column.field: Problem(column.title, "missing") for column in COLUMNS}
_SEVERAL_EMAILS = Problem(BY_FIELD["email"].title, "several-emails")
_INVALID_EMAIL = Problem(BY_FIELD["email"].title, "invalid-email")


def _fit(cells: Sequence[str], layout: Layout) -> tuple[Sequence[str], Problem | None]:
    """A row with more or fewer cells than the header: extra ones are forgiven when they are empty
    (spreadsheets write them), missing ones when no column that needs them stands at the end."""
    count, width = len(cells), layout.width
    if count > width and not any(map(str.strip, cells[width:])):
        return cells[:width], None
    if layout.least <= count < width:
        return [*cells, *[""] * (width - count)], None
    if count == 1 and len(cells[0].split("@")) == 2 and re.search(r"[,;\t|]", cells[0]):
        return cells, Problem("", "line-quoted")
    return cells, Problem("", "cell-count", (("cells", count), ("columns", width)))


def _too_long(column: Column, text: str) -> Problem | None:
    if len(text) <= column.max_length:
        return None
    return Problem(column.title, "too-long", (("length", len(text)), ("limit", column.max_length)))


def _check_text(column: Column, text: str) -> Checked:
    return Checked(text, _too_long(column, text))


def _check_email(column: Column, text: str) -> Checked:
    """What Django's EmailValidator accepts, lower-cased: two spellings are one client."""
    repairs: list[str] = []
    email = unicodedata.normalize("NFC", text.lower())
    if match := _MAILTO.match(email):
        email = email[match.end() :]
        repairs.append("mailto")
    if match := _WITH_NAME.fullmatch(email):
        email = match[1].strip()
        repairs.append("name-beside-email")
    if email != (bare := email.rstrip(";,. ")) and "@" in bare:
        email = bare
        repairs.append("punctuation-behind-email")
    if email.count("@") > 1 and len([part for part in re.split(r"[;,/|\s]+", email) if "@" in part]) > 1:
        return Checked(email, _SEVERAL_EMAILS)
    if problem := _too_long(column, email):
        return Checked(email, problem)
    if "@" not in email:
        return Checked(email, _INVALID_EMAIL)  # the common mistake, without the cost of an exception
    try:
        validate_email(email)
    except ValidationError:
        return Checked(email, _INVALID_EMAIL)
    if email.lower() != email:
        return Checked(email, _INVALID_EMAIL)
    return Checked(email, None, tuple(repairs))


def _check_phone(column: Column, text: str) -> Checked:
    number, code, repairs = phones.read(text, column.max_length)
    if not code:
        return Checked(number, None, repairs)
    limits = (("least", phones.LEAST), ("limit", column.max_length)) if code == "invalid-phone" else ()
    return Checked(number, Problem(column.title, code, limits))
