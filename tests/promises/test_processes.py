"""Promises 1, 7, 8, 10, 12 and 16, on worker processes that are really killed, frozen and cut off."""

import random
import signal
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from tests.chaos.lambda_service import Delivery, LambdaService
from tests.chaos.proxy import Fault
from tests.chaos.world import World
from tests.promises.conftest import RECONCILE, Workers, csv_of, wait_until

Upload = Callable[[str, str], dict[str, Any]]
ROWS = 200


def assert_imported_once(world: World, *, attempts: int | None = None) -> None:
    """Everything of the one run is there, once, and one mail."""
    state, attempt, inserted = world.rows("SELECT state, attempt, inserted FROM import_runs")[0]
    assert (state, inserted) == ("succeeded", ROWS)
    assert world.rows("SELECT count(*), count(DISTINCT email) FROM clients") == [(ROWS, ROWS)]
    assert len(world.rows("SELECT FROM import_runs")) == 1
    assert len(world.mails()) == 1
    if attempts is not None:
        assert attempt == attempts


def assert_nothing_kept(world: World) -> None:
    for table in ("clients", "rejected_rows", "client_changes"):
        assert world.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    assert world.mails() == []


@pytest.mark.parametrize("same_request", [False, True], ids=["two events", "one event's delivery twice"])
def test_promise_1_one_of_four_processes_with_the_same_event_does_the_work(
    same_request: bool, workers: Workers, upload: Upload
) -> None:
    event = upload("a.csv", csv_of(ROWS))

    started = [workers.start(event, "r" if same_request else f"r-{n}") for n in range(4)]
    answers = [workers.wait(sandbox) for sandbox in started]

    assert all(answer and "error" not in answer for answer in answers)
    assert_imported_once(workers.world, attempts=None if same_request else 1)


@pytest.mark.parametrize("milliseconds", [0, 40, 80, 120, 160, 200, 260, 320])
def test_promise_7_a_worker_killed_at_any_moment_leaves_all_or_nothing_and_a_retry_completes_it(
    milliseconds: int, workers: Workers, upload: Upload
) -> None:
    event, world = upload("a.csv", csv_of(ROWS)), workers.world
    sandbox = workers.start(event)
    time.sleep(milliseconds / 1000)

    sandbox.signal(signal.SIGKILL)
    workers.wait(sandbox)

    wait_until(lambda: not busy(world))
    assert world.rows("SELECT count(*) FROM clients")[0][0] in (0, ROWS)
    workers.run(event)
    if not world.mails():  # it died between the commit and the mail, which is the reconciler's then
        assert world.rows("SELECT notification FROM import_runs") == [("pending",)]
        world.rows("UPDATE import_runs SET notification_claimed_until = now() - interval '1 second'")
        workers.run({}, "r-2", RECONCILE)
    assert_imported_once(world)


def busy(world: World) -> list[Any]:
    """Transactions of workers that are still open."""
    return world.rows(
        "SELECT FROM pg_stat_activity WHERE application_name = 'clientimport'"
        " AND datname = current_database() AND xact_start IS NOT NULL AND state <> 'idle'"
    )


class Lock:
    """Blocks the next writer of this table, in the middle of its transaction."""

    def __init__(self, world: World, table: str, mode: str) -> None:
        self._connection = psycopg2.connect(**world.database.get_dsn_parameters())
        self._statement = f"LOCK TABLE {table} IN {mode} MODE"

    def __enter__(self) -> "Lock":
        self._connection.cursor().execute(self._statement)
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()


def waiting_for_lock(world: World) -> list[Any]:
    return world.rows("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")


def test_promise_7_a_worker_killed_inside_its_transaction_leaves_nothing(
    workers: Workers, upload: Upload
) -> None:
    event, world = upload("a.csv", csv_of(ROWS)), workers.world
    with Lock(world, "clients", "ROW EXCLUSIVE"):
        sandbox = workers.start(event)
        wait_until(lambda: waiting_for_lock(world))
        sandbox.signal(signal.SIGKILL)
        workers.wait(sandbox)

    wait_until(lambda: not busy(world))
    assert_nothing_kept(world)
    workers.run(event)
    assert_imported_once(world, attempts=2)


def test_promise_7_a_worker_killed_after_its_clients_and_before_its_rejected_rows_leaves_neither(
    workers: Workers, upload: Upload
) -> None:
    event, world = upload("a.csv", csv_of(ROWS) + "Bob,bob@example.com,,,Active\n"), workers.world
    with Lock(world, "rejected_rows", "EXCLUSIVE"):
        sandbox = workers.start(event)
        wait_until(lambda: waiting_for_lock(world))
        sandbox.signal(signal.SIGKILL)
        workers.wait(sandbox)

    wait_until(lambda: not busy(world))
    assert_nothing_kept(world)
    workers.run(event)
    assert world.rows("SELECT state, inserted, rejected FROM import_runs") == [("partial", ROWS, 1)]
    assert world.rows("SELECT count(*) FROM clients") == [(ROWS,)]
    assert len(world.mails()) == 1


