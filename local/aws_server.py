"""The process of the local AWS: moto's server, what is missing in it, and S3's events as AWS sends them.

python -m local.aws_server PORT [FOLDER]     serve until standard input closes; remember under FOLDER
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3 import notifications
from moto.ses.models import ses_backends
from werkzeug.serving import make_server

from local.memory import Memory
from local.protocol import HOST, IN_USE, MAILS, RESTORE

_SERVICES: tuple[Any, ...] = ("s3", "sqs", "ses", "sesv2", "secretsmanager")


def _serve(port: int, folder: str | None) -> None:
    """Serve until standard input closes; prints the URL once it listens."""
    try:
        listener = socket.create_server((HOST, port))
    except OSError:
        sys.exit(IN_USE)
    memory = Memory(Path(folder)) if folder else None
    server = make_server(
        HOST,
        port,
        _Application(memory),
        threaded=True,
        request_handler=_QuietHandler,
        fd=listener.fileno(),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://{HOST}:{listener.getsockname()[1]}", flush=True)
    for service in _SERVICES:
        get_backend(service)  # imported before the first request wants it
    sys.stdin.read()
    if memory:
        memory.save_all()
    os._exit(0)  # threads of open connections would keep the process alive


class _QuietHandler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        if type == "error":
            super().log(type, message, *args)


class _Application:
    """moto's own WSGI application, what is missing in it, and S3's events as AWS sends them.

    Events leave when the request that caused them is done: only then does an object have its metadata.
    """

    def __init__(self, memory: Memory | None) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._memory = memory
        self._events = threading.local()
        self._send: Any = notifications.send_event
        self._describe: Any = notifications._get_s3_event
        self._sequencer = 0
        self._sequencer_lock = threading.Lock()
        notifications.send_event = self._hold_back
        notifications._get_s3_event = self._complete

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case path if path == MAILS:
                return _answer(start_response, _sent_mails(int(environ["QUERY_STRING"] or 0)))
            case path if path == RESTORE:
                if self._memory:
                    self._memory.restore()
                    self._memory.keep_saving()
                return _answer(start_response, "")
        self._events.held = []
        answer: Iterable[bytes] = self._moto(environ, start_response)
        for event in self._events.held:
            self._send(*event)
        return answer

    def _hold_back(self, account_id: str, event_name: str, bucket: Any, key: Any) -> None:
        # moto announces a multipart upload twice; AWS does once it is complete.
        put = notifications.S3NotificationEvent.OBJECT_CREATED_PUT_EVENT
        if event_name != put or getattr(key, "multipart", None) is None:
            self._events.held.append((account_id, event_name, bucket, key))

    def _complete(self, event_name: str, bucket: Any, key: Any, notification_id: str) -> dict[str, Any]:
        """moto's events lack the version, the sequencer and the requester that AWS sends."""
        event: dict[str, Any] = self._describe(event_name, bucket, key, notification_id)
        record = event["Records"][0]
        record["userIdentity"] = {"principalId": "AWS:local"}
        record["s3"]["object"]["sequencer"] = f"{self._next_sequencer():016X}"
        if bucket.is_versioned:
            record["s3"]["object"]["versionId"] = key.version_id
        return event

    def _next_sequencer(self) -> int:
        """Grows with every event, also from one process to the next."""
        with self._sequencer_lock:
            self._sequencer = max(self._sequencer + 1, time.time_ns())
            return self._sequencer


def _sent_mails(after: int) -> str:
    regions = ses_backends[DEFAULT_ACCOUNT_ID].values()
    sent = [message.raw_data for backend in regions for message in backend.sent_messages]
    return json.dumps(sent[after:])


def _answer(start_response: Any, text: str) -> list[bytes]:
    body = text.encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
