"""Promises 9 and 11: what PostgreSQL does to an import, by its own errors."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import boto3
import psycopg2
import pytest
from django.core import mail
from django.db import OperationalError, connection, connections
from pytest_django import Settings

from clientimport.database.base import DatabaseWrapper
from clients.aws import secrets
from clients.errors import ImportFailed
from clients.importing.retry import is_transient
from clients.importing.staging import Staging
from clients.importing.validation import ValidatedRows
from clients.models import Client, ImportRun
from clients.models.states import State
from tests.events import Context, put
from workers import import_processor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("bucket")]

CSV = "Name,Email,Company,Phone,Status\nAda,ada@example.com,Acme,,Active\nBob,bob@example.com,,,Active\n"
Other = Callable[[], AbstractContextManager[Any]]


@pytest.fixture(autouse=True)
def own_session() -> Iterator[None]:
    """Whatever a test does to its session ends with it."""
    yield
    connection.close()


@pytest.fixture
def event() -> dict[str, Any]:
    return put("a.csv", CSV)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Has something happen in the first attempt's transaction, after the clients were written."""
    original = Staging.merge

    def arrange(happen: Callable[[], None]) -> None:
        happened: list[bool] = []

        def merge(staging: Staging, policy: str, valid: int, *, keep: bool) -> Any:
            merged = original(staging, policy, valid, keep=keep)
            if not happened:
                happened.append(True)
                happen()
            return merged

        monkeypatch.setattr(Staging, "merge", merge)

    return arrange


def assert_imported_once(*, attempts: int) -> None:
    run = ImportRun.objects.get()
    assert (run.state, run.inserted, run.rejected, run.attempt) == (State.PARTIAL, 1, 1, attempts)
    assert (Client.objects.count(), run.rejected_rows.count()) == (1, 1)
    assert len(mail.outbox) == 1


def assert_nothing_kept(state: State, code: str) -> None:
    run = ImportRun.objects.get()
    assert (run.state, run.fault_code) == (state, code)
    assert (Client.objects.count(), run.rejected_rows.count(), len(mail.outbox)) == (0, 0, 0)


