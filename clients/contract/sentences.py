"""Every sentence about a file, a row or a run, by its code: the one place where their wording stands.

The database keeps codes and parameters and never a sentence, so a wording can be improved, or translated,
without touching history. A sentence says what is wrong, where, and how to fix it.

A placeholder is a parameter's name. A number reads `{rows|row|rows}` where its noun follows it, and has
thousands separators either way. Some parameters quote the file itself (its column titles). Such a sentence
has a second, discreet form for mails, which never carry what stands in a file.
"""

from collections.abc import Mapping
from string import Formatter
from typing import Any, NamedTuple

Params = Mapping[str, str | int]


class Sentence(NamedTuple):
    """A sentence, and its form for mails where that has to differ."""

    text: str
    discreet: str = ""


# --- what is wrong with a row; {column} is the title of the cell's column
PROBLEMS: dict[str, str] = {
    "missing": "{column} is empty. Fill it in.",
    "too-long": "{column} has {length} characters; the limit is {limit}. Shorten it.",
    "control-character": ("{column} contains a control character that can't be seen. Type the cell again."),
    "invalid-email": ("Email is not a valid address. Write it like name@example.com, one address per cell."),
    "several-emails": "Email holds more than one address. Keep one, or give each its own row.",
    "phone-date": "Phone looks like a date. Enter the phone number, or leave the cell empty.",
    "phone-ip-address": "Phone looks like an IP address. Enter the phone number, or leave the cell empty.",
    "phone-negative": (
        "Phone looks like a negative number, as spreadsheet programs make of a number with a minus in front. "
        "Enter the phone number as text."
    ),
    "phone-scientific": (
        "Phone is in a spreadsheet's scientific notation (like 4.47E+11), and its last digits are lost. "
        "Format the column as text in the spreadsheet and enter the number again."
    ),
    "phone-decimal": "Phone looks like an amount with decimals. Enter the phone number, or leave it empty.",
    "phone-extension": (
        "Phone has an extension (like ext. 12), which can't be stored. Remove the extension from the cell."
    ),
    "several-phones": "Phone holds more than one number. Keep one of them.",
    "invalid-phone": (
        "Phone is not a phone number. Use {least} to {limit} digits, with a + in front if needed "
        "(spaces, dots, dashes and brackets don't count), or leave the cell empty."
    ),
    "invalid-status": "Status must be one of: {statuses}.",
    "cell-count": (
        "The row has {cells|cell|cells}, the header has {columns}. Every row needs all of them, even if "
        "empty; put a cell that contains the delimiter between double quotes."
    ),
    "line-quoted": (
        "The whole line stands between double quotes, so it is a single cell. "
        "Remove the quotes around the line."
    ),
    "quote": (
        "A cell in double quotes goes on after its closing quote. Put the whole cell between the quotes, "
        'and double any quote inside it ("").'
    ),
    "duplicate": "Same email as line {line}. Line {line} was used; delete this row or correct its email.",
    "conflict": (
        "A client with this email already exists with different details and was left as is. "
        "Upload the row with the option to update existing clients, or delete it."
    ),
    "unknown-client": (
        "No client has this email yet, and the file has no {missing}, so the client can't be added. "
        "Correct the email, or upload a file with every required column."
    ),
    "called-off": (
        "Nothing is wrong with this row. The import was cancelled because too many other rows have mistakes."
    ),
}

# --- what was repaired in cells, by code; {column} is the title of their column
REPAIRS: dict[str, str] = {
    "invisible": "{column}: invisible characters were removed in {rows|row|rows}.",
    "spreadsheet-error": "{column}: a spreadsheet's error value was read as empty in {rows|row|rows}.",
    "no-value": "{column}: words like NULL or n/a were read as empty in {rows|row|rows}.",
    "mailto": "{column}: “mailto:” was removed in {rows|row|rows}.",
    "name-beside-email": "{column}: a name beside the address was removed in {rows|row|rows}.",
    "punctuation-behind-email": "{column}: punctuation behind the address was removed in {rows|row|rows}.",
    "formula-around-phone": "{column}: a formula around the number was removed in {rows|row|rows}.",
    "apostrophe-before-phone": "{column}: an apostrophe before the number was removed in {rows|row|rows}.",
    "scheme-before-phone": "{column}: “tel:” was removed in {rows|row|rows}.",
    "decimals-behind-phone": "{column}: a trailing “.0” was removed in {rows|row|rows}.",
    "trunk-zero": "{column}: “(0)” behind the country code was removed in {rows|row|rows}.",
}

