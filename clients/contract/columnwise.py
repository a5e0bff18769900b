"""The rules' fast form: a whole column of a block is proven canonical, or made so, in a few passes.

The cells of a column are joined with line breaks between them. What every cell may need (spaces around it,
capitals in emails, separators in phones) is done to the joined text at once, and one expression then finds
the cells that it doesn't prove. Those rows go through the rules one by one, so this may say "don't know" as
often as it likes, but what it proves must be what the rules would make of it. Tests compare the two over all
of Unicode.

Every character class leaves out what the rules look at twice: white space, controls, what can't be seen, the
backslash (COPY's escape), and at a cell's start the apostrophe of a neutralised formula and a spreadsheet's
`#N/A`. Groups are repeated inside atomic ones, (?>(?:…)*): before 3.11.5 Python's (?:…)*+ keeps what a failed
repetition took (gh-106052).
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from clients.contract import phones
from clients.contract.columns import COLUMNS, Column
from clients.contract.layout import Feed, Layout
from clients.contract.octets import as_octets, as_text
from clients.contract.rules import Rules

# A column's values as they are stored (NOTHING where the file says nothing), and which are left unproven.
Proven = tuple[list[str], list[int]]
NOTHING = "\\N"  # COPY's NULL

_REMEMBERED = 1_000  # cells of a column with few different ones
_FEW = 20  # cells that tell how a column's phones are written

# Columns come as bytes (clients.contract.octets). A word is what has no white space, no control and nothing
# that can't be seen; of what lies beyond ASCII, all that is left out begins with one of six bytes.
_PLAIN = r"[^\x00-\x20\\\x7f\xc2\xd8\xe1\xe2\xe3\xef]"
_WIDE = (
    r"(?:\xc2[\xa1-\xac\xae-\xbf]"  # not U+0080 to U+00A0, U+00AD
    r"|\xd8[^\x9c]"  # not U+061C
    r"|\xe1(?!\x9a\x80|\xa0\x8e)"  # not U+1680, U+180E
    # Not U+2000 to U+200F, U+2028 to U+202F, U+205F to U+206F.
    r"|\xe2(?!\x80[\x80-\x8f\xa8-\xaf]|\x81[\x9f-\xaf])"
    r"|\xe3(?!\x80\x80)"  # not U+3000
    r"|\xef(?!\xbb\xbf))"  # not U+FEFF
)
_WORD = f"(?:{_PLAIN}|{_WIDE}){_PLAIN}*+(?>(?:{_WIDE}{_PLAIN}*+)*)"
_ATOM = r"[-!#$%&*+/=?^_`{|}~0-9a-z]++"
_LABEL = r"(?![^.\n]{64})[a-z0-9]++(?>(?:-++[a-z0-9]++)*)"
# Where nothing in the whole text asks for a closer look, one character class does for each cell.
_MAY_BE_ODD = re.compile(r"[\xc2\xcc-\xff]").search  # what may be invisible, or not in NFC
_ODD_SPACES = ("  ", "\n ", " \n")
_ODD_IN_EMAIL = ("..", "\n.", ".@", "-.", ".-", "@-")
_FORMS = {
    "text": rf"(?!['#]){_WORD}(?>(?: {_WORD})*)",
    "email": rf"(?!['#]){_ATOM}(?>(?:\.{_ATOM})*)@(?:{_LABEL}\.)+[a-z]{{2,63}}",
}
_SIMPLE_FORMS = {
    "text": r"(?!['#])[^\x00-\x1f\\\x7f]++",
    "email": r"(?!['#])[-!#$%&*+/=?^_`{|}~0-9a-z.]++@(?:[-a-z0-9]++\.)+[a-z]{2,63}",
}
_LONGEST_LABEL = 63
# Phones that can be nothing else. Groups of at most six digits are never two numbers in one cell; dates, IP
# addresses, decimals, a minus in front and the "(0)" behind a country code are left to the rules.
_PHONE_AS_WRITTEN = (
    r"(?:\+?[0-9]*+"
    r"|(?:\+?1[ .-]?)?\([0-9]{2,5}\)[ -]?[0-9]{2,4}[ .-]?[0-9]{3,6}"
    r"|(?![^\n]*\(0\))\+[0-9]{1,4}(?>(?:[ -]\(?[0-9]{1,6}\)?)*)"
    r"|(?![0-9]{4}-[0-9]{1,2}-[0-9]{1,2}\n)(?![0-9]{1,2}-[0-9]{1,2}-[0-9]{2,4}\n)"
    r"[0-9]{2,5}(?:[ -][0-9]{2,6}){1,5}"
    r"|[0-9]{3}\.[0-9]{3}\.[0-9]{4})"
)
_PHONE = rf"(?:\+[0-9]{{{phones.LEAST - 1},14}}|[0-9]{{{phones.LEAST},15}})?"
_PHONE_SEPARATORS = {ord(character): None for character in " ().-"}


def _unproven_by(form: str) -> Callable[[str], list[int]]:
    """What finds the cells that don't have the form, in a text with a line break before and behind each."""
    find = re.compile(rf"\n(?!{form}\n)(?!\Z)").finditer

    def indices(text: str) -> list[int]:
        found: list[int] = []
        index = last = 0
        for match in find(text):
            position = match.start()
            index += text.count("\n", last, position)
            last = position
            found.append(index)
        return found

    return indices


def _joined(cells: Sequence[str]) -> str | None:
    """The column as one text, without a space around a cell; None where a cell has line breaks of its own."""
    text = "\n" + "\n".join(cells) + "\n"
    if text.count("\n") != len(cells) + 1:
        return None
    if "\n " in text or " \n" in text:
        text = text.replace(" \n", "\n").replace("\n ", "\n")
    return text


