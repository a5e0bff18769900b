"""Worker processes of their own, with a database of their own, as the chaos harness has them."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import psycopg2
import pytest

from local import postgres
from tests.chaos.world import BUCKET, PREFIX, Sandbox, World, open_world

HANDLER = "workers.import_processor.handler"
RECONCILE = "tests.chaos.sandbox_functions.reconcile"


@pytest.fixture(scope="session")
def _world(aws_endpoint: str) -> Iterator[World]:
    database = f"promises_{os.getpid()}"
    folder = postgres.start(create=database)
    try:
        with open_world(folder, aws_endpoint, database) as world:
            yield world
    finally:
        connection = psycopg2.connect(host=folder, user="postgres", dbname="postgres")
        connection.autocommit = True
        connection.cursor().execute(f"DROP DATABASE {database} WITH (FORCE)")
        connection.close()


class Workers:
    """Starts worker processes and waits for them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._sandboxes: list[Sandbox] = []

    def start(self, event: dict[str, Any], request: str = "r-1", function: str = HANDLER) -> Sandbox:
        sandbox = self.world.fork()
        self._sandboxes.append(sandbox)
        task = {"function": function, "event": event, "request": request, "seconds": 300}
        sandbox.start({**task, "settings": {"RECONCILE_AFTER_SECONDS": 0}})
        return sandbox

    def run(self, event: dict[str, Any], request: str = "r-1", function: str = HANDLER) -> dict[str, Any]:
        answer = self.wait(self.start(event, request, function))
        assert answer is not None, "the worker died"
        return answer

    def wait(self, sandbox: Sandbox, seconds: float = 30) -> dict[str, Any] | None:
        """A worker's answer; None when it died."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            answer = sandbox.answer()
            if answer is not None or sandbox.gone:
                return answer
            time.sleep(0.005)
        raise AssertionError("the worker hangs")

    def close(self) -> None:
        for sandbox in self._sandboxes:
            sandbox.close()


@pytest.fixture
def workers(_world: World) -> Iterator[Workers]:
    _world.clear()
    workers = Workers(_world)
    yield workers
    workers.close()
    _world.clear()


@pytest.fixture
def world(workers: Workers) -> World:
    return workers.world


@pytest.fixture
def upload(world: World) -> Callable[[str, str], dict[str, Any]]:
    """Uploads a file to the world's S3 and returns its event."""

    def put(name: str, body: str) -> dict[str, Any]:
        stored = world.s3.Object(BUCKET, PREFIX + name).put(Body=body.encode())
        version = {"versionId": stored["VersionId"], "eTag": stored["ETag"].strip('"')}
        return {
            "Records": [
                {
                    "eventName": "ObjectCreated:Put",
                    "eventTime": datetime.now(UTC).isoformat(),
                    "s3": {
                        "bucket": {"name": BUCKET},
                        "object": {
                            "key": quote_plus(PREFIX + name),
                            "sequencer": f"{time.time_ns():X}",
                            **version,
                        },
                    },
                }
            ]
        }

    return put


def csv_of(count: int, *, company: str = "Acme", reverse: bool = False) -> str:
    """A file of so many good rows."""
    numbers = range(count - 1, -1, -1) if reverse else range(count)
    rows = "".join(f"Client {n},client-{n}@example.com,{company},,Active\n" for n in numbers)
    return f"Name,Email,Company,Phone,Status\n{rows}"


def wait_until(condition: Callable[[], Any], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not come to pass"
        time.sleep(0.005)