# --- why a whole file, or an attempt at it, came to nothing
FAULTS: dict[str, Sentence] = {
    "empty": Sentence("The file is empty. Export it again and check it before you upload it."),
    "too-large": Sentence("The file is larger than {limit}. Split it and upload the parts."),
    "too-large-unpacked": Sentence(
        "Unpacked, the file is larger than {limit}. Split it and upload the parts."
    ),
    "too-many-rows": Sentence("The file has more than {limit} rows. Split it and upload the parts."),
    "too-many-cells": Sentence(
        "Line {line} has {cells} cells; the limit is {limit}. "
        "Check the delimiter, and remove columns you don't need."
    ),
    "row-too-long": Sentence(
        "The row that starts on line {line} is longer than {limit} characters. "
        "Perhaps a double quote opens there and is never closed, or the file has no line breaks."
    ),
    "quote-not-closed": Sentence(
        "A double quote opens on line {line} and is not closed where its cell ends, so the lines after it "
        "can't be told apart. Remove it, or double it inside a quoted cell, and upload the file again."
    ),
    "gzip-damaged": Sentence("The compressed file is damaged. Compress it again and upload it once more."),
    "gzip-truncated": Sentence(
        "The compressed file ends too early: part of it is missing. Upload it once more."
    ),
    "utf-16-damaged": Sentence(
        "The file starts as UTF-16 text but is damaged or cut short. "
        "Save it again as “CSV UTF-8” and upload that file."
    ),
    "not-text": Sentence(
        "The file is not text that can be read as CSV. Open it in your spreadsheet program, save it as "
        "“CSV UTF-8”, and upload that file."
    ),
    "not-csv": Sentence(
        "The file is {kind}, not a CSV file. Export the clients as CSV (in a spreadsheet program, save as "
        "“CSV UTF-8”) and upload that. It may be compressed with gzip."
    ),
    "compressed-twice": Sentence("The file was compressed twice. Compress it only once."),
    "column-twice": Sentence(
        "The column {column} is given twice, as “{first}” and as “{second}”. "
        "Remove or rename one of them and upload the file again.",
        discreet="The column {column} is given twice. Remove or rename one and upload the file again.",
    ),
    "column-missing": Sentence(
        "The required {missing} can't be found. The first line has: {titles}. "
        "It should name the columns {expected} (in any order; Phone may be left out).",
        discreet="The required {missing} can't be found. "
        "The first line should name the columns {expected} (in any order; Phone may be left out).",
    ),
    "column-missing-unshown": Sentence(
        "The required {missing} can't be found. "
        "The first line should name the columns {expected} (in any order; Phone may be left out)."
    ),
    "header-missing": Sentence(
        "The file has no header line. Add a first line that names the columns {expected} "
        "(in any order; Phone may be left out), and upload the file again."
    ),
    "columns-unknown": Sentence(
        "None of our columns can be found in the first line. It should name the columns {expected} (in any "
        "order; Phone may be left out)."
    ),
    "backslash-escapes": Sentence(
        "The file has no header line and escapes its cells with backslashes (\\), as databases do. "
        "Export it again as CSV with a first line of column names ({expected}) and without backslash escapes."
    ),
    "lines-quoted": Sentence(
        "Each line of the file stands between double quotes as a whole, so it is a single cell. "
        "Remove the quotes around the lines, or export the file again, and upload it."
    ),
    "encoding-unknown": Sentence(
        "The text is neither UTF-8 nor Windows-1252 (line {line}), so names would come in garbled. "
        "Save the file as “CSV UTF-8” in your spreadsheet program, and upload that file."
    ),
    "object-gone": Sentence("The file was deleted before it could be read. Upload it again."),
    "object-replaced": Sentence(
        "The file was replaced by a newer upload before it could be read. "
        "The newer one is imported in a run of its own."
    ),
    "object-archived": Sentence("The file was moved to an archive. Upload it again."),
    "out-of-date": Sentence("A newer upload of the same file has arrived; this one was not imported."),
    "too-many-rejected": Sentence(
        "Nothing was imported: {rejected} of {read} rows have mistakes, and the limit is {limit}. "
        "Correct the rows listed and upload the file again."
    ),
    "cancelled": Sentence("The import was cancelled. Nothing was changed."),
    "out-of-time": Sentence(
        "The import ran out of time; nothing was imported. "
        "Split the file, or give the function more time or memory."
    ),
    "interrupted": Sentence("The import was interrupted; nothing was imported."),
    "failed": Sentence(
        "Something outside the file went wrong ({error}); nothing was imported and the file is safe to "
        "import again."
    ),
    "given-up": Sentence(
        "The import was started {times|time|times} and never finished, without reporting an error (it ran "
        "out of memory or time, most likely); nothing was imported and the file is safe to import again."
    ),
}

