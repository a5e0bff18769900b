"""What holds for every file, whatever is in it."""

import csv
import gzip
import io
import re
import sys
import time
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal
from unittest import mock

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clients.contract import columnwise
from clients.contract.columns import (
    BY_FIELD,
    COLUMNS,
    TITLES,
)
from clients.contract.columnwise import proofs
from clients.contract.formulas import neutralise, restore
from clients.contract.layout import DEFAULT_LAYOUT
from clients.contract.octets import as_octets, as_text
from clients.contract.problems import FileFault
from clients.contract.rules import Checked, Rules
from clients.importing.validation import ValidatedRows
from clients.models import Client, ClientChange, RejectedRow
from clients.models.import_run import ImportRun
from clients.models.states import State
from clients.reading import lines
from clients.reading.batch import Batch
from clients.reading.lines import Block
from clients.reading.reader import CsvReader
from clients.reading.source import Limits
from tests.importing.conftest import ImportBytes

STATUSES = ("Active", "Inactive")
RULES = Rules(STATUSES)
Quoting = Literal[0, 1, 2, 3]  # csv.QUOTE_…
# The database is emptied by hand where an example needs it.
with_database = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
without_database = settings(max_examples=150, deadline=None)

encodable = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
awkward = st.sampled_from(
    ['"', "'", ",", ";", "\t", "|", "\n", "\r", "\r\n", " ", "\\", "\\N", "\\.", "é", "李", "😀", "="]
)
cell = st.lists(st.one_of(encodable, awkward), max_size=8).map("".join)


def read(content: bytes, limits: Limits | None = None) -> list[tuple[int, list[str]]]:
    reader = CsvReader(io.BytesIO(content), limits)
    return [row for batch in reader for row in records(batch)]


@without_database
@given(
    rows=st.lists(st.lists(cell, min_size=5, max_size=5), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    compressed=st.booleans(),
)
def test_what_pythons_csv_writes_comes_back(
    rows: list[list[str]], delimiter: str, quoting: Quoting, line_end: str, encoding: str, compressed: bool
) -> None:
    # An @ in the second of two lines would make a cell look like a swallowed row, which the guard refuses.
    rows = [[text.replace("@", "") for text in row] for row in rows]
    if quoting == csv.QUOTE_MINIMAL:
        # Python quotes a line break only if it is one of its own line end's: such a file can't be read back.
        foreign = str.maketrans("", "", "".join({"\r", "\n"} - set(line_end)))
        rows = [[text.translate(foreign) for text in row] for row in rows]
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerow(TITLES)
    writer.writerows(rows)
    content = file.getvalue().encode(encoding)
    if compressed:
        content = gzip.compress(content)

    # A space before a quote may be the writer's or the cell's; the contract trims it either way.
    assert [[text.lstrip(" ") for text in cells] for _, cells in read(content)] == [
        [text.lstrip(" ") for text in row] for row in rows
    ]


@without_database
@given(rows=st.lists(st.lists(cell, min_size=5, max_size=5), min_size=1, max_size=8))
def test_line_numbers_are_those_an_editor_shows(rows: list[list[str]]) -> None:
    rows = [[text.replace("@", "") for text in row] for row in rows]
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(TITLES)
    expected = []
    for row in rows:
        # An editor breaks lines at \r\n, \r and \n, and at nothing else.
        expected.append(file.getvalue().replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1)
        writer.writerow(row)
    assert [line for line, _ in read(file.getvalue().encode())] == expected


class Dribble(io.BytesIO):
    """A file that comes a few bytes at a time, as from a network."""

    def __init__(self, content: bytes, most: int) -> None:
        super().__init__(content)
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._most)