def test_promise_7_a_worker_killed_before_its_mail_has_the_mail_sent_by_the_reconciler(
    workers: Workers, upload: Upload
) -> None:
    event, world = upload("a.csv", csv_of(ROWS)), workers.world
    (world.mailbox / "hang").touch()
    sandbox = workers.start(event)
    wait_until(lambda: world.rows("SELECT FROM import_runs WHERE notification_claimed_until IS NOT NULL"))
    sandbox.signal(signal.SIGKILL)
    workers.wait(sandbox)
    (world.mailbox / "hang").unlink()

    workers.run({}, function=RECONCILE)
    assert world.mails() == []  # its sender might still be at it
    world.rows("UPDATE import_runs SET notification_claimed_until = now() - interval '1 second'")
    workers.run({}, function=RECONCILE)
    workers.run({}, function=RECONCILE)

    assert_imported_once(world, attempts=1)


def test_promise_8_a_worker_that_wakes_up_after_a_take_over_is_fenced_off(
    workers: Workers, upload: Upload
) -> None:
    """Frozen while it validates: its connection is alive when it wakes up, and it goes on to the end."""
    event, world = upload("a.csv", csv_of(ROWS)), workers.world
    frozen = workers.start(event, "frozen")
    wait_until(lambda: world.rows("SELECT FROM import_runs WHERE state = 'running' AND read > 0"))
    frozen.signal(signal.SIGSTOP)
    assert world.rows("SELECT state FROM import_runs") == [("running",)]

    assert workers.run(event, "too early")["result"]["runs"][0]["state"] == "running"
    time.sleep(2.1)  # the lease
    assert workers.run(event, "take-over")["result"]["runs"][0]["state"] == "succeeded"
    # What a worker that isn't fenced would do once more shows in these.
    world.rows("DELETE FROM clients WHERE email = 'client-0@example.com'")
    frozen.signal(signal.SIGCONT)
    answer = workers.wait(frozen)

    assert answer
    assert answer["result"]["runs"][0]["state"] == "succeeded"
    assert world.rows("SELECT count(*) FROM clients") == [(ROWS - 1,)]
    assert world.rows("SELECT attempt, request_id, inserted FROM import_runs") == [(2, "take-over", ROWS)]
    assert len(world.mails()) == 1


def test_promise_8_a_worker_frozen_inside_its_transaction_holds_nobody_up_for_long(
    workers: Workers, upload: Upload
) -> None:
    event, world = upload("a.csv", csv_of(ROWS)), workers.world
    with Lock(world, "clients", "ROW EXCLUSIVE"):
        frozen = workers.start(event, "frozen")
        wait_until(lambda: waiting_for_lock(world))
        frozen.signal(signal.SIGSTOP)
    time.sleep(2.1)  # the lease, and the server's patience with an idle transaction

    taken_over = workers.run(event, "take-over")
    frozen.signal(signal.SIGCONT)
    workers.wait(frozen)

    assert taken_over["result"]["runs"][0]["state"] == "succeeded"
    assert world.rows("SELECT attempt, request_id FROM import_runs") == [(2, "take-over")]
    assert_imported_once(world, attempts=2)


@pytest.mark.parametrize("kind", ["swallow-commit", "cut-before-commit"])
@pytest.mark.parametrize("commit", [1, 2])
def test_promise_10_nothing_doubles_when_the_reply_to_a_commit_is_lost(
    kind: str, commit: int, workers: Workers, upload: Upload
) -> None:
    """The first COMMIT creates the run, the second one is the import's own."""
    event, world = upload("a.csv", csv_of(ROWS)), workers.world
    world.postgres_proxy.arm(Fault(kind, commit))
    struck = world.postgres_proxy.faults_done

    workers.run(event)

    assert world.postgres_proxy.faults_done == struck + 1
    assert_imported_once(world)


def test_promise_12_a_body_that_is_cut_short_is_read_again(workers: Workers, upload: Upload) -> None:
    event, world = upload("a.csv", csv_of(ROWS)), workers.world
    world.s3_proxy.arm(Fault("cut", 6_000))

    workers.run(event)

    assert_imported_once(world, attempts=2)


def test_promise_12_a_body_that_is_always_cut_short_imports_nothing(workers: Workers, upload: Upload) -> None:
    event, world = upload("a.csv", csv_of(ROWS)), workers.world
    world.s3_proxy.arm(Fault("cut", 6_000, again=True))

    answer = workers.run(event)

    assert answer["error"].startswith("ImportFailed")
    assert_nothing_kept(world)
    assert world.rows("SELECT state, fault_code, read FROM import_runs") == [("queued", "failed", 0)]


def test_promise_16_two_files_with_the_same_emails_in_opposite_order_at_once(
    world: World, upload: Upload
) -> None:
    for number in range(3):
        world.rows("TRUNCATE clients")
        service = LambdaService(
            world, random.Random(1), parallel=2, settings={"IMPORT_ON_CONFLICT": "update"}
        )
        service.deliver(Delivery(upload(f"{number}-a.csv", csv_of(ROWS, company="A"))))
        service.deliver(Delivery(upload(f"{number}-b.csv", csv_of(ROWS, company="B", reverse=True))))
        service.run()
        service.close()

        assert service.done["failed"] == 0
        first, second = world.rows(
            "SELECT inserted, updated, unchanged, rejected FROM import_runs"
            " WHERE key LIKE %s ORDER BY inserted DESC",
            f"%/{number}-%",
        )
        assert (first, second) == ((ROWS, 0, 0, 0), (0, ROWS, 0, 0))
        companies = world.rows("SELECT company, count(*) FROM clients GROUP BY company")
        assert companies in ([("A", ROWS)], [("B", ROWS)])
