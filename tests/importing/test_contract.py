"""What a file may say, as one table: the bytes of a file → what comes of it."""

import gzip
import io
from dataclasses import dataclass, field

import pytest
from pytest_django import Settings

from clients.models import Client, ClientChange
from clients.models.import_run import ImportRun
from clients.models.states import State
from clients.reading.reader import CsvReader
from tests.importing.conftest import ImportBytes

HEADER = "Name,Email,Company,Phone,Status\n"
ADA = ("Ada", "ada@example.com", "Acme", "", "Active")
BOB = ("Bob", "bob@example.com", "Globex", "+1234567", "Inactive")
ADA_LINE = "Ada,ada@example.com,Acme,,Active\n"
BOB_LINE = "Bob,bob@example.com,Globex,+1234567,Inactive\n"


@dataclass(frozen=True)
class Case:
    """What a file says, and what must come of it."""

    name: str
    content: str | bytes
    clients: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[tuple[int, str, str]] = field(default_factory=list)  # line, column, code
    fault: str = ""
    says: tuple[str, ...] = ()  # parts of the fault's or the notices' sentences


def row(**cells: str) -> str:
    """One file with Ada's row, some cells replaced."""
    values = dict(zip(("name", "email", "company", "phone", "status"), ADA, strict=True)) | cells
    return HEADER + ",".join(values.values()) + "\n"


def ada(**cells: str) -> list[tuple[str, ...]]:
    values = dict(zip(("name", "email", "company", "phone", "status"), ADA, strict=True)) | cells
    return [tuple(values.values())]


COLUMNS = [
    Case("the plain file", HEADER + ADA_LINE + BOB_LINE, [ADA, BOB]),
    Case(
        "columns in another order",
        "Status,Phone,Company,Email,Name\nactive,,Acme,ada@example.com,Ada\n",
        [ADA],
    ),
    Case(
        "columns in another order, nothing to repair in a row",
        "Status,Email,Phone,Name,Company\nActive,ada@example.com,,Ada,Acme\n",
        [ADA],
    ),
    Case(
        "another order, an unknown column, and no Phone",
        "Company,Shoe size,Status,Email,Name\nAcme, 38,Active,ada@example.com,Ada\n",
        [ADA],
    ),
    Case("titles in any case", "NAME,eMail,company,PHONE,status\n" + ADA_LINE, [ADA]),
    Case("titles with spaces, _ and -", " N a_m-e ,E_mail,Com pany,Phone_Number,Sta-tus\n" + ADA_LINE, [ADA]),
    Case(
        "documented aliases",
        "Client Name,E-mail,Organization,Telephone,Status\n" + ADA_LINE,
        [ADA],
    ),
    Case("more aliases", "client_name,Email Address,Company Name,phone number,STATUS\n" + ADA_LINE, [ADA]),
    Case(
        "an unknown column is ignored and named",
        "Name,Email,Shoe size,Company,Phone,Status\nAda,ada@example.com,38,Acme,,Active\n",
        [ADA],
        says=("“Shoe size”",),
    ),
    Case(
        "an unknown column given twice doesn't matter",
        "x,Name,Email,x,Company,Phone,Status\n1,Ada,ada@example.com,2,Acme,,Active\n",
        [ADA],
    ),
    Case("Phone may be left out", "Name,Email,Company,Status\nAda,ada@example.com,Acme,Active\n", [ADA]),
    Case(
        "Email missing",
        "Name,Company,Phone,Status\nAda,Acme,,Active\n",
        fault="column-missing",
        says=("Email",),
    ),
    Case(
        "two missing are both named",
        "Name,Phone,Status\nAda,,Active\n",
        fault="column-missing",
        says=("Email, Company",),
    ),
    Case(
        "one given twice",
        "Name,Email,Company,E-mail,Phone,Status\nAda,ada@example.com,Acme,x,,Active\n",
        fault="column-twice",
        says=("“Email”", "“E-mail”"),
    ),
    Case("trailing empty titles don't count", "Name,Email,Company,Phone,Status,,\n" + ADA_LINE, [ADA]),
    Case("a quoted header", '"Name","Email","Company","Phone","Status"\n' + ADA_LINE, [ADA]),
    Case(
        "a header cell with a line break",
        '"Name","E-mail\nAddress","Company","Phone","Status"\n' + ADA_LINE,
        [ADA],
    ),
    Case("blank lines before the header", "\n\n  \n" + HEADER + ADA_LINE, [ADA]),
    Case(
        "Excel's sep= line",
        "sep=;\nName;Email;Company;Phone;Status\nAda;ada@example.com;Acme;;Active\n",
        [ADA],
    ),
    Case(
        "another table altogether",
        "id,price\n1,2\n",
        fault="columns-unknown",
        says=("None of our columns", "Name, Email"),
    ),
]