@without_database
@given(
    rows=st.lists(st.lists(cell, min_size=5, max_size=5), min_size=1, max_size=6),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    most=st.integers(1, 40),
)
def test_where_a_block_ends_makes_no_difference(
    rows: list[list[str]], quoting: Quoting, line_end: str, most: int
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=quoting, lineterminator=line_end).writerows([TITLES, *rows])
    content = file.getvalue().encode()

    def outcome(stream: io.BytesIO) -> list[tuple[int, list[str]]] | tuple[str, str]:
        try:
            # Whether spaces before quotes are the writer's or the cell's is decided block by block.
            return [
                (line, [text.lstrip(" ") for text in cells])
                for batch in CsvReader(stream)
                for line, cells in records(batch)
            ]
        except FileFault as fault:
            return fault.code, fault.message

    whole = outcome(io.BytesIO(content))
    with mock.patch.object(lines, "_AT_LEAST", 1):
        assert outcome(Dribble(content, most)) == whole


def records(batch: Batch) -> list[tuple[int, list[str]]]:
    """A batch's rows in the file's order."""
    columns: Any = batch.columns
    rows = ([as_text(cell) for cell in cells] for cells in zip(*columns, strict=True))
    fitting = zip(batch.lines, rows, strict=True)
    return sorted([*fitting, *batch.misfits])


_PIECES = b"""Name|Email|Company|Phone|Status|a@example.com|Active|x|+12345|,|;|\t|\n|\r|"|""| |\\|'"""
_PIECES += b"|\0|\xff|\xe9|\xc3|\x1f\x8b|\xff\xfe"
csv_like = st.lists(st.sampled_from([*_PIECES.split(b"|"), b"|"]), max_size=60).map(b"".join)
header_first = csv_like.map(lambda rest: b"Name,Email,Company,Phone,Status\n" + rest)


