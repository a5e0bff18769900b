"""Worker processes, forked from one that has loaded everything.

python -m tests.chaos.sandbox FD        fork one for every socket that comes in over the socket FD
"""

import json
import os
import signal
import socket
import sys
from importlib import import_module
from typing import Any

from django.conf import settings

import workers  # noqa: F401 - sets Django up
from clients.aws import functions
from clients.importing import job
from clients.reading import source

_asked: list[dict[str, Any]] = []


class Context:
    def __init__(self, request_id: str, seconds: float) -> None:
        self.aws_request_id = request_id
        self.log_stream_name = "chaos"
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


def _shorten_times() -> None:
    """Small files must take as many steps as large ones, and nobody wants to wait."""
    source._BLOCK = 1024
    job._TURN_SECONDS = 0.0
    settings.IMPORT_LEASE_SECONDS = 2
    settings.IMPORT_RETRY_SECONDS = 2
    settings.EMAIL_BACKEND = "tests.chaos.mailbox.Backend"


def _ask(command: str, **payload: Any) -> None:
    """Stands in for asynchronous invocations: the process that runs the round plays Lambda."""
    _asked.append({"command": command, **payload})


def _serve(connection: socket.socket) -> None:
    """Do one task after the other, as a warm sandbox does, until the other end closes."""
    file = connection.makefile("rw")
    for line in file:
        task = json.loads(line)
        for name, value in task["settings"].items():
            setattr(settings, name, value)
        module, _, function = task["function"].rpartition(".")
        answer: dict[str, Any] = {}
        try:
            context = Context(task["request"], task["seconds"])
            answer["result"] = getattr(import_module(module), function)(task["event"], context)
        except Exception as error:  # noqa: BLE001
            answer["error"] = f"{type(error).__name__}: {error}"
        answer["asked"] = list(_asked)
        _asked.clear()
        print(json.dumps(answer, default=str), file=file, flush=True)


def main() -> None:
    _shorten_times()
    functions.invoke = _ask
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, 1, 1)
        if not message:
            os._exit(0)
        pid = os.fork()
        if not pid:
            orders.close()
            _serve(socket.socket(fileno=descriptors[0]))
            os._exit(0)
        os.close(descriptors[0])
        orders.sendall(pid.to_bytes(8))


if __name__ == "__main__":
    main()