NO_HEADER = [
    Case(
        "the specification's example",
        "John Doe, john.doe@example.com, Acme Corp, +1234567890, Active\n"
        "Jane Smith, jane.smith@example.com, Widget Co, +0987654321, Inactive\n",
        [
            ("Jane Smith", "jane.smith@example.com", "Widget Co", "+0987654321", "Inactive"),
            ("John Doe", "john.doe@example.com", "Acme Corp", "+1234567890", "Active"),
        ],
        says=("no header line",),
    ),
    Case("with semicolons", "Ada;ada@example.com;Acme;;Active\n", [ADA], says=("no header line",)),
    Case("six cells are no client", "Ada,ada@example.com,Acme,,Active,x\n", fault="header-missing"),
    Case("no email in the second cell", "Ada,ada,Acme,,Active\n", fault="columns-unknown"),
]

WHITE_SPACE = [
    Case("around cells", HEADER + "  Ada , ada@example.com ,\tAcme\t,  , Active \n", [ADA]),
    Case("no-break spaces too", row(name="\u00a0Ada\u00a0", company="Ac\u00a0me"), ada(company="Ac me")),
    Case("inside becomes one space", row(name="Ada   King \u2003 Lovelace"), ada(name="Ada King Lovelace")),
    Case(
        "line breaks and tabs inside",
        HEADER + '"Ada\r\n\tKing",ada@example.com,Acme,,Active\n',
        ada(name="Ada King"),
    ),
    Case(
        "after the comma, before a quote",
        HEADER + 'Ada, ada@example.com, "Acme, Inc", , Active\n',
        ada(company="Acme, Inc"),
    ),
    Case(
        "after a closing quote",
        HEADER + '"Ada" ,"ada@example.com"  ,"Acme, Inc" ,,Active\n',
        ada(company="Acme, Inc"),
    ),
]

ROWS = [
    Case("blank lines are skipped", HEADER + "\n" + ADA_LINE + "   \n\r\n" + BOB_LINE + "\n\n", [ADA, BOB]),
    Case("extra cells when empty", HEADER + ADA_LINE.strip() + ",, ,\n", [ADA]),
    Case(
        "extra cells otherwise",
        HEADER + ADA_LINE.strip() + ",,x\n" + BOB_LINE,
        [BOB],
        [(2, "", "cell-count")],
    ),
    Case("missing cells", HEADER + "Ada,ada@example.com,Acme\n" + BOB_LINE, [BOB], [(2, "", "cell-count")]),
    Case("a single cell", HEADER + "Ada\n" + BOB_LINE, [BOB], [(2, "", "cell-count")]),
    Case(
        "only delimiters",
        HEADER + ",,,,\n" + ADA_LINE + ",,,,\n , ,\t,,\n",
        [ADA],
    ),
    Case("no bytes at all", b"", fault="empty"),
    Case("only white space", b" \n\n \r\n", fault="empty"),
    Case("only a byte order mark", b"\xef\xbb\xbf", fault="empty"),
    Case("a header and no rows", HEADER, says=("no rows",)),
    Case("a header without line break", HEADER.strip(), says=("no rows",)),
]

