"""Staging, COPY, duplicates and conflicts, merge: the import's only raw SQL.

Valid rows go by COPY into a TEMP table, which no other session sees and no write-ahead log pays for;
`merge()` then brings them into `clients` with a handful of set-based statements inside the caller's one
transaction. New clients are inserted in email order, which keeps the email index's pages in memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from clients.importing.columns import BY_FIELD, COLUMNS, Layout

_FIELDS = ", ".join(column.field for column in COLUMNS)
_STAGED = ", ".join(f"s.{column.field}" for column in COLUMNS)

_CREATE = """
    CREATE TEMP TABLE import_valid (
        line integer, name text, email text COLLATE "C", company text, phone text, status text,
        cells jsonb
    );
    CREATE TEMP TABLE import_rejected (line integer, cells jsonb, problems jsonb)
"""
_DROP = "DROP TABLE IF EXISTS import_valid, import_rejected"

# The first of several rows with one email counts, in the order of the email index.
_FIRST_ROWS = "(SELECT DISTINCT ON (email) * FROM import_valid ORDER BY email, line)"

_DIFFERS = {
    # An empty phone is data like any other when the client is to stay as it is …
    "reject": "(c.name, c.company, c.phone, c.status) <> (s.name, s.company, s.phone, s.status)",
    # … and keeps what is stored when the client is to be updated.
    "update": "(c.name, c.company, c.status) <> (s.name, s.company, s.status)"
    " OR (s.phone <> '' AND c.phone <> s.phone)",
}

_COUNT_KNOWN = """
    SELECT count(*), count(DISTINCT c.id), count(*) FILTER (WHERE {differs}),
        array_agg(DISTINCT c.changed_by_run_id) FILTER (WHERE NOT ({differs}))
    FROM import_valid s JOIN clients c USING (email)
"""
_NEW = f"""
    FROM {_FIRST_ROWS} s
    WHERE NOT EXISTS (SELECT FROM clients c WHERE c.email = s.email)
"""
_INSERT_NEW = f"""
    INSERT INTO clients ({_FIELDS}, created_by_run_id, created_from_line, changed_by_run_id)
    SELECT {_STAGED}, %(run)s, s.line, %(run)s {_NEW} ORDER BY s.email
"""
_CHANGED = f"FROM {_FIRST_ROWS} s JOIN clients c USING (email) WHERE {{differs}}"
_KEEP_BEFORE_IMAGES = f"""
    INSERT INTO client_changes
        (client_id, run_id, line, name, company, phone, status, changed_by_run_id, updated_at)
    SELECT c.id, %(run)s, s.line, c.name, c.company, c.phone, c.status, c.changed_by_run_id, c.updated_at
    {_CHANGED}
"""
_KEPT_PHONE = "CASE s.phone WHEN '' THEN c.phone ELSE s.phone END"
_UPDATE_CHANGED = f"""
    UPDATE clients c
    SET name = s.name, company = s.company, status = s.status, phone = {_KEPT_PHONE},
        changed_by_run_id = %(run)s, updated_at = statement_timestamp()
    FROM {_FIRST_ROWS} s
    WHERE c.email = s.email AND ({{differs}})
"""

# Some of what a preview would do, in the file's order.
_SAMPLE_NEW = f"SELECT s.line, {_STAGED} {_NEW} ORDER BY s.line LIMIT {{limit}}"
_OLD = ", ".join(f"c.{column.field}" for column in COLUMNS)
_NEW_DATA = _STAGED.replace("s.phone", _KEPT_PHONE)
_SAMPLE_CHANGED = f"SELECT s.line, c.id, {_OLD}, {_NEW_DATA} {_CHANGED} ORDER BY s.line LIMIT {{limit}}"

# Rows of an error file that came back: their cell at {position} is the line that the run before rejected.
_COUNT_FIXED = """
    SELECT count(DISTINCT s.cells ->> {position})
    FROM import_valid s
    WHERE s.cells ->> {position} IN (SELECT line::text FROM rejected_rows WHERE run_id = %(corrected)s)
    AND NOT EXISTS (SELECT FROM rejected_rows r WHERE r.run_id = %(run)s AND r.line = s.line)
