"""The dead-letter queue: listed with its runs, and back to the worker, safely any number of times."""

from typing import Any

import pytest
from django.core import mail

from clients.models import Client, ImportRun
from clients.models.states import State
from clients.upkeep import dead_letters
from tests.events import Context, asked, bury, merged, put
from workers import import_processor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("bucket", "queues")]

CSV = "Name,Email,Company,Phone,Status\nAda,ada@example.com,Acme,,Active\n"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_WAIT_SECONDS", 0)


def deliver_asked() -> None:
    for event in asked():
        import_processor.handler(event, Context())


def test_a_letter_is_listed_with_its_error_and_its_runs() -> None:
    event = merged(put("a b.csv", CSV), put("b.csv", CSV))
    bury(event, error="run 1: OperationalError", request_id="r-7")
    import_processor.handler({"Records": event["Records"][:1]}, Context())

    (letter,) = dead_letters.dead_letters()

    assert (letter.error, letter.request_id) == ("run 1: OperationalError", "r-7")
    assert letter.keys == ("client-data/uploads/a b.csv", "client-data/uploads/b.csv")
    assert letter.runs == (ImportRun.objects.get(),)  # the other never started
    assert letter.can_be_redriven


def test_looking_leaves_the_queue_as_it_was() -> None:
    for number in range(12):  # more than one batch
        bury(put(f"{number}.csv", CSV))

    assert [len(dead_letters.dead_letters()) for _ in range(2)] == [12, 12]


def test_promise_14_a_redriven_event_is_imported_and_gone_from_the_queue() -> None:
    bury(put("a.csv", CSV))
    (letter,) = dead_letters.dead_letters()

    assert dead_letters.redrive(letter.message_id)
    deliver_asked()

    assert ImportRun.objects.get().state == State.SUCCEEDED
    assert dead_letters.dead_letters() == []
    assert not dead_letters.redrive(letter.message_id)


def test_promise_14_redriving_after_success_changes_nothing() -> None:
    event = put("a.csv", CSV)
    import_processor.handler(event, Context())
    bury(event)
    bury(event)

    assert dead_letters.redrive_all().as_dict() == {"redriven": 2, "unknown": 0}
    deliver_asked()

    run = ImportRun.objects.get()
    assert (run.state, run.attempt, Client.objects.count()) == (State.SUCCEEDED, 1, 1)
    assert len(mail.outbox) == 1


def test_a_queued_run_is_redriven_as_such() -> None:
    run = ImportRun.objects.create(bucket="b", key="k")
    event = {"command": "workers.import_processor.run_queued", "run": run.pk}
    bury(event)

    (letter,) = dead_letters.dead_letters()
    assert letter.runs == (run,)
    dead_letters.redrive_all()

    assert asked() == [event]


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[]",
        {"source": "aws.events"},
        {"command": "os.system", "run": 1},
        {"command": "workers.import_processor.run_queued", "run": "1; DROP TABLE clients"},
    ],
)
def test_what_the_worker_does_not_know_stays_in_the_queue(body: Any) -> None:
    bury(body)

    (letter,) = dead_letters.dead_letters()
    assert not letter.can_be_redriven
    assert dead_letters.redrive_all().as_dict() == {"redriven": 0, "unknown": 1}
    assert asked() == []

    assert dead_letters.discard(letter.message_id)
    assert dead_letters.dead_letters() == []


def test_a_letter_stays_in_the_queue_when_the_worker_can_not_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bury(put("a.csv", CSV))
    (letter,) = dead_letters.dead_letters()

    def unreachable(command: str, **payload: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("clients.aws.functions.invoke", unreachable)
        with pytest.raises(ConnectionError):
            dead_letters.redrive(letter.message_id)

    assert len(dead_letters.dead_letters()) == 1