SYNTAX = [
    *(
        Case(f"delimiter {name}", (HEADER + ADA_LINE + BOB_LINE).replace(",", delimiter), [ADA, BOB])
        for name, delimiter in (("semicolon", ";"), ("tab", "\t"), ("bar", "|"))
    ),
    Case(
        "commas in a semicolon file",
        "Name;Email;Company;Phone;Status\nAda;ada@example.com;Acme, Inc, Ltd;;Active\n",
        ada(company="Acme, Inc, Ltd"),
    ),
    Case(
        "a bar, which an email may hold, is a delimiter all the same",
        HEADER.replace(",", "|") + "Ada|a|da@example.com|Acme||Active\n",
        problems=[(2, "", "cell-count")],
    ),
    Case(
        "a space before a quote in a record that goes on in the last line, which has no end",
        HEADER + '"Ada\nKing",ada@example.com, "Acme, Inc",,Active',
        [("Ada King", "ada@example.com", "Acme, Inc", "", "Active")],
    ),
    Case("a line of delimiters before the header", ",,,,\n" + HEADER + ADA_LINE, [ADA]),
    Case("quoted delimiter", row(company='"Acme, Inc"'), ada(company="Acme, Inc")),
    Case("doubled quotes", row(company='"The ""Acme"" Co"'), ada(company='The "Acme" Co')),
    Case("an empty quoted cell", row(phone='""'), [ADA]),
    Case("a quote inside an unquoted cell", row(company='5" Acme'), ada(company='5" Acme')),
    Case("everything quoted", HEADER + '"Ada","ada@example.com","Acme","","Active"\n', [ADA]),
    Case("CRLF", (HEADER + ADA_LINE + BOB_LINE).replace("\n", "\r\n"), [ADA, BOB]),
    Case("CR", (HEADER + ADA_LINE + BOB_LINE).replace("\n", "\r"), [ADA, BOB]),
    Case(
        "mixed line ends", HEADER + ADA_LINE.replace("\n", "\r\n") + BOB_LINE.replace("\n", "\r"), [ADA, BOB]
    ),
    Case("no final line break", HEADER + ADA_LINE + BOB_LINE.strip(), [ADA, BOB]),
    Case(
        "an embedded line break",
        HEADER + '"Ada\nKing",ada@example.com,Acme,,Active\n' + BOB_LINE,
        [*ada(name="Ada King"), BOB],
    ),
    Case(
        "line numbers count embedded line breaks",
        HEADER + '"A\nd\r\na",ada@example.com,Acme,,Active\n\nBob,bad,Globex,,Active\n',
        ada(name="A d a"),
        [(6, "Email", "invalid-email")],
    ),
    Case(
        "text after a closing quote",
        HEADER + '"Ada" King,ada@example.com,Acme,,Active\n' + BOB_LINE,
        [BOB],
        [(2, "", "quote")],
    ),
    Case(
        "a quote never closed",
        HEADER + ADA_LINE + 'Bob,bob@example.com,"Globex,,Active\nX,x@example.com,Y,,Active\n',
        fault="quote-not-closed",
        says=("line 3",),
    ),
    Case(
        "a stray quote that the next stray quote closes",
        HEADER + 'Ada,ada@example.com,"Acme,,Active\nBob,bob@example.com,Globex",,Inactive\n',
        fault="quote-not-closed",
        says=("line 2",),
    ),
    Case(
        "a stray quote that another column's quote closes",
        HEADER + 'Ada,ada@example.com,"Acme,,Active\nBob",bob@example.com,Globex,,Inactive\n',
        fault="quote-not-closed",
        says=("line 2",),
    ),
    Case(
        "a stray quote that hides whole lines",
        HEADER
        + ADA_LINE
        + 'Eve,eve@example.com,"Acme,,Active\n'
        + BOB_LINE
        + BOB_LINE
        + 'Kim,kim@example.com,"Acme",,Active\n',
        fault="quote-not-closed",
        says=("line 3",),
    ),
    Case(
        "a quote never closed after a good multi-line cell",
        HEADER + '"A\nda",ada@example.com,"Acme,,Active\n',
        fault="quote-not-closed",
        says=("line 3",),
    ),
]