def raise_sqlstate(code: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'provoked' USING ERRCODE = '{code}'; END $$")


@pytest.mark.parametrize(
    "code",
    [
        "40001",
        "40P01",
        "53100",
        "53200",
        "53300",
        "55P03",
        "57014",
        "57P01",
        "57P02",
        "57P03",
        "08006",
        "25P03",
    ],
)
def test_promise_9_errors_that_pass_are_retried_and_nothing_doubles(
    code: str, once: Callable[..., None], event: dict[str, Any]
) -> None:
    once(lambda: raise_sqlstate(code))

    import_processor.handler(event, Context())

    assert_imported_once(attempts=2)


@pytest.mark.parametrize("code", ["22001", "23505", "23514", "21000", "42P01", "XX000"])
def test_promise_9_errors_that_stay_are_not_retried_in_place_and_leave_nothing(
    code: str, once: Callable[..., None], event: dict[str, Any]
) -> None:
    once(lambda: raise_sqlstate(code))

    with pytest.raises(ImportFailed):
        import_processor.handler(event, Context())

    assert ImportRun.objects.get().attempt == 1
    assert_nothing_kept(State.QUEUED, "failed")


def test_promise_9_a_terminated_backend(
    once: Callable[..., None], event: dict[str, Any], transactional_other: Other
) -> None:
    def terminate() -> None:
        with connection.cursor() as cursor, transactional_other() as other:
            cursor.execute("SELECT pg_backend_pid()")
            other.execute("SELECT pg_terminate_backend(%s, 5000)", cursor.fetchone())

    once(terminate)

    import_processor.handler(event, Context())

    assert_imported_once(attempts=2)


def test_promise_9_a_backend_terminated_in_mid_copy(
    event: dict[str, Any], monkeypatch: pytest.MonkeyPatch, transactional_other: Other
) -> None:
    original = ValidatedRows.blocks
    terminated: list[bool] = []

    def blocks(rows: ValidatedRows) -> Iterator[bytes]:
        for block in original(rows):
            if not terminated:
                terminated.append(True)
                with transactional_other() as other:
                    pid = connection.connection.get_backend_pid()
                    other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            yield block

    monkeypatch.setattr(ValidatedRows, "blocks", blocks)

    import_processor.handler(event, Context())

    assert_imported_once(attempts=2)


def test_promise_9_a_connection_that_died_while_the_function_was_warm(
    event: dict[str, Any], transactional_other: Other
) -> None:
    with connection.cursor() as cursor, transactional_other() as other:
        cursor.execute("SELECT pg_backend_pid()")
        other.execute("SELECT pg_terminate_backend(%s, 5000)", cursor.fetchone())

    import_processor.handler(event, Context())

    run = ImportRun.objects.get()
    assert (run.deliveries, run.attempt, run.state) == (1, 1, State.PARTIAL)


def test_promise_9_a_read_only_replica(once: Callable[..., None], event: dict[str, Any]) -> None:
    """After a failover the name may lead to a reader for a while: a new connection finds the writer."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")

    import_processor.handler(event, Context())

    assert_imported_once(attempts=1)


def test_promise_9_exhausted_slots_are_an_error_that_passes(transactional_other: Other) -> None:
    with transactional_other() as other:
        other.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
        other.connection.commit()
        try:
            with pytest.raises(psycopg2.OperationalError) as refused:
                psycopg2.connect(**{**connection.get_connection_params(), "user": "crowded"})
        finally:
            other.execute("DROP ROLE crowded")
            other.connection.commit()

    assert refused.value.pgcode is None
    assert is_transient(refused.value)


def test_promise_9_a_lock_that_is_held_too_long_fails_cleanly(
    settings: Settings, event: dict[str, Any], transactional_other: Other
) -> None:
    settings.LOCK_TIMEOUT_SECONDS, settings.IMPORT_RETRY_SECONDS = 1, 0
    with transactional_other() as other:
        other.execute("LOCK TABLE clients IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ImportFailed, match="55P03"):
            import_processor.handler(event, Context(seconds=12))

    assert_nothing_kept(State.QUEUED, "failed")
    import_processor.handler(event, Context())
    assert_imported_once(attempts=2)


def test_promise_9_an_import_waits_for_another_ones_merge_longer_than_for_other_locks(
    settings: Settings, event: dict[str, Any], transactional_other: Other
) -> None:
    """Several large files at once must not end in the dead-letter queue."""
    settings.IMPORT_RETRY_SECONDS = 0
    settings.LOCK_TIMEOUT_SECONDS = 0
    with transactional_other() as other:
        other.execute("SET idle_in_transaction_session_timeout = '1500ms'")
        other.execute("LOCK TABLE clients IN SHARE ROW EXCLUSIVE MODE")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '500ms'")
        began = time.monotonic()
        import_processor.handler(event, Context())

    assert time.monotonic() - began > 1
    assert_imported_once(attempts=1)


def test_promise_9_when_the_time_runs_out_the_import_stops_and_says_so(
    event: dict[str, Any], once: Callable[..., None]
) -> None:
    """The limit for statements comes from what the invocation has left: eight seconds are kept back."""
    began = time.monotonic()

    def dawdle() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")

    once(dawdle)
    with pytest.raises(ImportFailed):
        import_processor.handler(event, Context(seconds=9.5))

    assert time.monotonic() - began < 8
    assert_nothing_kept(State.QUEUED, "out-of-time")


def test_the_limit_for_statements_is_lifted_afterwards(event: dict[str, Any], settings: Settings) -> None:
    """The admin may share the function's connection."""
    import_processor.handler(event, Context(seconds=20))

    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == (f"{settings.STATEMENT_TIMEOUT_SECONDS}s",)


def test_every_connection_has_its_timeouts() -> None:
    wanted = {
        "lock_timeout": "20s",
        "statement_timeout": "25s",
        "idle_in_transaction_session_timeout": "30s",
        "client_connection_check_interval": "5s",
    }
    with connection.cursor() as cursor:
        for name, value in wanted.items():
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == (value,), name


# --- 11 -----------------------------------------------------------------------------------------


class Login:
    """A database login whose password is checked, and the secret that holds it."""

    def __init__(self, cursor: Any, arn: str) -> None:
        self._cursor = cursor
        self.arn = arn

    def rotate(self, password: str, *, secret: bool = True) -> None:
        self._cursor.execute("ALTER ROLE rotated PASSWORD %s", [password])
        self._cursor.connection.commit()
        if secret:
            value = f'{{"username": "rotated", "password": "{password}"}}'
            boto3.client("secretsmanager").put_secret_value(SecretId=self.arn, SecretString=value)


@pytest.fixture
def login(transactional_other: Other) -> Iterator[Login]:
    """The embedded server trusts everybody: a line of its pg_hba.conf makes it ask this one's password."""
    secrets._secrets.clear()
    secret = boto3.client("secretsmanager").create_secret(Name="rds", SecretString="-")["ARN"]
    with transactional_other() as cursor:
        cursor.execute("SHOW hba_file")
        with open(cursor.fetchone()[0], "r+") as file:
            rules = file.read()
            try:
                file.seek(0)
                file.write(f"local all rotated scram-sha-256\n{rules}")
                file.flush()
                cursor.execute("CREATE ROLE rotated LOGIN SUPERUSER")
                cursor.execute("SELECT pg_reload_conf()")
                cursor.connection.commit()
                time.sleep(0.2)
                yield Login(cursor, secret)
            finally:
                file.seek(0)
                file.truncate()
                file.write(rules)
                file.flush()
                cursor.connection.rollback()
                cursor.execute("DROP ROLE IF EXISTS rotated")
                cursor.execute("SELECT pg_reload_conf()")
                cursor.connection.commit()
    boto3.client("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    secrets._secrets.clear()


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Every look at the secret: whether it was forced past the cache."""
    seen: list[bool] = []
    original = secrets.resolve_secret

    def counted(value: str, *, refetch: bool = False) -> str:
        seen.append(refetch)
        return original(value, refetch=refetch)

    monkeypatch.setattr("clientimport.database.base.resolve_secret", counted)
    return seen


def connect_with(login: Login) -> Any:
    wrapper = DatabaseWrapper(
        {**connections["default"].settings_dict, "USER": "rotated", "PASSWORD": login.arn}
    )
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT current_user")
            return cursor.fetchone()
    finally:
        wrapper.close()


def test_promise_11_a_rotated_password_is_fetched_once_and_the_connection_made(
    login: Login, fetches: list[bool]
) -> None:
    login.rotate("first")
    assert connect_with(login) == ("rotated",)
    assert fetches == [False]

    login.rotate("second")

    assert connect_with(login) == ("rotated",)
    assert fetches == [False, False, True]
    assert connect_with(login) == ("rotated",)
    assert fetches == [False, False, True, False]


def test_promise_11_a_password_that_is_wrong_all_the_same_is_asked_for_once_only(
    login: Login, fetches: list[bool]
) -> None:
    login.rotate("first")
    login.rotate("second", secret=False)

    with pytest.raises(Exception, match="authentication failed") as refused:
        connect_with(login)

    assert fetches == [False, True]
    assert is_transient(refused.value)  # the secret is often written a moment after the password


def test_promise_11_a_secret_that_can_not_be_read_just_now_is_worth_another_attempt(login: Login) -> None:
    login.arn = f"{login.arn}-elsewhere"

    with pytest.raises(OperationalError, match="secret can't be read") as refused:
        connect_with(login)

    assert is_transient(refused.value)


def test_promise_11_a_rotation_during_an_import_does_not_end_it(
    login: Login, event: dict[str, Any], once: Callable[..., None], transactional_other: Other
) -> None:
    """The connection breaks in mid-transaction, and the password in the cache is no longer good."""
    login.rotate("first")
    usual = connections["default"]
    wrapper = DatabaseWrapper({**usual.settings_dict, "USER": "rotated", "PASSWORD": login.arn})

    def rotate() -> None:
        login.rotate("second")
        with connection.cursor() as cursor, transactional_other() as other:
            cursor.execute("SELECT pg_backend_pid()")
            other.execute("SELECT pg_terminate_backend(%s, 5000)", cursor.fetchone())

    connections["default"] = wrapper
    try:
        once(rotate)
        import_processor.handler(event, Context())
    finally:
        wrapper.close()
        connections["default"] = usual

    assert_imported_once(attempts=2)
