"""Staging, COPY, duplicates and conflicts, merge: the import's only raw SQL.

A file's rows go by COPY into a TEMP table, which no other session sees and no write-ahead log pays for;
`merge()` then brings the valid ones into `clients` with a handful of set-based statements inside the caller's
one transaction. New clients are inserted in email order, which keeps the email index's pages in memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from clients.contract.columns import BY_FIELD, COLUMNS
from clients.contract.layout import Layout
from clients.contract.problems import ProblemKind

_FIELDS = ", ".join(column.field for column in COLUMNS)
_STAGED = ", ".join(f"s.{column.field}" for column in COLUMNS)

_CREATE = """
    CREATE TEMP TABLE import_rows (
        line integer, cells jsonb, problems jsonb,
        name text, email text COLLATE "C", company text, phone text DEFAULT '', status text
    )
"""
_DROP = "DROP TABLE IF EXISTS import_rows"

# Estimates for a table without statistics are off by orders of magnitude; rough ones do. A join of a million
# rows fits into that memory, and no two imports are here at once.
_PREPARE = """
    SET LOCAL default_statistics_target = 10; ANALYZE import_rows (line, email);
    SET LOCAL work_mem = '64MB'
"""

_VALID = "(SELECT * FROM import_rows WHERE problems IS NULL)"
# The first of several rows with one email counts, in the order of the email index.
_FIRST_ROWS = "(SELECT DISTINCT ON (email) * FROM import_rows WHERE problems IS NULL ORDER BY email, line)"

_KEPT_PHONE = "CASE s.phone WHEN '' THEN c.phone ELSE s.phone END"
_OLD = ", ".join(f"c.{column.field}" for column in COLUMNS)
_DIFFERS = {
    # An empty phone is data like any other when the client is to stay as it is …
    "reject": "(c.name, c.company, c.phone, c.status) <> (s.name, s.company, s.phone, s.status)",
    # … and keeps what is stored when the client is to be updated.
    "update": f"(c.name, c.company, c.phone, c.status) <> (s.name, s.company, {_KEPT_PHONE}, s.status)",
}

# One look at the clients that the file knows, for all that is to be done with them and said about them: how
# many they are, how many have other data, and which runs had written the others.
_KNOWN = f"""
    WITH known AS MATERIALIZED (
        SELECT c.changed_by_run_id, {{differs}} AS differs, {{columns}}
        FROM {_FIRST_ROWS} s JOIN clients c USING (email)
    ) {{effects}}
    SELECT count(*), count(*) FILTER (WHERE differs),
        array_agg(DISTINCT changed_by_run_id) FILTER (WHERE NOT differs)
    FROM known
"""
_REJECT = "INSERT INTO rejected_rows (run_id, line, cells, problems)"
_REJECT_CONFLICTS = f"""
    , rejected AS ({_REJECT} SELECT %(run)s, s.line, {{cells}}, {{problem}} FROM known s WHERE differs)
"""
_OLD_AND_NEW = f"""
    c.id, s.line, s.name, s.company, {_KEPT_PHONE} AS phone, s.status, c.name AS old_name,
    c.company AS old_company, c.phone AS old_phone, c.status AS old_status, c.updated_at
"""
_UPDATE = """
    , kept AS (
        INSERT INTO client_changes
            (client_id, run_id, line, name, company, phone, status, changed_by_run_id, updated_at)
        SELECT id, %(run)s, line, old_name, old_company, old_phone, old_status, changed_by_run_id, updated_at
        FROM known WHERE differs
    ), updated AS (
        UPDATE clients c
        SET name = s.name, company = s.company, status = s.status, phone = s.phone,
            changed_by_run_id = %(run)s, updated_at = statement_timestamp()
        FROM known s WHERE c.id = s.id AND s.differs
    )
"""

_IS_NEW = "NOT EXISTS (SELECT FROM clients c WHERE c.email = s.email)"
_INSERT_NEW = f"""
    INSERT INTO clients ({_FIELDS}, created_by_run_id, created_from_line, changed_by_run_id)
    SELECT {_STAGED}, %(run)s, s.line, %(run)s FROM {_FIRST_ROWS} s WHERE {{is_new}} ORDER BY s.email
"""
_COUNT_NEW = f"SELECT count(*) FROM {_FIRST_ROWS} s WHERE {{is_new}}"

# Some of what a preview would do, in the file's order.
_SAMPLE_NEW = f"SELECT s.line, {_STAGED} FROM {_FIRST_ROWS} s WHERE {_IS_NEW} ORDER BY s.line LIMIT {{limit}}"
_SAMPLE_CHANGED = f"""
    SELECT s.line, c.id, {_OLD}, {_STAGED.replace("s.phone", _KEPT_PHONE)}
    FROM {_FIRST_ROWS} s JOIN clients c USING (email) WHERE {_DIFFERS["update"]}
    ORDER BY s.line LIMIT {{limit}}
"""

# Rows of an error file that came back: their cell at {position} is the line that the run before rejected.
_COUNT_FIXED = f"""
    SELECT count(DISTINCT s.cells ->> {{position}})
    FROM {_VALID} s
    WHERE s.cells ->> {{position}} IN (SELECT line::text FROM rejected_rows WHERE run_id = %(corrected)s)
    AND NOT EXISTS (SELECT FROM rejected_rows r WHERE r.run_id = %(run)s AND r.line = s.line)
"""

_REJECT_INVALID = f"""{_REJECT}
    SELECT %(run)s, line, cells, problems FROM import_rows WHERE problems IS NOT NULL