ENCODINGS = [
    Case("UTF-8", row(name="Zoë Łukasz 李"), ada(name="Zoë Łukasz 李")),
    Case("UTF-8 with byte order mark", b"\xef\xbb\xbf" + row(name="Zoë").encode(), ada(name="Zoë")),
    Case("UTF-16 little endian", row(name="Zoë 李").encode("utf-16"), ada(name="Zoë 李")),
    Case("UTF-16 big endian", b"\xfe\xff" + row(name="Zoë 😀").encode("utf-16-be"), ada(name="Zoë 😀")),
    Case("UTF-16 cut in half a character", row().encode("utf-16")[:-1], fault="utf-16-damaged"),
    Case(
        "Windows-1252",
        row(name="Zoë – “€”").encode("cp1252"),
        ada(name="Zoë – “€”"),
        says=("Windows-1252", "Line 2 "),
    ),
    Case(
        "one line of Windows-1252 among UTF-8",
        (HEADER + "Zoë,ada@example.com,Acme,,Active\n").encode()
        + "Chloë,bob@example.com,Globex,+1234567,Inactive\n".encode("cp1252"),
        [*ada(name="Zoë"), ("Chloë", *BOB[1:])],
        says=("Line 3 is not UTF-8",),
    ),
    Case(
        "a byte that Windows-1252 doesn't assign",
        row(name="A\x81da").encode("latin-1"),
        [],
        [(2, "Name", "control-character")],
    ),
    Case("gzip", gzip.compress(row().encode()), [ADA]),
    Case("gzip in two members", gzip.compress(HEADER.encode()) + gzip.compress(ADA_LINE.encode()), [ADA]),
    Case("gzip cut short", gzip.compress(row().encode())[:-9], fault="gzip-truncated"),
    Case("gzip damaged", gzip.compress(row().encode())[:-8] + b"12345678", fault="gzip-damaged"),
    Case("gzip of nothing", gzip.compress(b""), fault="empty"),
    Case(
        "an Excel workbook", b"PK\x03\x04" + bytes(100), fault="not-csv", says=("Excel workbook", "CSV UTF-8")
    ),
    Case(
        "an old Excel workbook",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
        fault="not-csv",
        says=("Excel",),
    ),
    Case("a PDF", b"%PDF-1.7\n" + bytes(100), fault="not-csv", says=("PDF",)),
    Case("an image", b"\x89PNG\r\n\x1a\n" + bytes(100), fault="not-csv", says=("image",)),
    Case("a web page", b"<!DOCTYPE html><html></html>", fault="not-csv", says=("web page",)),
    Case("random bytes", bytes(range(256)) * 4, fault="columns-unknown"),
    Case("zeros", bytes(5000), fault="not-text"),
]

CELLS = [
    Case(
        "required ones empty",
        row(name="", email=" ", company="", phone="12345", status=""),
        [],
        [(2, c, "missing") for c in ("Name", "Email", "Company", "Status")],
    ),
    Case(
        "all problems of a row",
        row(name="", email="nope", phone="12", status="x"),
        [],
        [
            (2, "Name", "missing"),
            (2, "Email", "invalid-email"),
            (2, "Phone", "invalid-phone"),
            (2, "Status", "invalid-status"),
        ],
    ),
    Case("name of 100 characters", row(name="é" * 100), ada(name="é" * 100)),
    Case("name of 101 characters", row(name="é" * 101), [], [(2, "Name", "too-long")]),
    Case("company of 101 characters", row(company="x" * 101), [], [(2, "Company", "too-long")]),
    Case(
        "email of 100 characters", row(email="a" * 88 + "@example.com"), ada(email="a" * 88 + "@example.com")
    ),
    Case("email of 101 characters", row(email="a" * 89 + "@example.com"), [], [(2, "Email", "too-long")]),
    Case(
        "email is lower-cased", row(email="Ada.LOVELACE@Example.COM"), ada(email="ada.lovelace@example.com")
    ),
    Case(
        "two emails in a cell", row(email="a@example.com b@example.com"), [], [(2, "Email", "several-emails")]
    ),
    Case(
        "email with an accent in its domain", row(email="ada@bücher.example"), ada(email="ada@bücher.example")
    ),
    Case("phone separators are removed", row(phone="+1 (555) 010-99.9"), ada(phone="+1555010999")),
    Case("phone of 5 characters", row(phone="12345"), ada(phone="12345")),
    Case("phone of 4 digits and a plus", row(phone="+1234"), ada(phone="+1234")),
    Case("phone of 4 characters", row(phone="1234"), [], [(2, "Phone", "invalid-phone")]),
    Case("phone of 15 characters", row(phone="+12345678901234"), ada(phone="+12345678901234")),
    Case("phone of 16 characters", row(phone="+123456789012345"), [], [(2, "Phone", "invalid-phone")]),
    Case("phone with letters", row(phone="555-CALL"), [], [(2, "Phone", "invalid-phone")]),
    Case("phone with Arabic digits", row(phone="٠١٢٣٤٥٦"), [], [(2, "Phone", "invalid-phone")]),
    Case("phone of separators only", row(phone="(-)"), [], [(2, "Phone", "invalid-phone")]),
    Case("status in any case", row(status="aCTIVE"), [ADA]),
    Case("status not in the list", row(status="Dormant"), [], [(2, "Status", "invalid-status")]),
    *(
        Case(
            f"forbidden character U+{ord(c):04X}", row(name=f"A{c}da"), [], [(2, "Name", "control-character")]
        )
        for c in "\x00\x01\x08\x0e\x1b\x1c\x1f\x7f\u202a\u202e\u2066\u2069"
    ),
    Case(
        "control character in an email",
        row(email="a\x07@example.com"),
        [],
        [(2, "Email", "control-character")],
    ),
    Case("backslash N", row(name="\\N"), ada(name="\\N")),
    Case("backslash dot", row(name="\\."), ada(name="\\.")),
    Case(
        "backslash dot alone on a line",
        HEADER + ADA_LINE + "\\.\n" + BOB_LINE,
        [ADA, BOB],
        [(3, "", "cell-count")],
    ),
    Case("backslashes and quotes", row(company="a\\tb\\\\c'd"), ada(company="a\\tb\\\\c'd")),
    Case("four-byte characters", row(name="😀 𝔘𝔫𝔦"), ada(name="😀 𝔘𝔫𝔦")),
    Case(
        "formulas are stored as they come",
        row(name="=1+1", company="@Acme"),
        ada(name="=1+1", company="@Acme"),
    ),
    Case(
        "an exported formula comes back as it was",
        row(name="'=1+1", phone="'+1234567"),
        ada(name="=1+1", phone="+1234567"),
    ),
    Case("an apostrophe that neutralises nothing stays", row(name="'t Hooft"), ada(name="'t Hooft")),
    Case("HTML is text", row(name="<script>alert(1)</script>"), ada(name="<script>alert(1)</script>")),
]

