"""A phone number as people and programs write it → digits with an optional +, or what else it is."""

import re
from datetime import date

LEAST = 5  # characters

_SEPARATORS = str.maketrans("", "", " ().-/\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00a0")
_NUMBER = re.compile(r"\+?[0-9]+")
_SCHEME = re.compile(r"(?:tel|callto|phone|sms)\s*:\s*", re.IGNORECASE)
# Excel's way of keeping a number's zeros, as some programs export it.
_FORMULA = re.compile(r'="([^"]*)"')
# Spreadsheet programs write a whole number that went through a formula, or pandas, with its decimals.
_WHOLE = re.compile(r"(\+?[0-9]{5,})[.,]0+")
# "+49 (0) 30 …": the zero is for callers within the country and is never dialled behind a country code.
_TRUNK_ZERO = re.compile(r"((?:\+|00)[0-9]{1,3}[ ./-]*)\(0\)")
_SCIENTIFIC = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_DECIMAL = re.compile(r"\+?[0-9]+[.,][0-9]{1,2}")
_IP_ADDRESS = re.compile(r"(?:(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])(?:\.(?=[0-9])|$)){4}")
_EXTENSION = re.compile(
    r"[0-9)]\s*(?:,|;)?\s*(?:ext(?:ension|n)?\.?|x|#|durchwahl|dw\.?|poste|app\.?|wewn\.?)\s*[:.]?\s*[0-9]{1,6}",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:(?P<y1>[0-9]{4})(?P<s1>[-/.])(?P<m1>[0-9]{1,2})(?P=s1)(?P<d1>[0-9]{1,2})"
    r"|(?P<a>[0-9]{1,2})(?P<s2>[-/.])(?P<b>[0-9]{1,2})(?P=s2)(?P<y2>[0-9]{4}|[0-9]{2}))"
    r"(?:[T ][0-9]{1,2}:[0-9]{2}.*)?"
)
_BETWEEN_NUMBERS = re.compile(r"\s+(?:or|and|und|oder|ou|et|y|o|e)\s+|[;,|&\n]+", re.IGNORECASE)
_WHOLE_NUMBER = 7  # digits: fewer are an area code or part of a number


def read(text: str, most: int) -> tuple[str, str, tuple[str, ...]]:
    """The number, the code of what is wrong with it (or nothing), and what was repaired.

    `most` is how many characters a number may have.
    """
    number, repairs = _repaired(text)
    code = _looks_like(number)
    if code:
        return number, code, repairs
    digits = number.translate(_SEPARATORS)
    if _NUMBER.fullmatch(digits) and LEAST <= len(digits) <= most:
        return digits, "", repairs
    return digits, "invalid-phone", repairs


def _repaired(text: str) -> tuple[str, tuple[str, ...]]:
    repairs = []
    if match := _FORMULA.fullmatch(text):
        text = match[1].strip()
        repairs.append("formula-around-phone")
    if text.startswith("'"):
        text = text[1:].strip()
        repairs.append("apostrophe-before-phone")
    if match := _SCHEME.match(text):
        text = text[match.end() :]
        repairs.append("scheme-before-phone")
    if match := _WHOLE.fullmatch(text):
        text = match[1]
        repairs.append("decimals-behind-phone")
    if match := _TRUNK_ZERO.match(text):
        text = match[1] + text[match.end() :]
        repairs.append("trunk-zero")
    return text, tuple(repairs)


def _looks_like(text: str) -> str:
    """The code of what the text is instead of one phone number; empty when it may be one."""
    if re.match(r"-\s*[0-9(]", text):
        return "phone-negative"
    if _SCIENTIFIC.fullmatch(text):
        return "phone-scientific"
    if _IP_ADDRESS.fullmatch(text):
        return "phone-ip-address"
    if _is_date(text):
        return "phone-date"
    if _EXTENSION.search(text):
        return "phone-extension"
    if _DECIMAL.fullmatch(text):
        return "phone-decimal"
    if _are_several(text):
        return "several-phones"
    return ""


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    if match["y1"]:
        return _is_day(int(match["y1"]), int(match["m1"]), int(match["d1"]))
    year = int(match["y2"]) + (2000 if len(match["y2"]) == 2 else 0)
    first, second = int(match["a"]), int(match["b"])
    return _is_day(year, first, second) or _is_day(year, second, first)


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _are_several(text: str) -> bool:
    """Whether two whole numbers stand in the cell."""
    if text.count("+") > 1:
        return True
    parts = [sum(map(str.isdigit, part)) for part in _BETWEEN_NUMBERS.split(text)]
    if sum(count >= LEAST for count in parts) > 1:
        return True
    groups = [sum(map(str.isdigit, group)) for group in re.split(r"[\s/]+", text)]
    return sum(count >= _WHOLE_NUMBER for count in groups) > 1
