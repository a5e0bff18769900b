"""The SQL of an import, composed from the contract's columns: the email, the key, is the only one it knows.

`s` is a staged row, `c` a client. A staged value that is NULL means that the file says nothing there. Values
travel as parameters: `run`, `default_<field>`, and what a statement names besides.
"""

from collections.abc import Callable, Iterable

from psycopg2.sql import SQL, Composable, Composed, Identifier, Placeholder

from clients.contract.columns import COLUMNS, DATA, KEY, Column
from clients.contract.layout import Feed, Layout
from clients.contract.updates import UpdatePlan, UpdateRule


def _listed(columns: Iterable[Column], of: Callable[[Column], Composable]) -> Composed:
    return SQL(", ").join(map(of, columns))


def _name(column: Column) -> Composable:
    return Identifier(column.field)


def _staged(column: Column) -> Composable:
    return SQL("s.{}").format(Identifier(column.field))


def _stored(column: Column) -> Composable:
    return SQL("c.{}").format(Identifier(column.field))


def _old(column: Column) -> Composable:
    return Identifier(f"old_{column.field}")


def _type(column: Column) -> Composable:
    # The email is compared and sorted as in the index of the clients table.
    return SQL('{} text COLLATE "C"' if column is KEY else "{} text").format(_name(column))


# --- what is the same for every file ----------------------------------------------------------------

DROP = SQL("DROP TABLE IF EXISTS import_rows")
# A TEMP table: no other session sees it, and no write-ahead log pays for it.
CREATE = SQL(
    "CREATE TEMP TABLE import_rows (line integer, raw text, cells jsonb, problems jsonb, {columns})"
).format(columns=_listed(COLUMNS, _type))
# Without statistics the planner's estimates are off by orders of magnitude; rough ones do. A join of a
# million rows fits into that memory, and no two imports are here at once.
PREPARE = SQL("""
    SET LOCAL default_statistics_target = 10;
    ANALYZE import_rows (line, {key});
    SET LOCAL work_mem = '64MB'
""").format(key=_name(KEY))

# One lock, taken first: no two imports can deadlock, and nobody slips an email in between the look at the
# known clients and the insert. Readers go on.
LOCK_CLIENTS = SQL("""
    SET LOCAL lock_timeout = %(timeout)s;
    LOCK TABLE clients IN SHARE ROW EXCLUSIVE MODE;
    SET LOCAL lock_timeout TO DEFAULT
""")

_FRAGMENTS = {
    "key": _name(KEY),
    "valid": SQL("(SELECT * FROM import_rows WHERE problems IS NULL)"),
    # The first of several rows with one email counts, in the order of the email index.
    "first_rows": SQL(
        "(SELECT DISTINCT ON ({key}) * FROM import_rows WHERE problems IS NULL ORDER BY {key}, line)"
    ).format(key=_name(KEY)),
    "is_new": SQL("NOT EXISTS (SELECT FROM clients c WHERE c.{key} = s.{key})").format(key=_name(KEY)),
    # A row's cells as they came, where that is kept.
    "came": SQL("COALESCE(s.cells, to_jsonb(string_to_array(s.raw, %(delimiter)s)))"),
    "reject": SQL("INSERT INTO rejected_rows (run_id, line, cells, problems)"),
    "is_not_rejected": SQL(
        "NOT EXISTS (SELECT FROM rejected_rows r WHERE r.run_id = %(run)s AND r.line = s.line)"
    ),
}


def _compose(text: str, **parts: Composable) -> Composed:
    return SQL(text).format(**{**_FRAGMENTS, **parts})


REJECT_INVALID = _compose("""
    {reject} SELECT %(run)s, line, cells, problems FROM import_rows WHERE problems IS NOT NULL
""")
# Rows of an error file that came back: their cell at `position` is the line that the run before rejected.
COUNT_FIXED = _compose("""
    SELECT count(DISTINCT {came} ->> %(position)s) FROM {valid} s
    WHERE {came} ->> %(position)s IN (SELECT line::text FROM rejected_rows WHERE run_id = %(corrected)s)
    AND {is_not_rejected}
""")


