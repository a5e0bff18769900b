"""Undo: takes back what one import run did, in one transaction, by a handful of set-based statements.

Clients that the run inserted are deleted, clients that it updated are put back as they were, and whatever
somebody wrote since (a person, a later run) is left alone and listed. docs/adr/0008 has the reasons.
"""

import logging
from dataclasses import asdict, dataclass, field
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import connection, transaction
from psycopg2.sql import SQL, Composable, Identifier, Literal

from clients.contract.columns import DATA
from clients.models.import_run import ImportRun
from clients.models.states import Mode, State

logger = logging.getLogger(__name__)

LISTED = 1_000  # clients left alone that are named one by one

# `c` is a client that the run wrote, as long as nobody has written it since; `b` is its before-image. What an
# undone run had written is not put back: it would bring that run's data back.
_FRAGMENTS: dict[str, Composable] = {
    "inserted": SQL("FROM clients c WHERE c.created_by_run_id = %(run)s AND c.changed_by_run_id = %(run)s"),
    "before": SQL("""
        FROM client_changes b
        WHERE b.run_id = %(run)s AND NOT EXISTS (
            SELECT FROM import_runs r WHERE r.id = b.changed_by_run_id AND r.state = 'undone')
    """),
}
_FRAGMENTS["updated"] = SQL("""
    FROM clients c JOIN (SELECT b.* {before}) b ON b.client_id = c.id WHERE c.changed_by_run_id = %(run)s
""").format(**_FRAGMENTS)
_FRAGMENTS["left_alone"] = SQL("""
    FROM clients c
    WHERE c.created_by_run_id = %(run)s AND c.changed_by_run_id IS DISTINCT FROM %(run)s
    OR c.id IN (SELECT client_id FROM client_changes WHERE run_id = %(run)s)
    AND NOT (c.changed_by_run_id IS NOT DISTINCT FROM %(run)s AND c.id IN (SELECT b.client_id {before}))
""").format(**_FRAGMENTS)

_NO_LIMIT = SQL("SET LOCAL statement_timeout = 0")
_LOCK = SQL("LOCK TABLE clients IN SHARE ROW EXCLUSIVE MODE")
_COUNT = SQL("""
    SELECT (SELECT count(*) {inserted}), (SELECT count(*) {updated}), (SELECT count(*) {left_alone})
""").format(**_FRAGMENTS)
_LIST = SQL("SELECT c.id, c.changed_by_run_id {left_alone} ORDER BY c.id LIMIT {limit}").format(
    limit=Literal(LISTED), **_FRAGMENTS
)
_DELETE = SQL("DELETE {inserted}").format(**_FRAGMENTS)
_PUT_BACK = SQL("""
    UPDATE clients c SET {data}, changed_by_run_id = b.changed_by_run_id, updated_at = b.updated_at
    FROM (SELECT b.* {before}) b WHERE b.client_id = c.id AND c.changed_by_run_id = %(run)s
""").format(
    data=SQL(", ").join(SQL("{0} = b.{0}").format(Identifier(column.field)) for column in DATA),
    **_FRAGMENTS,
)


class UndoRefused(Exception):
    """The run can't be undone; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What an undo does, or did. `left_alone` clients were written since; `listed` names them, up to LISTED,
    as [client id, run that wrote it or None for a person]."""

    removed: int
    restored: int
    left_alone: int
    listed: list[tuple[int, int | None]] = field(default_factory=list)


def why_not(run: ImportRun) -> str:
    """Why the run can't be undone; empty when it can."""
    if run.mode == Mode.PREVIEW:
        return "A preview changed nothing; there is nothing to undo."
    if run.state == State.UNDONE:
        return "This run was undone already."
    if run.state not in (State.SUCCEEDED, State.PARTIAL):
        return "This run changed nothing; there is nothing to undo."
    if not (run.inserted or run.updated or run.rests_on):
        return "This run changed nothing; there is nothing to undo."
    later = ImportRun.objects.filter(
        rests_on__contains=[run.pk], state__in=(State.SUCCEEDED, State.PARTIAL)
    ).first()
    if later:
        return (
            f"Run {later.pk} came later and found clients just as this run had left them, so they belong to "
            f"its file, too. Undoing this run would take them away from it. Undo run {later.pk} first."
        )
    return ""


def effect_of(run: ImportRun) -> Effect:
    """What undoing the run would do now; nothing is changed."""
    [(removed, restored, left_alone)] = _rows(_COUNT, run.pk)
    listed = _rows(_LIST, run.pk) if left_alone else []
    return Effect(removed, restored, left_alone, listed)


def undo(run_id: int) -> ImportRun:
    """Undo the run as it was asked for; safe to repeat.

    Returns it, undone. Raises UndoRefused when it can't be (any more); nothing is changed then.
    """
    with transaction.atomic():
        # An import that this worker did before may have left its own, short limit on the connection.
        _execute(_NO_LIMIT, run_id)
        _execute(_LOCK, run_id)
        run = ImportRun.objects.select_for_update(of=("self",)).get(pk=run_id)
        if run.state == State.UNDONE:
            return run
        if reason := why_not(run):
            raise UndoRefused(reason)
        left = effect_of(run)
        # First what was updated: the deletion below can't touch it either way.
        restored = _execute(_PUT_BACK, run_id)
        removed = _execute(_DELETE, run_id)
        effect = Effect(removed, restored, left.left_alone, left.listed)
        run.undo(undo_result=asdict(effect))
        if run.undo_requested_by_id:
            entries: Any = LogEntry.objects
            did = f"Undid run {run.pk}: {describe(effect)}."
            entries.log_actions(run.undo_requested_by_id, [run], CHANGE, did, single_object=True)
    logger.info("undone", extra={"run": run.pk, "removed": removed, "restored": restored})
    return run


def describe(effect: Effect) -> str:
    """The effect in words."""
    return (
        f"{effect.removed:,} clients removed, {effect.restored:,} put back as they were, "
        f"{effect.left_alone:,} left alone because they were changed since"
    )


def _execute(statement: Composable, run_id: int) -> int:
    """Returns how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement.as_string(cursor.cursor), {"run": run_id})
        return int(cursor.rowcount)


def _rows(statement: Composable, run_id: int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement.as_string(cursor.cursor), {"run": run_id})
        return list(cursor.fetchall())