# --- what the user should know of how a file was read
NOTICES: dict[str, Sentence] = {
    "no-header": Sentence("The file has no header line; its columns were read in the order {titles}."),
    "no-rows": Sentence("The file has a header but no rows."),
    "column-read-from": Sentence(
        "{column} was read from {title}.", discreet="{column} was read from a column with another title."
    ),
    "column-chosen": Sentence(
        "{column} was read from {title}; where that is empty, from {others}.",
        discreet="{column} was read from the first of several columns that isn't empty.",
    ),
    "column-defaulted": Sentence("The file has no {column}; new clients get “{default}”."),
    "lines-above-header": Sentence("Lines above the header were skipped: {lines}."),
    "header-repeated": Sentence(
        "The header line was repeated; {count|line was|lines were} skipped: {lines}."
    ),
    "footer": Sentence("{count|line|lines} below the last row, without an email, were skipped: {lines}."),
    "columns-ignored": Sentence(
        "These columns were not imported: {titles}.",
        discreet="{count|column was|columns were} not imported.",
    ),
    "line-assumed-windows-1252": Sentence(
        "Line {line} is not UTF-8, so Windows-1252 was assumed there. "
        "Check names with accents; saving the file as “CSV UTF-8” avoids this."
    ),
    "lines-assumed-windows-1252": Sentence(
        "{lines} lines, the first of them line {line}, are not UTF-8, so Windows-1252 was assumed there. "
        "Check names with accents; saving the file as “CSV UTF-8” avoids this."
    ),
    "imported-before": Sentence("A file with the same content was imported before, by run {run}."),
}

_CATALOGUE: dict[str, Sentence] = {
    **{code: Sentence(text) for code, text in {**PROBLEMS, **REPAIRS}.items()},
    **FAULTS,
    **NOTICES,
}


class _Number(int):
    """An integer in a sentence: separated thousands, and a noun in the right number."""

    def __format__(self, nouns: str) -> str:
        figure = f"{int(self):,}"
        if "|" not in nouns:
            return figure
        one, many = nouns.split("|")
        return f"{figure} {one if self == 1 else many}"


class _Sentences(Formatter):
    """`{cells|cell|cells}`: a field, then what `_Number` makes of the rest."""

    def parse(self, text: str) -> Any:
        for literal, field, spec, conversion in super().parse(text):
            if field and "|" in field:
                name, nouns = field.split("|", 1)
                yield literal, name, nouns, conversion
            else:
                yield literal, field, spec, conversion


_SENTENCES = _Sentences()


def sentence(code: str, params: Params, *, discreet: bool = False) -> str:
    """The sentence of a code. With `discreet` nothing in it comes from the file.

    Sentences of runs from before there were parameters are kept whole, as the parameter `text`.
    """
    if "text" in params:
        return str(params["text"])
    found = _CATALOGUE[code]
    numbers = {name: _Number(value) if isinstance(value, int) else value for name, value in params.items()}
    return _SENTENCES.vformat(found.discreet or found.text if discreet else found.text, (), numbers)