"""

_REJECT = "INSERT INTO rejected_rows (run_id, line, cells, problems) "
_REJECT_INVALID = _REJECT + "SELECT %(run)s, line, cells, problems FROM import_rejected"
_REJECT_CONFLICTS = f"{_REJECT} SELECT %(run)s, s.line, {{cells}}, {{problem}} {_CHANGED}"
_REJECT_DUPLICATES = f"""{_REJECT}
    SELECT %(run)s, s.line, {{cells}}, {{problem}}
    FROM (SELECT *, min(line) OVER (PARTITION BY email) AS first_line FROM import_valid) s
    WHERE s.line <> s.first_line
"""
_REJECT_OTHERS = f"""{_REJECT}
    SELECT %(run)s, s.line, {{cells}}, {{problem}} FROM import_valid s
    WHERE NOT EXISTS (SELECT FROM rejected_rows r WHERE r.run_id = %(run)s AND r.line = s.line)
"""

_EMAIL = BY_FIELD["email"].title
_DUPLICATE_CODE = "duplicate"
_CONFLICT_CODE = "conflict"
_CALLED_OFF_CODE = "called-off"


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the staged valid rows; `duplicates` and `conflicts` are rejected."""

    inserted: int
    updated: int
    unchanged: int
    duplicates: int
    conflicts: int
    rests_on: tuple[int, ...] = ()  # runs that had written the unchanged clients

    @property
    def rejected(self) -> int:
        return self.duplicates + self.conflicts

    @property
    def problem_counts(self) -> dict[str, int]:
        """As ValidatedRows.problem_counts counts them."""
        counts = {_DUPLICATE_CODE: self.duplicates, _CONFLICT_CODE: self.conflicts}
        return {f"{_EMAIL}: {code}": count for code, count in counts.items() if count}


