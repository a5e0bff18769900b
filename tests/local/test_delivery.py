"""Delivery keeps Lambda's contract: at least once, three attempts, then the dead-letter queue."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from django.conf import settings

from clients.aws.functions import WorkerFunction, invoke
from clients.errors import ImportFailed
from clients.models import ImportRun
from clients.models.states import State
from local.delivery import Context, Delivery
from workers import entry


@pytest.fixture
def sqs(settings: Any) -> Any:
    """SQS with both queues new and empty."""
    client = boto3.client("sqs")
    settings.IMPORT_QUEUE = f"events-{uuid.uuid4()}"
    settings.IMPORT_DEAD_LETTER_QUEUE = f"dead-{uuid.uuid4()}"
    for name in (settings.IMPORT_QUEUE, settings.IMPORT_DEAD_LETTER_QUEUE):
        client.create_queue(QueueName=name)
    return client


def _url(client: Any, name: str) -> str:
    return str(client.get_queue_url(QueueName=name)["QueueUrl"])


def _send(client: Any, body: str) -> str:
    url = _url(client, settings.IMPORT_QUEUE)
    return str(client.send_message(QueueUrl=url, MessageBody=body)["MessageId"])


def _dead_letters(client: Any) -> list[Any]:
    url = _url(client, settings.IMPORT_DEAD_LETTER_QUEUE)
    return client.receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages", [])  # type: ignore[no-any-return]


def _is_empty(client: Any) -> bool:
    numbers = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = client.get_queue_attributes(QueueUrl=_url(client, settings.IMPORT_QUEUE), AttributeNames=numbers)
    return not any(int(answer["Attributes"][number]) for number in numbers)


def _wait(condition: Callable[[], Any], seconds: float = 10) -> Any:
    until = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return value


class Recorder:
    """A function that notes its calls and fails the first so many times."""

    def __init__(self, error: BaseException | None = None, failures: int = 99) -> None:
        self.calls: list[tuple[Any, Context]] = []
        self.error, self.failures = error, failures

    def __call__(self, event: Any, context: Context) -> None:
        self.calls.append((event, context))
        if self.error and len(self.calls) <= self.failures:
            raise self.error


def test_an_event_is_delivered_once_and_then_gone(sqs: Any) -> None:
    function = Recorder()
    request = _send(sqs, '{"Records": []}')
    with Delivery(poll=0, pause=0, function=function):
        assert _wait(lambda: function.calls and _is_empty(sqs))
    [(event, context)] = function.calls
    assert event == {"Records": []}
    assert context.aws_request_id == request
    assert 290_000 < context.get_remaining_time_in_millis() <= 300_000


def test_a_failed_delivery_is_repeated_under_the_same_request_id(sqs: Any) -> None:
    function = Recorder(ImportFailed("once"), failures=1)
    request = _send(sqs, "{}")
    with Delivery(poll=0, pause=1, function=function):
        assert _wait(lambda: len(function.calls) == 2 and _is_empty(sqs))
    assert {context.aws_request_id for _, context in function.calls} == {request}
    assert not _dead_letters(sqs)


def test_after_three_failures_the_event_lies_in_the_dead_letter_queue_with_the_error(sqs: Any) -> None:
    function = Recorder(ImportFailed("run 7: OperationalError"))
    request = _send(sqs, '{"Records": [1]}')
    with Delivery(poll=0, pause=0, function=function):
        [letter] = _wait(lambda: _dead_letters(sqs))
        assert _wait(lambda: _is_empty(sqs))
    assert len(function.calls) == settings.IMPORT_DELIVERIES == 3
    assert json.loads(letter["Body"]) == {"Records": [1]}
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes == {
        "RequestID": request,
        "ErrorCode": "200",
        "ErrorMessage": "run 7: OperationalError",
    }


def test_an_unforeseen_error_puts_no_personal_data_into_the_dead_letter_queue(sqs: Any) -> None:
    _send(sqs, "{}")
    _send(sqs, "{}")
    errors = iter([ValueError, SystemExit] * settings.IMPORT_DELIVERIES)

    def function(event: Any, context: Context) -> None:
        raise next(errors)("jane.smith@example.com")

    with Delivery(poll=0, pause=0, function=function):
        letters = _wait(lambda: _dead_letters(sqs)) + _wait(lambda: _dead_letters(sqs))
    assert {letter["MessageAttributes"]["ErrorMessage"]["StringValue"] for letter in letters} <= {
        "ValueError",
        "SystemExit",
    }
    assert "jane" not in json.dumps(letters)


def test_a_loop_that_dies_between_two_deliveries_leaves_the_event_and_the_count_behind(sqs: Any) -> None:
    first, second = Recorder(ImportFailed("no")), Recorder(ImportFailed("no"))
    _send(sqs, "{}")
    with Delivery(poll=0, pause=1, function=first):
        assert _wait(lambda: first.calls)
    with Delivery(poll=0, pause=1, function=second):
        assert _wait(lambda: _dead_letters(sqs))
    assert len(first.calls) == 1
    assert len(second.calls) == 2


def test_leaving_waits_for_the_event_at_work_and_takes_no_other(sqs: Any) -> None:
    began, finished = threading.Event(), threading.Event()

    def slow(event: Any, context: Context) -> None:
        began.set()
        time.sleep(1)
        finished.set()

    _send(sqs, "{}")
    delivery = Delivery(poll=0, function=slow, parallel=1)
    with delivery:
        assert began.wait(5)
        _send(sqs, "{}")
        assert delivery.busy
    assert finished.is_set()
    assert not delivery.busy
    assert not _is_empty(sqs)


def test_leaving_an_idle_loop_takes_about_a_second() -> None:
    with Delivery():
        time.sleep(0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 2


def test_events_are_processed_side_by_side(sqs: Any) -> None:
    both = threading.Barrier(2, timeout=10)
    _send(sqs, "1")
    _send(sqs, "2")
    with Delivery(poll=0, function=lambda event, context: both.wait(), parallel=2):
        assert _wait(lambda: _is_empty(sqs))


@pytest.mark.parametrize("event", [{}, [], 1, None, {"Event": "s3:TestEvent"}, {"detail": {}}])
def test_unknown_payloads_are_harmless(event: Any) -> None:
    assert entry.handler(event, Context("request", "stream")) == {"runs": []}


def test_unknown_records_are_harmless() -> None:
    assert entry.handler({"Records": [None, {}, {"s3": 1}]}, Context("request", "stream")) == {"runs": []}


def test_what_is_no_json_does_not_stop_the_loop(sqs: Any) -> None:
    function = Recorder()
    _send(sqs, "no JSON")
    _send(sqs, "{}")
    with Delivery(poll=0, pause=0, function=function):
        assert _wait(lambda: function.calls and _dead_letters(sqs))


@pytest.mark.parametrize(
    "command", ["os.system", "workers.nothing.at_all", "workers.import_processor.nothing", "workers.", ""]
)
def test_only_functions_of_the_workers_can_be_called(command: str) -> None:
    with pytest.raises(ImportFailed, match="There is no"):
        entry.handler({"command": command}, Context("request", "stream"))


def test_an_invocation_of_an_unknown_function_ends_in_the_dead_letter_queue(sqs: Any) -> None:
    _send(sqs, json.dumps({"command": "os.system", "run": 1}))
    with Delivery(poll=0, pause=0):
        [letter] = _wait(lambda: _dead_letters(sqs))
    assert "There is no 'os.system'" in letter["MessageAttributes"]["ErrorMessage"]["StringValue"]


@pytest.mark.django_db(transaction=True)
def test_an_invocation_reaches_the_worker_with_its_payload(sqs: Any, bucket: str) -> None:
    key = f"{settings.IMPORT_PREFIX}{uuid.uuid4()}.csv"
    boto3.client("s3").put_object(
        Bucket=bucket, Key=key, Body=b"Name,Email,Company,Status\nA,a@x.com,C,Active\n"
    )
    run = ImportRun.objects.create(bucket=bucket, key=key)
    invoke(WorkerFunction.RUN_QUEUED, run=run.pk)
    with Delivery(poll=0):
        assert _wait(lambda: ImportRun.objects.filter(pk=run.pk, state=State.SUCCEEDED).exists())
    run.refresh_from_db()
    assert run.inserted == 1


def test_on_aws_an_invocation_is_asynchronous(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto has no Lambda without docker: what is sent is looked at on its way out of boto3."""
    sent: dict[str, Any] = {}

    def keep(params: dict[str, Any], **others: Any) -> None:
        sent.update(params)

    original = boto3.client

    def client(name: Any, **options: Any) -> Any:
        made = original(name, **options)
        made.meta.events.register("provide-client-params.lambda.Invoke", keep)
        made.meta.events.register("before-send.lambda.Invoke", lambda **_: _accepted())
        return made

    monkeypatch.setattr(boto3, "client", client)
    settings.LOCAL = False
    invoke(WorkerFunction.RUN_QUEUED, run=5)
    assert sent["FunctionName"] == settings.IMPORT_FUNCTION
    assert sent["InvocationType"] == "Event"
    assert json.loads(sent["Payload"]) == {"command": "workers.import_processor.run_queued", "run": 5}


def _accepted() -> Any:
    headers: Any = HeadersDict()

    class Body:
        def stream(self, **_: Any) -> Iterator[bytes]:
            yield b""

    return AWSResponse("http://127.0.0.1/", 202, headers, Body())
