"""Lambda, as far as a round needs it: several sandboxes, three attempts, a dead-letter queue, and faults."""

import random
import signal
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.proxy import Fault
from tests.chaos.world import Sandbox, World

HANDLER = "workers.import_processor.handler"
QUEUED_RUN = "workers.import_processor.run_queued"
_ATTEMPTS = 3
_PATIENCE = 60.0  # seconds for a single task; longer than anything here may take


@dataclass
class Delivery:
    """An event on its way to a worker; retries keep the request id."""

    event: dict[str, Any]
    function: str = HANDLER
    request: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempt: int = 1
    not_before: float = 0.0
    seconds: float = 300.0  # that the invocation has


@dataclass
class _AtWork:
    sandbox: Sandbox
    delivery: Delivery
    began: float
    signals: list[tuple[float, signal.Signals]]


class LambdaService:
    """Delivers events to at most `parallel` sandboxes at a time, with faults as long as `faults` is set."""

    def __init__(self, world: World, rng: random.Random, *, parallel: int, settings: dict[str, Any]) -> None:
        self.world = world
        self.rng = rng
        self.parallel = parallel
        self.settings = settings
        self.faults = 0.0  # how likely a delivery meets one
        self.waiting: list[Delivery] = []
        self.dead_letters: list[Delivery] = []
        self.done: Counter[str] = Counter()  # what happened, for the curious
        self.results: list[Any] = []
        self._idle: list[Sandbox] = []
        self._at_work: list[_AtWork] = []

    def deliver(self, delivery: Delivery) -> None:
        self.waiting.append(delivery)

    def call(self, function: str, event: dict[str, Any] | None = None) -> Any:
        """One invocation that nothing happens to; returns its result."""
        faults, self.faults = self.faults, 0.0
        before = len(self.results)
        self.deliver(Delivery(event or {}, function))
        self.run()
        self.faults = faults
        if len(self.results) == before:
            raise AssertionError(f"{function} failed")
        return self.results[before]

    def run(self) -> None:
        """Until nothing is waiting or at work."""
        while self.waiting or self._at_work:
            now = time.monotonic()
            for delivery in list(self.waiting):
                if delivery.not_before <= now and len(self._at_work) < self.parallel:
                    self.waiting.remove(delivery)
                    self._start(delivery, now)
            for work in list(self._at_work):
                self._look_after(work, now)
            time.sleep(0.002)

    def close(self) -> None:
        for sandbox in self._idle + [work.sandbox for work in self._at_work]:
            sandbox.close()

    def _start(self, delivery: Delivery, now: float) -> None:
        sandbox = self._idle.pop() if self._idle else self.world.fork()
        signals = self._choose_fault(now) if self.rng.random() < self.faults else []
        sandbox.start(
            {
                "function": delivery.function,
                "event": delivery.event,
                "request": delivery.request,
                "seconds": delivery.seconds,
                "settings": self.settings,
            }
        )
        self._at_work.append(_AtWork(sandbox, delivery, now, signals))

    def _choose_fault(self, now: float) -> list[tuple[float, signal.Signals]]:
        """Prepare one fault; returns the signals to send to the worker, and when."""
        rng = self.rng
        kind = rng.choices(
            ("kill", "freeze", "terminate", "cut-database", "cut-before-commit", "swallow-commit", "cut-s3"),
            (5, 1, 3, 2, 2, 4, 3),
        )[0]
        self.done[kind] += 1
        soon = now + rng.uniform(0, 0.5)
        match kind:
            case "kill":
                return [(soon, signal.SIGKILL)]
            case "freeze":
                return [(soon, signal.SIGSTOP), (soon + rng.uniform(1.5, 3.5), signal.SIGCONT)]
            case "terminate":
                return [(soon, signal.SIGUSR1)]  # not a signal for the worker, but for us
            case "cut-s3":
                self.world.s3_proxy.arm(Fault("cut", rng.randrange(12_000)))
            case "cut-database":
                self.world.postgres_proxy.arm(Fault("cut", rng.randrange(6_000)))
            case commit:
                self.world.postgres_proxy.arm(Fault(commit, rng.randint(1, 4)))
        return []

    def _look_after(self, work: _AtWork, now: float) -> None:
        while work.signals and work.signals[0][0] <= now:
            _, number = work.signals.pop(0)
            if number == signal.SIGUSR1:
                self._terminate_a_backend()
            else:
                work.sandbox.signal(number)
            if number == signal.SIGSTOP:
                # Lambda would have called it dead: the event comes once more, to somebody else.
                again = Delivery(work.delivery.event, work.delivery.function, not_before=now + 2.1)
                self.deliver(again)
        answer = work.sandbox.answer()
        if answer is None and not work.sandbox.gone:
            if now > work.began + _PATIENCE:
                raise AssertionError(f"a worker hangs: {work.delivery}")
            return
        self._at_work.remove(work)
        for _, number in work.signals:
            if number == signal.SIGCONT:
                work.sandbox.signal(number)
        if answer is None:
            work.sandbox.close()
            self.done["killed"] += 1
        else:
            self._idle.append(work.sandbox)
            for asked in answer["asked"]:
                self.deliver(Delivery(asked, asked["command"]))
        if answer is not None and "error" not in answer:
            self.results.append(answer["result"])
            return
        self._retry(work.delivery, now, answer)

    def _retry(self, delivery: Delivery, now: float, answer: dict[str, Any] | None) -> None:
        self.done["failed"] += 1
        if answer is not None and not answer["error"].startswith("ImportFailed: "):
            raise AssertionError(f"workers raise ImportFailed and nothing else: {answer['error']}")
        if delivery.attempt == _ATTEMPTS:
            self.dead_letters.append(delivery)
            self.done["dead letters"] += 1
            return
        delivery.attempt += 1
        delivery.not_before = now + self.rng.uniform(0, 0.3)
        delivery.seconds = 300.0
        self.deliver(delivery)

    def _terminate_a_backend(self) -> None:
        self.world.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'clientimport' AND datname = current_database()"
            " ORDER BY random() LIMIT 1"
        )