class Staging:
    """The TEMP tables of one import; a context manager that leaves none of them behind."""

    def __init__(self, run_id: int, layout: Layout) -> None:
        self.layout = layout
        self._run = {"run": run_id}

    def __enter__(self) -> "Staging":
        self._execute(f"{_DROP}; {_CREATE}")
        return self

    def __exit__(self, *error: object) -> None:
        # After a lost connection there is nothing to drop, and nobody to ask.
        usable = connection.connection is not None and not connection.connection.closed
        if usable and not connection.in_atomic_block:
            self._execute(_DROP)

    def copy_valid(self, blocks: Iterable[bytes]) -> None:
        """Stream COPY text into the staging table; an error of `blocks` is raised as it is."""
        self._copy(f"COPY import_valid (line, {_FIELDS}, cells) FROM STDIN", blocks)

    def copy_rejected(self, block: bytes) -> None:
        self._copy("COPY import_rejected (line, cells, problems) FROM STDIN", [block])

    def lock_clients(self, seconds: int) -> None:
        """Let nobody else write clients until the transaction ends; readers go on.

        One lock, taken first: no two imports can deadlock, and nobody slips an email in between the
        look and the insert. Waits so many seconds for others to finish theirs.
        """
        self._execute(
            f"SET LOCAL lock_timeout = '{seconds:d}s'; LOCK TABLE clients IN SHARE ROW EXCLUSIVE MODE;"
            " SET LOCAL lock_timeout TO DEFAULT"
        )

    def merge(self, policy: str, *, keep: bool) -> Merged:
        """Sort the staged rows into new, changed, unchanged, duplicate and conflicting ones.

        With `keep` the clients are written; a preview counts the same rows by the same conditions.
        Rejected rows are recorded either way.
        """
        # Estimates for a table without statistics are off by orders of magnitude.
        self._execute("ANALYZE import_valid (line, email); SET LOCAL work_mem = '32MB'")
        staged = self._value("SELECT count(*) FROM import_valid")
        differs = _DIFFERS[policy]
        known, known_clients, differing, writers = self._row(_COUNT_KNOWN.format(differs=differs))
        updated = conflicts = inserted = 0
        if differing and policy == "update":
            updated = self._update(differs, keep)
        elif differing:
            conflicts = self._execute(
                _REJECT_CONFLICTS.format(
                    differs=differs, cells=self._cells, problem=_problem(_CONFLICT_CODE, _CONFLICT)
                )
            )
        if known < staged:
            inserted = self._execute(_INSERT_NEW) if keep else self._value(f"SELECT count(*) {_NEW}")
        duplicates = staged - inserted - known_clients
        if duplicates:
            self._execute(
                _REJECT_DUPLICATES.format(
                    cells=self._cells, problem=_problem(_DUPLICATE_CODE, _DUPLICATE, "s.first_line")
                )
            )
        self._execute(_REJECT_INVALID)
        unchanged = known_clients - updated - conflicts
        rests_on = tuple(run for run in writers or () if run is not None)
        return Merged(inserted, updated, unchanged, duplicates, conflicts, rests_on)

    def sample(self, policy: str, limit: int) -> dict[str, list[Any]]:
        """Some of the clients that merge() would insert, and update (old → new), each with its line."""
        differs = _DIFFERS[policy]
        new = self._rows(_SAMPLE_NEW.format(limit=limit))
        changed = (
            self._rows(_SAMPLE_CHANGED.format(differs=differs, limit=limit)) if policy == "update" else []
        )
        width = len(COLUMNS)
        return {
            "new": [{"line": line, "new": row} for line, *row in new],
            "updated": [
                {"line": line, "client": pk, "old": row[:width], "new": row[width:]}
                for line, pk, *row in changed
            ],
        }

    def count_fixed(self, corrected: int, position: int) -> int:
        """After merge(): how many rows that the run `corrected` had rejected are in now. `position` is the
        cell that says on which line of that run's file a row stood."""
        return self._value(_COUNT_FIXED.format(position=position), corrected=corrected)

    def call_off(self) -> dict[str, int]:
        """Reject the staged rows that merge() found nothing wrong with, too; their problem and its count."""
        problem = _problem(_CALLED_OFF_CODE, _CALLED_OFF)
        count = self._execute(_REJECT_OTHERS.format(cells=self._cells, problem=problem))
        return {f": {_CALLED_OFF_CODE}": count} if count else {}

    def _update(self, differs: str, keep: bool) -> int:
        if not keep:
            return self._value(f"SELECT count(*) {_CHANGED.format(differs=differs)}")
        updated = self._execute(_KEEP_BEFORE_IMAGES.format(differs=differs))
        self._execute(_UPDATE_CHANGED.format(differs=differs))
        return updated

    @property
    def _cells(self) -> str:
        """SQL for a staged row's cells in the file's order: as they came, or the canonical ones."""
        fields = {
            position: column.field for column, position in zip(COLUMNS, self.layout.positions, strict=True)
        }
        built = ", ".join(f"s.{fields[n]}" if n in fields else "''" for n in range(self.layout.width))
        return f"COALESCE(s.cells, jsonb_build_array({built}))"

    def _copy(self, statement: str, blocks: Iterable[bytes]) -> None:
        source = _CopySource(blocks)
        with connection.cursor() as cursor:
            cursor.cursor.copy_expert(statement, source, 64 * 1024)
        if source.error:
            raise source.error

    def _execute(self, statement: str) -> int:
        """Run a statement, return how many rows it touched."""
        with connection.cursor() as cursor:
            cursor.execute(statement, self._run)
            return int(cursor.rowcount)

    def _rows(self, statement: str, **arguments: int) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, {**self._run, **arguments})
            return list(cursor.fetchall())

    def _row(self, statement: str, **arguments: int) -> tuple[Any, ...]:
        return self._rows(statement, **arguments)[0]

    def _value(self, statement: str, **arguments: int) -> int:
        return int(self._row(statement, **arguments)[0])


class _CopySource:
    """A file for psycopg2's COPY over blocks. psycopg2 would bury an error of theirs in one of its own:
    the COPY is ended instead and the error kept. What was staged so far is of no use, and goes unused."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks: Iterator[bytes] = iter(blocks)
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:  # psycopg2 sends what it gets, whatever its size
        try:
            return next(filter(None, self._blocks), b"")
        except BaseException as error:  # noqa: BLE001
            self.error = error
            return b""


_DUPLICATE = (
    "The email stands in this file before, on line %s. "
    "The first row counts; remove this one or mend its email."
)
_CONFLICT = (
    "A client with this email exists with other data and was left as it is. "
    "Upload the row with the option to update existing clients, or remove it."
)
_CALLED_OFF = (
    "Nothing is wrong with this row. The import was called off because too many other rows were rejected."
)


def _problem(code: str, message: str, *arguments: str) -> str:
    """SQL for a row's one problem; `arguments` are SQL expressions for the message's %s."""
    literal = "'{}'".format(message.replace("'", "''").replace("%", "%%"))
    text = f"format({', '.join([literal, *arguments])})"
    column = "" if code == _CALLED_OFF_CODE else _EMAIL
    return (
        "jsonb_build_array(jsonb_build_object("
        f"'column', '{column}', 'code', '{code}', 'message', {text}::text))"
    )