@without_database
@given(st.one_of(st.binary(max_size=300), csv_like, header_first))
@example(b'Name,Email,Company,Phone,Status\n"\r\n')
def test_any_bytes_are_read_or_refused_and_no_row_is_made_up(content: bytes) -> None:
    try:
        rows = read(content)
    except FileFault:
        return
    if content.startswith((b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff")):
        return
    if not rows:
        return
    lines = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    numbers = [line for line, _ in rows]
    assert numbers == sorted(set(numbers))
    for (line, cells), next_line in zip(rows, [*numbers[1:], len(lines) + 1], strict=True):
        held = b"\n".join(lines[line - 1 : next_line - 1])
        for text in "".join(cells).split():
            # Every ASCII letter of a cell stands in the lines that the row takes up.
            assert all(character.encode() in held for character in text if character.isascii())


@without_database
@given(st.one_of(st.binary(max_size=2000), header_first), st.integers(100, 400))
def test_limits_hold_whatever_comes(content: bytes, characters: int) -> None:
    limits = Limits(rows=5, cells_per_row=10, row_characters=characters)
    try:
        rows = read(content, limits)
    except FileFault:
        return
    assert len(rows) <= 5
    assert all(len(cells) <= 10 for _, cells in rows)
    assert all(sum(map(len, cells)) <= characters for _, cells in rows)


likely_email = st.one_of(
    st.emails(),
    st.from_regex(r"[a-zA-Z0-9.\"'+=_-]{0,8}@[a-zA-Z0-9.-]{1,12}\.[a-zA-Z]{1,4}", fullmatch=True),
    st.lists(st.sampled_from(list('ab.@-_+"\\ [1]:é\u212aſ\t=;<>')), max_size=14).map("".join),
)
likely_phone = st.one_of(
    st.just(""),
    st.from_regex(r"\+?[0-9]{1,17}", fullmatch=True),
    st.from_regex(r"[+(]?[0-9]{1,4}[)]?(?:[-. /][0-9]{1,7}){0,4}", fullmatch=True),
    st.lists(st.sampled_from(list("0123456789+-.()/ x,;E'=")), max_size=18).map("".join),
)
name = st.one_of(cell, st.just("Ada Lovelace"), st.just("Zoë"), st.just("Zoe\u0308"), st.just("#N/A"))
likely_row = st.tuples(
    name,
    likely_email,
    st.one_of(cell, st.just("Acme, Inc"), st.just('The "Acme" Co')),
    st.one_of(likely_phone, cell),
    st.one_of(st.sampled_from([*STATUSES, "ACTIVE", " active "]), cell),
)


@without_database
@given(likely_email)
@example('"quoted\\ local"@example.com')
@example("user@[127.0.0.1]")
@example("user@localhost")
@example("a@" + "b" * 64 + ".com")
def test_the_email_rule_accepts_what_djangos_validator_accepts(text: str) -> None:
    checked = RULES.check(BY_FIELD["email"], text)
    if checked.repairs or not text.isascii():
        return  # they are another address than the text
    prepared = " ".join(restore(text.strip()).split()).lower()
    try:
        validate_email(prepared)
        accepted = len(prepared) <= 100
    except ValidationError:
        accepted = False
    assert (checked.problem is None) == accepted or prepared in ("#n/a",)
    if checked.problem is None:
        assert checked.value == prepared


# --- canonical form is a fixed point -----------------------------------------------------------------


@without_database
@given(row=likely_row)
@example(row=("İ", "İSMAİL@EXAMPLE.COM", "\u212bngstrom", "+49 (0) 30/123456", "Active"))
@example(row=("ﬁ", "ａｄａ@ｅｘａｍｐｌｅ.com", "''=x", "'+447700900123", "Active"))
def test_what_is_stored_passes_the_form_the_export_and_a_second_import_unchanged(
    row: tuple[str, ...],
) -> None:
    for column, text in zip(COLUMNS, row, strict=True):
        stored = RULES.check(column, text)
        if stored.problem or stored.value is None:
            continue
        if not stored.value:
            assert not column.required
            continue
        assert unicodedata.is_normalized("NFC", stored.value)
        assert RULES.check(column, stored.value, exported=False) == Checked(stored.value)
        assert RULES.check(column, neutralise(stored.value)) == Checked(stored.value)


@pytest.mark.parametrize("field", ["name", "email", "phone"])
def test_no_character_of_unicode_is_stored_in_a_form_that_comes_back_changed(field: str) -> None:
    column = BY_FIELD[field]
    shape = {"name": "A{}b", "email": "a{}b@x{}y.com", "phone": "+4930{}123456"}[field]
    for code in range(sys.maxunicode + 1):
        stored = RULES.check(column, shape.replace("{}", chr(code)))
        if stored.problem is None and stored.value:
            assert RULES.check(column, stored.value, exported=False) == Checked(stored.value), hex(code)


# --- whole columns prove what the rules say ------------------------------------------------------------


def agrees(rows: list[tuple[str, ...]]) -> None:
    """What is proven of a block is what the rules make of each cell, without a repair to tell of."""
    columns = list(zip(*rows, strict=True))
    for n, proof in proofs(DEFAULT_LAYOUT, RULES).items():
        values, unproven = proof.prove([list(map(as_octets, column)) for column in columns])
        assert len(values) == len(rows)
        for index, (value, cell) in enumerate(zip(values, columns[n], strict=True)):
            if index not in unproven:
                stored = as_text(value).replace("\\\\", "\\")
                assert RULES.check(COLUMNS[n], cell) == Checked(stored), (n, cell)


@without_database
@given(st.lists(likely_row, min_size=1, max_size=8))
def test_columns_prove_nothing_that_the_rules_would_change(rows: list[tuple[str, ...]]) -> None:
    agrees(rows)


def test_no_character_is_proven_that_the_rules_would_change() -> None:
    everything = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    proof = proofs(DEFAULT_LAYOUT, RULES)[0]
    for start in range(0, len(everything), 1000):
        for shape in ("A{}b", "{}b", "A{}"):
            cells = [shape.format(character) for character in everything[start : start + 1000]]
            values, unproven = proof.prove([list(map(as_octets, cells))])
            doubtful = set(unproven)
            for index, (cell, value) in enumerate(zip(cells, values, strict=True)):
                checked = RULES.check(COLUMNS[0], cell)
                assert index in doubtful or checked == Checked(as_text(value)), ascii(cell)
                # … and letters and digits are proven: it is what makes an import fast.
                usual = all(c.isalnum() for c in cell) and unicodedata.is_normalized("NFC", cell)
                assert index not in doubtful or not usual, ascii(cell)


@without_database
@given(st.lists(likely_phone, min_size=1, max_size=50))
@example(["2024-01-05", "12.03.2021", "192.168.1.100", "-5551234567", "447900900123.0", "5550100 5550101"])
@example(["(415) 555-2671", "+1 415 555 2671", "415.555.2671", "020 7946 0958", "+49 (0) 30 123456"])
def test_phones_are_proven_only_where_they_can_be_nothing_else(phones: list[str]) -> None:
    agrees([("Ada", "a@example.com", "Acme", phone, "Active") for phone in phones])


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Python before 3.11.5 keeps what a failed repetition of the group has taken (gh-106052)."""
    for pattern in (
        *columnwise._FORMS.values(),
        *columnwise._SIMPLE_FORMS.values(),
        columnwise._PHONE_AS_WRITTEN,
        columnwise._PHONE,
    ):
        assert not re.search(r"\)(?:[*+?]|\{[0-9,]+\})\+", pattern)


def test_no_cell_takes_more_time_than_its_length_warrants() -> None:
    cells = [
        "a-" * 20_000,
        f"a@{'a-' * 20_000}",
        f"a@{'a.' * 20_000}",
        "a " * 20_000,
        "1 " * 20_000,
        "+1 " * 9_999,
    ]
    columns = [tuple(cells)] * len(COLUMNS)
    started = time.perf_counter()
    for proof in proofs(DEFAULT_LAYOUT, RULES).values():
        proof.prove(columns)
    assert time.perf_counter() - started < 2


@without_database
@given(
    rows=st.lists(likely_row, max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    quoted=st.booleans(),
    spaced=st.booleans(),
    other=st.booleans(),
)
def test_a_block_read_in_one_go_gives_what_it_gives_record_by_record(
    rows: list[tuple[str, ...]], delimiter: str, quoted: bool, spaced: bool, other: bool
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    if spaced:
        rows = [(row[0], *(f" {text}" for text in row[1:])) for row in rows]
    if other:  # a column of another kind, in the middle
        rows = [(*row[:2], row[0], *row[2:]) for row in rows]
    writer.writerows([(*TITLES[:2], "Notes", *TITLES[2:]) if other else TITLES, *rows])
    content = file.getvalue().encode()
    assert staged(content, CsvReader) == staged(content, RecordByRecord)


class RecordByRecord(CsvReader):
    """Reads each block as if its records went over several lines."""

    def _in_one_go(self, block: Block) -> None:
        return None

    def _records(self, block: Block, *, is_last: bool) -> tuple[Sequence[int], list[list[str]], str]:
        return self._record_by_record(block, is_last=is_last)


def staged(content: bytes, reader: type[CsvReader]) -> dict[bytes, list[bytes]] | str:
    """Line → values as COPY gets them; the code of the file's fault, if it has one."""
    try:
        validated = ValidatedRows(reader(io.BytesIO(content)), RULES)
        lines = b"".join(validated.blocks()).splitlines()
    except FileFault as fault:
        return fault.code
    found = {}
    for text in lines:
        # Not the cells: which of the two ways they are kept depends on how they were read.
        line, _, _, problems, *values = text.split(b"\t")
        found[line] = [problems, *values]
    return found


@without_database
@given(st.one_of(cell, st.from_regex(r"'*[=+@\t\r-].*", fullmatch=True)))
def test_a_neutralised_cell_is_harmless_and_can_be_restored(text: str) -> None:
    """Promise 18."""
    assert not neutralise(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert restore(neutralise(text)) == text


@without_database
@given(st.lists(likely_row, max_size=6))
def test_copy_text_has_one_line_a_row(rows: list[tuple[str, ...]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(
        [
            TITLES,
            *[[text.replace("@", "", 1) if n != 1 else text for n, text in enumerate(row)] for row in rows],
        ]
    )
    try:
        validated = ValidatedRows(CsvReader(io.BytesIO(file.getvalue().encode())), RULES)
        text = b"".join(validated.blocks())
    except FileFault:
        return
    assert text.count(b"\n") == validated.read
    assert all(line.count(b"\t") == len(validated.copied) - 1 for line in text.splitlines())


# --- with the database ------------------------------------------------------------------------------

emails = st.sampled_from(["a@example.com", "B@example.com", "b@example.com", "c@example.com"])
small_row = st.tuples(
    st.sampled_from(["Ada", "Bob", ""]),
    emails,
    st.just("Acme"),
    st.sampled_from(["", "12345", "99999"]),
    st.just("Active"),
)


def csv_of(rows: list[tuple[str, ...]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([TITLES, *rows])
    return file.getvalue().encode()


def expected(
    stored: dict[str, tuple[str, ...]], rows: list[tuple[str, ...]], policy: str
) -> tuple[dict[str, tuple[str, ...]], dict[str, int], set[int]]:
    """The rules of an import in ten lines of Python: clients, counts, and lines rejected."""
    after, counts, rejected, seen = (
        dict(stored),
        dict.fromkeys(("inserted", "updated", "unchanged"), 0),
        set(),
        set(),
    )
    for line, (name, email, company, phone, status) in enumerate(rows, start=2):
        email = email.lower()
        if not name or email in seen:
            rejected.add(line)
            continue
        seen.add(email)
        old = stored.get(email)
        new = (name, company, phone or (old[2] if old and policy == "update" else ""), status)
        if old is None or (old != new and policy == "update"):
            after[email] = new
            counts["inserted" if old is None else "updated"] += 1
        elif old == new:
            counts["unchanged"] += 1
        else:
            rejected.add(line)
    return after, counts, rejected


def table() -> dict[str, tuple[str, ...]]:
    rows = Client.objects.values_list("email", "name", "company", "phone", "status")
    return {row[0]: tuple(row[1:]) for row in rows}


def sequences() -> list[tuple[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sequencename, last_value FROM pg_sequences"
            " WHERE sequencename ~ '^(clients|client_changes)_id' ORDER BY 1"
        )
        return list(cursor.fetchall())


def counts_of(run: ImportRun) -> dict[str, int]:
    return {name: getattr(run, name) for name in ("inserted", "updated", "unchanged")}


@with_database
@given(
    first=st.lists(small_row, max_size=5),
    second=st.lists(small_row, max_size=6),
    policy=st.sampled_from(["reject", "update"]),
)
def test_imports_do_what_the_contract_says_and_previews_foretell_it(
    first: list[tuple[str, ...]], second: list[tuple[str, ...]], policy: str, import_bytes: ImportBytes
) -> None:
    for model in (Client, ClientChange, RejectedRow):
        model.objects.all().delete()
    import_bytes(csv_of(first))
    stored, numbers = table(), sequences()
    after, counts, rejected = expected(stored, second, policy)

    preview = import_bytes(csv_of(second), policy=policy, preview=True)
    assert (table(), sequences()) == (stored, numbers)
    run = import_bytes(csv_of(second), policy=policy)

    assert table() == after
    for each in (preview, run):
        assert counts_of(each) == counts
        assert set(each.rejected_rows.values_list("line", flat=True)) == rejected
        assert each.rejected == len(rejected)
        assert each.read == len(second) == sum(counts.values()) + len(rejected)
        assert each.state == (State.PARTIAL if rejected else State.SUCCEEDED)
        assert sum(each.problem_counts.values()) == len(rejected)
    changes = ClientChange.objects.filter(run=run)
    assert changes.count() == counts["updated"]
    assert {(c.client.email, c.name, c.phone) for c in changes} == {
        (email, stored[email][0], stored[email][2]) for email in stored if after[email] != stored[email]
    }


@with_database
@given(st.lists(likely_row, max_size=6))
def test_every_row_is_accounted_for(import_bytes: ImportBytes, rows: list[tuple[str, ...]]) -> None:
    run = import_bytes(csv_of(rows))
    assert run.read == run.inserted + run.updated + run.unchanged + run.rejected
    assert run.rejected == run.rejected_rows.count()
    assert run.state in (State.SUCCEEDED, State.PARTIAL, State.REJECTED)
