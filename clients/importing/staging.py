"""Staging and merging: a file's rows go by COPY into a TEMP table, and from there into `clients`.

The merge is a handful of set-based statements (clients.importing.statements) inside the caller's one
transaction. COPY *pulls*: the database driver asks for the next block whenever the server has taken one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from psycopg2.sql import SQL, Composable, Identifier

from clients.contract.columns import COLUMNS, KEY
from clients.contract.layout import Layout
from clients.contract.problems import Problem, ProblemKind
from clients.contract.updates import UpdatePlan
from clients.importing import statements
from clients.importing.statements import Statements

_DUPLICATE = Problem(KEY.title, "duplicate")
_CONFLICT = Problem(KEY.title, "conflict")
_UNKNOWN = Problem(KEY.title, "unknown-client")
_CALLED_OFF = Problem("", "called-off")


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the staged valid rows; `rejections` are those that the merge found at fault."""

    inserted: int
    updated: int
    unchanged: int
    rejections: dict[ProblemKind, int]
    rests_on: tuple[int, ...] = ()  # runs that had written the unchanged clients

    @property
    def rejected(self) -> int:
        return sum(self.rejections.values())


class Staging:
    """The TEMP table of one import; a context manager that leaves nothing of it behind."""

    def __init__(self, run_id: int, layout: Layout, delimiter: str, plan: UpdatePlan) -> None:
        self._statements = Statements(layout, plan)
        self._missing = [
            column.title
            for column, feed in zip(COLUMNS, layout.feeds, strict=True)
            if column.required and not feed.candidates and not feed.default
        ]
        defaults = {
            f"default_{column.field}": feed.default
            for column, feed in zip(COLUMNS, layout.feeds, strict=True)
        }
        self._values: dict[str, Any] = {
            "run": run_id,
            "delimiter": delimiter,
            "keep_status": plan.keep_status,
            **defaults,
        }
        self._copied = 0  # rows

    def __enter__(self) -> "Staging":
        self._execute(statements.DROP)
        self._execute(statements.CREATE)
        return self

    def __exit__(self, *error: object) -> None:
        # After a lost connection there is nothing to drop, and nobody to ask.
        usable = connection.connection is not None and not connection.connection.closed
        if usable and not connection.in_atomic_block:
            self._execute(statements.DROP)

    def copy(self, columns: Sequence[str], blocks: Iterable[bytes]) -> None:
        """Stream COPY text into the staging table; an error of `blocks` is raised as it is."""
        source = _CopySource(blocks)
        copy = SQL("COPY import_rows ({}) FROM STDIN").format(SQL(", ").join(map(Identifier, columns)))
        with connection.cursor() as cursor:
            cursor.cursor.copy_expert(copy, source)
            self._copied += cursor.rowcount
        if source.error:
            raise source.error

    def lock_clients(self, seconds: int) -> None:
        """Let nobody else write clients until the transaction ends; waits so many seconds for others."""
        self._execute(statements.LOCK_CLIENTS, timeout=f"{seconds}s")

    def merge(self, policy: str, valid: int, *, keep: bool) -> Merged:
        """Sort the staged rows, so many of them `valid`, into new, changed, unchanged and rejected ones.

        With `keep` the clients are written; a preview counts the same rows by the same conditions.
        Rejected rows are recorded either way.
        """
        self._execute(statements.PREPARE)
        is_update = policy == "update"
        if is_update:
            known, differing, writers = self._row(self._statements.update_known(keep=keep))
        else:
            known, differing, writers = self._row(
                self._statements.reject_known(), problem=_as_json(_CONFLICT)
            )
        inserted = unknown = 0
        if known < valid and self._missing:
            unknown = self._reject(self._statements.reject_new(), self._unknown_problem)
        elif known < valid:
            inserted = self._insert(all_are_new=not known, keep=keep)
        duplicates = valid - known - inserted - unknown
        if duplicates:
            self._reject(self._statements.reject_duplicates(), _DUPLICATE)
        if valid < self._copied:
            self._execute(statements.REJECT_INVALID)
        rejections = {
            _DUPLICATE.kind: duplicates,
            _UNKNOWN.kind: unknown,
            _CONFLICT.kind: 0 if is_update else differing,
        }
        return Merged(
            inserted,
            updated=differing if is_update else 0,
            unchanged=known - differing,
            rejections={kind: count for kind, count in rejections.items() if count},
            rests_on=tuple(run for run in writers or () if run is not None),
        )

    def sample(self, policy: str, limit: int) -> dict[str, list[Any]]:
        """Some of the clients that merge() would insert, and update (old → new), each with its line."""
        new = self._rows(self._statements.sample_new(), limit=limit)
        changed = self._rows(self._statements.sample_updated(), limit=limit) if policy == "update" else []
        width = len(COLUMNS)
        return {
            "new": [{"line": line, "new": row} for line, *row in new] if not self._missing else [],
            "updated": [
                {"line": line, "client": pk, "old": row[:width], "new": row[width:]}
                for line, pk, *row in changed
            ],
        }

    def count_fixed(self, corrected: int, position: int) -> int:
        """After merge(): how many rows that the run `corrected` had rejected are in now. `position` is the
        cell that says on which line of that run's file a row stood."""
        [count] = self._row(statements.COUNT_FIXED, corrected=corrected, position=position)
        return int(count)

    def call_off(self) -> dict[ProblemKind, int]:
        """Reject the staged rows that merge() found nothing wrong with, too; their problem and its count."""
        count = self._reject(self._statements.reject_others(), _CALLED_OFF)
        return {_CALLED_OFF.kind: count} if count else {}

    @property
    def _unknown_problem(self) -> Problem:
        return _UNKNOWN._replace(params=(("missing", ", ".join(self._missing)),))

    def _insert(self, *, all_are_new: bool, keep: bool) -> int:
        if keep:
            return self._execute(self._statements.insert_new(all_are_new=all_are_new))
        [count] = self._row(self._statements.count_new())
        return int(count)

    def _reject(self, statement: Composable, problem: Problem) -> int:
        return self._execute(statement, problem=_as_json(problem))

    def _execute(self, statement: Composable, **values: Any) -> int:
        """Run a statement, return how many rows it touched."""
        with connection.cursor() as cursor:
            cursor.execute(_text(statement, cursor), {**self._values, **values})
            return int(cursor.rowcount)

    def _rows(self, statement: Composable, **values: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(_text(statement, cursor), {**self._values, **values})
            return list(cursor.fetchall())

    def _row(self, statement: Composable, **values: Any) -> tuple[Any, ...]:
        return self._rows(statement, **values)[0]


def _text(statement: Composable, cursor: Any) -> str:
    return statement.as_string(cursor.cursor)


def _as_json(problem: Problem) -> str:
    return json.dumps(problem.as_stored())


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
