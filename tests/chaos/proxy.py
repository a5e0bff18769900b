"""A small TCP proxy that delays, cuts connections, and swallows the reply to a COMMIT."""

import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"  # PostgreSQL's simple query


@dataclass
class Fault:
    """What the proxy does, once unless `again`. `after` counts COMMITs, or bytes from the server."""

    kind: str  # "cut" | "cut-before-commit" | "swallow-commit"
    after: int = 0
    again: bool = False


class Proxy:
    """Forwards 127.0.0.1:port to `connect()`; a context manager."""

    def __init__(self, connect: Callable[[], socket.socket], *, delay: float = 0.0) -> None:
        self._connect = connect
        self._delay = delay  # seconds at most, before each piece that is forwarded
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self.faults_done = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()

    def arm(self, fault: Fault | None) -> None:
        """Have this fault happen to whichever connection comes first."""
        with self._lock:
            self._fault = fault

    def _strikes(self, *, commit: bool = False, size: int = 0) -> str | None:
        with self._lock:
            fault = self._fault
            if fault is None or (fault.kind == "cut") == commit:
                return None
            fault.after -= 1 if commit else size
            if fault.after > 0:
                return None
            if not fault.again:
                self._fault = None
            self.faults_done += 1
            return fault.kind

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            for source, target, is_client in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, is_client), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        try:
            while data := source.recv(4096):
                if self._delay:
                    time.sleep(random.uniform(0, self._delay))
                if is_client and _COMMIT in data:
                    kind = self._strikes(commit=True)
                    if kind == "cut-before-commit":
                        break
                    if kind == "swallow-commit":
                        # Nothing of the answer may get through: the way back is closed first.
                        source.shutdown(socket.SHUT_RDWR)
                        target.sendall(data)
                        time.sleep(0.05)
                        break
                elif not is_client and self._strikes(size=len(data)):
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()