"""
_REJECT_DUPLICATES = f"""{_REJECT}
    SELECT %(run)s, s.line, {{cells}}, {{problem}}
    FROM (SELECT *, min(line) OVER (PARTITION BY email) AS first_line FROM {_VALID} valid) s
    WHERE s.line <> s.first_line
"""
_REJECT_OTHERS = f"""{_REJECT}
    SELECT %(run)s, s.line, {{cells}}, {{problem}} FROM {_VALID} s
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
        return {ProblemKind(_EMAIL, code).key: count for code, count in counts.items() if count}


class Staging:
    """The TEMP table of one import; a context manager that leaves nothing of it behind."""

    def __init__(self, run_id: int, layout: Layout) -> None:
        self.layout = layout
        self._run = {"run": run_id}
        self._copied = 0  # rows

    def __enter__(self) -> "Staging":
        self._execute(f"{_DROP}; {_CREATE}")
        return self

    def __exit__(self, *error: object) -> None:
        # After a lost connection there is nothing to drop, and nobody to ask.
        usable = connection.connection is not None and not connection.connection.closed
        if usable and not connection.in_atomic_block:
            self._execute(_DROP)

    def copy(self, columns: Sequence[str], blocks: Iterable[bytes]) -> None:
        """Stream COPY text into the staging table; an error of `blocks` is raised as it is."""
        source = _CopySource(blocks)
        with connection.cursor() as cursor:
            cursor.cursor.copy_expert(f"COPY import_rows ({', '.join(columns)}) FROM STDIN", source)
            self._copied += cursor.rowcount
        if source.error:
            raise source.error

    def lock_clients(self, seconds: int) -> None:
        """Let nobody else write clients until the transaction ends; readers go on.

        One lock, taken first: no two imports can deadlock, and nobody slips an email in between the
        look and the insert. Waits so many seconds for others to finish theirs.
        """
        self._execute(
            f"SET LOCAL lock_timeout = '{seconds:d}s'; LOCK TABLE clients IN SHARE ROW EXCLUSIVE MODE;"
            " SET LOCAL lock_timeout TO DEFAULT"
        )

    def merge(self, policy: str, valid: int, *, keep: bool) -> Merged:
        """Sort the staged rows, so many of them `valid`, into new, changed, unchanged, duplicate and
        conflicting ones.

        With `keep` the clients are written; a preview counts the same rows by the same conditions.
        Rejected rows are recorded either way.
        """
        self._execute(_PREPARE)
        known, differing, writers = self._row(self._look_at_known(policy, keep=keep))
        inserted = 0
        if known < valid:
            inserted = self._insert(_IS_NEW if known else "true", keep=keep)
        duplicates = valid - known - inserted
        if duplicates:
            self._execute(
                _REJECT_DUPLICATES.format(
                    cells=self._cells, problem=_problem(_DUPLICATE_CODE, line="s.first_line")
                )
            )
        if valid < self._copied:
            self._execute(_REJECT_INVALID)
        is_update = policy == "update"
        return Merged(
            inserted,
            updated=differing if is_update else 0,
            unchanged=known - differing,
            duplicates=duplicates,
            conflicts=0 if is_update else differing,
            rests_on=tuple(run for run in writers or () if run is not None),
        )

    def sample(self, policy: str, limit: int) -> dict[str, list[Any]]:
        """Some of the clients that merge() would insert, and update (old → new), each with its line."""
        new = self._rows(_SAMPLE_NEW.format(limit=limit))
        changed = self._rows(_SAMPLE_CHANGED.format(limit=limit)) if policy == "update" else []
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
        problem = _problem(_CALLED_OFF_CODE)
        count = self._execute(_REJECT_OTHERS.format(cells=self._cells, problem=problem))
        return {ProblemKind("", _CALLED_OFF_CODE).key: count} if count else {}

    def _look_at_known(self, policy: str, *, keep: bool) -> str:
        """SQL that does to known clients what the policy says, and counts them."""
        if policy == "update":
            columns, effects = _OLD_AND_NEW, _UPDATE if keep else ""
        else:
            columns = "s.*"
            effects = _REJECT_CONFLICTS.format(cells=self._cells, problem=_problem(_CONFLICT_CODE))
        return _KNOWN.format(differs=_DIFFERS[policy], columns=columns, effects=effects)

    def _insert(self, is_new: str, *, keep: bool) -> int:
        if not keep:
            return self._value(_COUNT_NEW.format(is_new=is_new))
        return self._execute(_INSERT_NEW.format(is_new=is_new))

    @property
    def _cells(self) -> str:
        """SQL for a staged row's cells in the file's order: as they came, or the canonical ones."""
        fields = {
            position: column.field for column, position in zip(COLUMNS, self.layout.positions, strict=True)
        }
        built = ", ".join(f"s.{fields[n]}" if n in fields else "''" for n in range(self.layout.width))
        # Not jsonb_build_array(): a function takes at most a hundred arguments.
        return f"COALESCE(s.cells, to_jsonb(ARRAY[{built}]))"

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


def _problem(code: str, **params: str) -> str:
    """SQL for a row's one problem; `params` are SQL expressions for what its sentence needs."""
    column = "" if code == _CALLED_OFF_CODE else _EMAIL
    pairs = ", ".join(f"'{name}', {expression}" for name, expression in params.items())
    return (
        "jsonb_build_array(jsonb_build_object("
        f"'column', '{column}', 'code', '{code}', 'params', jsonb_build_object({pairs})))"
    )