class ColumnProof:
    """The proof for one column."""

    def __init__(self, column: Column, feed: Feed, rules: Rules) -> None:
        self._column = column
        self._feed = feed
        self._rules = rules
        self._known: dict[str, str | None] = {}
        self._prove: Callable[[Sequence[str]], Proven] = {
            "email": self._email, "phone": self._phone, "status": self._few,
        }.get(column.field, self._text)  # fmt: skip
        if feed.default and column.field != "status":
            self._prove = self._none
        kind = "email" if column.field == "email" else "text"
        self._unproven = _unproven_by(rf"(?=[^\n]{{1,{column.max_length}}}\n){_FORMS[kind]}")
        self._unproven_simply = _unproven_by(_SIMPLE_FORMS[kind])

    def prove(self, columns: Sequence[Sequence[str]]) -> Proven:
        """The column's values, from a block's columns as the file has them."""
        first, *others = (self._joined_cells(columns, candidate) for candidate in self._feed.candidates)
        for other in others:
            if all(map(str.strip, first)):
                break
            first = [cell if cell.strip() else instead for cell, instead in zip(first, other, strict=True)]
        return self._prove(first)

    def _joined_cells(self, columns: Sequence[Sequence[str]], positions: tuple[int, ...]) -> Sequence[str]:
        """A candidate's cells. Where one of several is empty, the joiner is a space around the other."""
        if len(positions) == 1:
            return columns[positions[0]]
        if self._feed.joiner != " ":
            rows = (list(map(as_text, row)) for row in zip(*columns, strict=True))
            return [as_octets(self._feed.take(row)) for row in rows]
        return list(
            map(self._feed.joiner.join, zip(*(columns[position] for position in positions), strict=True))
        )

    def _none(self, cells: Sequence[str]) -> Proven:
        return list(cells), list(range(len(cells)))

    def _text(self, cells: Sequence[str]) -> Proven:
        text = _joined(cells)
        if text is None:
            return self._each(cells)
        values = text[1:-1].split("\n")
        is_odd = any(odd in text for odd in _ODD_SPACES) or (not text.isascii() and _MAY_BE_ODD(text))
        if not is_odd and max(map(len, values)) <= self._column.max_length:
            return values, self._unproven_simply(text)
        if not _is_canonical(text):
            return self._each(cells)
        return values, self._unproven(text)

    def _email(self, cells: Sequence[str]) -> Proven:
        text = _joined(cells)
        if text is None or not text.isascii():
            return self._each(cells)
        text = text.lower()
        values = text[1:-1].split("\n")
        is_odd = any(odd in text for odd in _ODD_IN_EMAIL)
        if not is_odd and max(map(len, values)) <= _LONGEST_LABEL:
            return values, self._unproven_simply(text)
        return values, self._unproven(text)

    def _phone(self, cells: Sequence[str]) -> Proven:
        text = _joined(cells)
        if text is None or not text.isascii():
            return self._each(cells)
        few = cells[:_FEW]
        if sum(_is_as_stored(cell) is not None for cell in few) >= len(few) - 1:  # as in our own exports
            return text[1:-1].split("\n"), _unproven_as_stored(text)
        if "\n'+" in text:  # as exports neutralise it
            text = text.replace("\n'+", "\n+")
        unproven = set(_unproven_as_written(text))
        text = text.translate(_PHONE_SEPARATORS)
        unproven.update(_unproven_as_stored(text))
        return text[1:-1].split("\n"), list(unproven)

    def _few(self, cells: Sequence[str]) -> Proven:
        """A column with few different cells: each is looked at once."""
        values = list(map(self._known.get, cells))
        if None not in values:
            return values, []  # type: ignore[return-value]
        unproven = []
        for index, value in enumerate(values):
            if value is None:
                cell = cells[index]
                values[index] = self._known.get(cell) or self._look_at(cell) or cell
                if cell not in self._known:
                    unproven.append(index)
        return values, unproven  # type: ignore[return-value]

    def _look_at(self, cell: str) -> str | None:
        """What is stored of a cell, remembered; None of one that the rules refuse or repair."""
        checked = self._rules.check(self._column, as_text(cell), default=self._feed.default)
        if checked.problem or checked.repairs or len(self._known) >= _REMEMBERED:
            return None
        stored = NOTHING if checked.value is None else checked.value.replace("\\", "\\\\")
        self._known[cell] = as_octets(stored)
        return self._known[cell]

    def _each(self, cells: Sequence[str]) -> Proven:
        """The same cell by cell, for a block in which one of them keeps the whole from being looked at."""
        values, unproven = [], []
        for index, cell in enumerate(cells):
            is_odd = "\n" in cell or not (
                cell.isascii() or (self._prove == self._text and _is_canonical(cell))
            )
            [value], missing = ([cell], [0]) if is_odd else self._prove([cell])
            values.append(value)
            unproven += [index] if missing else []
        return values, unproven


def _is_canonical(octets: str) -> bool:
    """Whether a text is in the canonical form of Unicode, NFC."""
    return octets.isascii() or unicodedata.is_normalized("NFC", as_text(octets))


_unproven_as_written = _unproven_by(_PHONE_AS_WRITTEN)
_unproven_as_stored = _unproven_by(_PHONE)
_is_as_stored = re.compile(_PHONE).fullmatch


def proofs(layout: Layout, rules: Rules) -> dict[int, ColumnProof]:
    """A proof for each column that the file feeds, by its index into COLUMNS."""
    return {
        n: ColumnProof(COLUMNS[n], layout.feeds[n], rules) for n in layout.fed if layout.feeds[n].candidates
    }
