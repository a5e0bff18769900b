"""Ctrl-C, SIGTERM and SIGHUP as one exception, which can be held back where it would do harm."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
]

_TIMES_HEARD = 2


class Stopped(BaseException):
    """Somebody asked this process to end. `exit_code` is what shells expect: 128 and the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Signals:
    """Raises Stopped in the main thread when a signal comes, the first and the second time.

    A context manager for a whole process: once it is left, signals are ignored, so that nothing disturbs
    the interpreter's end, which stops PostgreSQL.
    """

    def __init__(self) -> None:
        self._held = False
        self._came: list[int] = []

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """What comes inside is raised at the end, also in place of an error that it caused."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._came:
                raise Stopped(self._came[0])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)
        if not self._held and len(self._came) <= _TIMES_HEARD:
            raise Stopped(number)