# --- what depends on the file's columns, and on what it may change ----------------------------------


class Statements:
    """The statements for files of one layout, under one plan."""

    def __init__(self, layout: Layout, plan: UpdatePlan) -> None:
        self._layout = layout
        self._plan = plan
        self._feeds = {column.field: feed for column, feed in zip(COLUMNS, layout.feeds, strict=True)}

    def reject_known(self) -> Composed:
        """Reject first rows whose client has other data; count all known, those, and who wrote the others.

        Returns (known, differing, runs that wrote the others) as one row; so does the next one.
        """
        said = [column for column in DATA if self._is_fed(column)]
        effects = _compose(
            ", rejected AS ({reject} SELECT %(run)s, s.line, {cells}, {problem} FROM known s WHERE differs)",
            cells=self._cells,
            problem=_PROBLEM,
        )
        return self._look_at_known(_differ(said, self._as_said), SQL("s.*"), effects)

    def update_known(self, *, keep: bool) -> Composed:
        """Give known clients the file's data and keep what they had; a preview only counts."""
        columns = SQL("c.id, s.line, {new}, {old}, c.updated_at").format(
            new=_listed(DATA, lambda column: SQL("{} AS {}").format(self._as_updated(column), _name(column))),
            old=_listed(DATA, lambda column: SQL("{} AS {}").format(_stored(column), _old(column))),
        )
        effects = _UPDATE if keep else SQL("")
        return self._look_at_known(_differ(DATA, self._as_updated), columns, effects)

    def _look_at_known(self, differs: Composable, columns: Composable, effects: Composable) -> Composed:
        """One look at the clients that the file knows, for all that is done with them and said about them."""
        return _compose(
            """
            WITH known AS MATERIALIZED (
                SELECT c.changed_by_run_id, {differs} AS differs, {columns}
                FROM {first_rows} s JOIN clients c USING ({key})
            ) {effects}
            SELECT count(*), count(*) FILTER (WHERE differs),
                array_agg(DISTINCT changed_by_run_id) FILTER (WHERE NOT differs)
            FROM known
            """,
            differs=differs,
            columns=columns,
            effects=effects,
        )

    def insert_new(self, *, all_are_new: bool) -> Composed:
        """Insert first rows without a client, in email order: it keeps the email index's pages in memory."""
        return _compose(
            """
            INSERT INTO clients ({names}, created_by_run_id, created_from_line, changed_by_run_id)
            SELECT {values}, %(run)s, s.line, %(run)s FROM {first_rows} s WHERE {condition} ORDER BY s.{key}
            """,
            names=_listed(COLUMNS, _name),
            values=_listed(COLUMNS, self._as_new),
            condition=SQL("true") if all_are_new else _FRAGMENTS["is_new"],
        )

    def count_new(self) -> Composed:
        return _compose("SELECT count(*) FROM {first_rows} s WHERE {is_new}")

    def reject_new(self) -> Composed:
        """Reject first rows without a client."""
        return _compose(
            "{reject} SELECT %(run)s, s.line, {cells}, {problem} FROM {first_rows} s WHERE {is_new}",
            cells=self._cells,
            problem=_PROBLEM,
        )

    def reject_duplicates(self) -> Composed:
        return _compose(
            """
            {reject} SELECT %(run)s, s.line, {cells}, {problem}
            FROM (SELECT *, min(line) OVER (PARTITION BY {key}) AS first_line FROM {valid} valid) s
            WHERE s.line <> s.first_line
            """,
            cells=self._cells,
            problem=_PROBLEM_WITH_LINE,
        )

    def reject_others(self) -> Composed:
        """Reject the valid rows that nothing has rejected."""
        return _compose(
            "{reject} SELECT %(run)s, s.line, {cells}, {problem} FROM {valid} s WHERE {is_not_rejected}",
            cells=self._cells,
            problem=_PROBLEM,
        )

    def sample_new(self) -> Composed:
        """Some of the clients that would be inserted, in the file's order."""
        return _compose(
            "SELECT s.line, {values} FROM {first_rows} s WHERE {is_new} ORDER BY s.line LIMIT %(limit)s",
            values=_listed(COLUMNS, self._as_new),
        )

    def sample_updated(self) -> Composed:
        """Some of the clients that would be updated, as they are and as they would be."""
        return _compose(
            """
            SELECT s.line, c.id, {stored}, {updated} FROM {first_rows} s JOIN clients c USING ({key})
            WHERE {differs} ORDER BY s.line LIMIT %(limit)s
            """,
            stored=_listed(COLUMNS, _stored),
            updated=_listed(COLUMNS, self._as_updated),
            differs=_differ(DATA, self._as_updated),
        )

    # --- a column's value, as it is looked at

    def _is_fed(self, column: Column) -> bool:
        return self._feeds[column.field] != Feed()

    def _as_said(self, column: Column) -> Composable:
        """What the file says, and what is stored where it says nothing."""
        if not self._feeds[column.field].default:
            return _staged(column)
        return SQL("COALESCE({}, {})").format(_staged(column), _stored(column))

    def _as_new(self, column: Column) -> Composable:
        """What a new client gets."""
        if self._is_fed(column) and not self._feeds[column.field].default:
            return _staged(column)
        return SQL("COALESCE({}, {})").format(_staged(column), Placeholder(f"default_{column.field}"))

    def _as_updated(self, column: Column) -> Composable:
        """What a known client gets, by the column's rule."""
        stored, staged = _stored(column), _staged(column)
        rule = self._plan.rule(column.field)
        if column is KEY or not self._is_fed(column) or rule == UpdateRule.NEVER:
            return stored
        if rule == UpdateRule.ALWAYS:
            updated = SQL("COALESCE({}, {})").format(staged, stored)
        elif rule == UpdateRule.IF_STORED_EMPTY:
            updated = SQL("COALESCE(NULLIF({}, ''), {}, '')").format(stored, staged)
        else:
            updated = SQL("COALESCE(NULLIF({}, ''), {})").format(staged, stored)
        if column.field == "status" and self._plan.keep_status:
            return SQL("CASE {} WHEN %(keep_status)s THEN {} ELSE {} END").format(stored, stored, updated)
        return updated

    @property
    def _cells(self) -> Composable:
        """A staged row's cells in the file's order; not staged where they are what is stored."""
        if not self._layout.is_plain:
            return _FRAGMENTS["came"]
        columns = dict(zip(self._layout.positions, COLUMNS, strict=True))
        built = (_staged(columns[n]) if n in columns else SQL("''") for n in range(self._layout.width))
        # Not jsonb_build_array(): a function takes at most a hundred arguments.
        return _compose("COALESCE({came}, to_jsonb(ARRAY[{built}]))", built=SQL(", ").join(built))


_PROBLEM = SQL("jsonb_build_array(%(problem)s::jsonb)")
_PROBLEM_WITH_LINE = SQL(
    "jsonb_build_array(jsonb_set(%(problem)s::jsonb, '{params,line}', to_jsonb(s.first_line)))"
)

_UPDATE = _compose(
    """
    , kept AS (
        INSERT INTO client_changes (client_id, run_id, line, {names}, changed_by_run_id, updated_at)
        SELECT id, %(run)s, line, {old}, changed_by_run_id, updated_at FROM known WHERE differs
    ), updated AS (
        UPDATE clients c SET {new}, changed_by_run_id = %(run)s, updated_at = statement_timestamp()
        FROM known s WHERE c.id = s.id AND s.differs
    )
    """,
    names=_listed(DATA, _name),
    old=_listed(DATA, _old),
    new=_listed(DATA, lambda column: SQL("{} = {}").format(_name(column), _staged(column))),
)


def _differ(columns: Iterable[Column], new: Callable[[Column], Composable]) -> Composable:
    """Whether a client has other data in one of these columns."""
    columns = list(columns)
    if not columns:
        return SQL("false")
    return SQL("({}) <> ({})").format(_listed(columns, _stored), _listed(columns, new))