DUPLICATES = [
    Case(
        "the first row counts",
        HEADER + ADA_LINE + BOB_LINE + "Other,ada@example.com,X,,Active\n",
        [ADA, BOB],
        [(4, "Email", "duplicate")],
    ),
    Case(
        "whatever the spelling",
        HEADER + ADA_LINE + "Ada,ADA@example.com,Acme,,Active\n",
        [ADA],
        [(3, "Email", "duplicate")],
    ),
    Case(
        "a rejected row doesn't count",
        HEADER + "Ada,ada@example.com,,,Active\n" + ADA_LINE,
        [ADA],
        [(2, "Company", "missing")],
    ),
    Case(
        "each later one", HEADER + ADA_LINE * 3, [ADA], [(3, "Email", "duplicate"), (4, "Email", "duplicate")]
    ),
]

CASES = [*COLUMNS, *NO_HEADER, *WHITE_SPACE, *ROWS, *SYNTAX, *ENCODINGS, *CELLS, *DUPLICATES]


def found_problems(run: ImportRun) -> list[tuple[int, str, str]]:
    return [
        (line, problem["column"], problem["code"])
        for line, problems in run.rejected_rows.values_list("line", "problems")
        for problem in problems
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_file(case: Case, import_bytes: ImportBytes) -> None:
    content = case.content.encode() if isinstance(case.content, str) else case.content
    run = import_bytes(content)

    fields = ("name", "email", "company", "phone", "status")
    assert (run.fault_code, found_problems(run)) == (case.fault, case.problems), run.fault
    assert list(Client.objects.order_by("name", "email").values_list(*fields)) == sorted(case.clients)
    for part in case.says:
        assert part in " ".join([run.fault, *(notice.sentence() for notice in run.notices)])
    expected = State.REJECTED if case.fault else State.PARTIAL if case.problems else State.SUCCEEDED
    assert run.state == expected
    assert run.read == run.inserted + run.updated + run.unchanged + run.rejected
    assert run.rejected == run.rejected_rows.count()


@pytest.mark.parametrize("policy", ["reject", "update"])
def test_a_called_off_import_lists_every_row_with_what_is_wrong_with_it(
    policy: str, import_bytes: ImportBytes, settings: Settings
) -> None:
    import_bytes((HEADER + ADA_LINE).encode())
    settings.IMPORT_MAX_REJECTED_PERCENT = 20
    content = HEADER + "Ada II,ada@example.com,Acme,,Active\n" + BOB_LINE * 2 + "Eve,eve,Acme,,Active\n"
    run = import_bytes(content.encode(), policy=policy)

    assert (run.state, run.fault_code) == (State.REJECTED, "too-many-rejected")
    assert found_problems(run) == [
        (2, *(("Email", "conflict") if policy == "reject" else ("", "called-off"))),
        (3, "", "called-off"),
        (4, "Email", "duplicate"),
        (5, "Email", "invalid-email"),
    ]
    assert (run.read, run.rejected, sum(run.problem_counts.values())) == (4, 4, 4)
    assert list(Client.objects.values_list("name", flat=True)) == ["Ada"]


def test_a_status_may_hold_what_files_are_made_of(import_bytes: ImportBytes, settings: Settings) -> None:
    settings.IMPORT_STATUSES = ("Active", "On, hold", "Say “x”", 'Say "x"', "a|b", "Próxima", "In  two")
    lines = [
        "Ada,a@example.com,Acme,,On, hold",
        'Bob,b@example.com,Acme,,"On, hold"',
        'Cid,c@example.com,Acme,,"Say ""x"""',
        "Dan,d@example.com,Acme,,a|b",
        "Eve,e@example.com,Acme,,Próxima",
    ]
    run = import_bytes((HEADER + "\n".join(lines) + "\n").encode())
    assert list(Client.objects.order_by("email").values_list("status", flat=True)) == [
        "On, hold", 'Say "x"', "a|b", "Próxima",
    ]  # fmt: skip
    assert run.problem_counts == {":cell-count": 1}


def test_a_row_over_the_limit_is_a_fault_though_nothing_else_is_wrong_with_it(
    import_bytes: ImportBytes, settings: Settings
) -> None:
    settings.IMPORT_MAX_ROW_CHARACTERS = 60
    run = import_bytes(row(name="A" * 50, company="Acme" * 10).encode())
    assert (run.state, run.fault_code) == (State.REJECTED, "row-too-long")
    assert not Client.objects.exists()


def test_an_update_leaves_alone_who_has_that_data_already(import_bytes: ImportBytes) -> None:
    first = import_bytes((HEADER + ADA_LINE + BOB_LINE).encode())
    second = import_bytes(
        (HEADER + ADA_LINE + BOB_LINE.replace("Globex", "Initech")).encode(), policy="update"
    )
    assert (second.updated, second.unchanged) == (1, 1)
    writers = Client.objects.order_by("email").values_list("changed_by_run", flat=True)
    assert list(writers) == [first.pk, second.pk]
    assert list(ClientChange.objects.values_list("client__email", "company")) == [(BOB[1], "Globex")]
    assert second.rests_on == [first.pk]


def test_problems_are_counted_however_many_kinds_there_are(import_bytes: ImportBytes) -> None:
    kinds = 1_500  # each name is too long by another number of characters
    lines = [f"{'x' * (101 + n)},a{n}@example.com,Acme,,Active\n" for n in range(kinds)]
    run = import_bytes((HEADER + "".join(lines)).encode())
    assert run.problem_counts == {"Name:too-long": kinds}
    assert run.rejected == kinds == run.rejected_rows.count()


def test_a_file_may_have_more_columns_than_a_function_has_arguments(import_bytes: ImportBytes) -> None:
    others = 300
    header = HEADER.strip() + "".join(f",other {n}" for n in range(others)) + "\n"
    run = import_bytes((header + ADA_LINE.strip() + ",x" * others + "\n").encode())
    again = import_bytes(
        (header + ADA_LINE.strip().replace("Acme", "Initech") + ",x" * others + "\n").encode()
    )
    assert (run.inserted, again.problem_counts) == (1, {"Email:conflict": 1})
    assert len(again.rejected_rows.get().cells or []) == 5 + others


def test_a_file_of_long_records_is_read_in_bounded_batches() -> None:
    """Promise 13: each block ends inside a record, and no batch grows with the file."""
    record = b'Ada,ada@example.com,Acme,,Active,"' + (b"x" * 63 + b"\n") * 1023 + b'"\n'
    file = io.BytesIO(HEADER.strip().encode() + b",Notes\n" + record * 60)
    most = max(batch.rows for batch in CsvReader(file))
    assert most <= 3


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp1251", "Иван Петрович Сидоров"),
        ("koi8_r", "Иван Петрович Сидоров"),
        ("shift_jis", "田中太郎さん"),
        ("gb18030", "王小明先生您好"),
        ("euc_kr", "김철수 선생님"),
    ],
)
def test_text_in_another_alphabet_is_refused_rather_than_garbled(
    encoding: str, name: str, import_bytes: ImportBytes
) -> None:
    run = import_bytes(row(name=name).encode(encoding))
    assert (run.fault_code, run.read) == ("encoding-unknown", 0)
    assert "line 2" in run.fault
    assert name not in run.fault


@pytest.mark.parametrize(
    "name", ["Jörg Müller", "Renée Dupré", "José Ángel Núñez", "João Gonçalves", "Zoë – “€”", "Æøå Ðþ"]
)
def test_western_names_are_still_read_as_windows_1252(name: str, import_bytes: ImportBytes) -> None:
    run = import_bytes(row(name=name).encode("cp1252"))
    assert (run.fault_code, run.inserted) == ("", 1)
    assert Client.objects.get().name == name
