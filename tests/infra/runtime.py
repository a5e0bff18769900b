"""One Lambda execution environment on this machine: AWS's own runtime client against a Runtime API of ours.

The function's process sees what it would see on Lambda: the unpacked package as its only code beside the
standard library and the runtime client, its environment variables, and the Runtime API over HTTP.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# What the runtime client consists of; everything else of this environment stays out of the function's sight.
_CLIENT = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
_ANSWER_SECONDS = 330
# The same client, and every call to AWS noted in $RECORD_CALLS: function, service, operation, parameters.
_RECORDED = """
import json, os, runpy, sys
from botocore.client import BaseClient
make = BaseClient._make_api_call
def note(self, operation, parameters):
    with open(os.environ["RECORD_CALLS"], "a") as file:
        named = {key: value for key, value in parameters.items() if isinstance(value, str)}
        service = self.meta.service_model.service_name
        line = [os.environ["AWS_LAMBDA_FUNCTION_NAME"], service, operation, named]
        file.write(json.dumps(line) + chr(10))
    return make(self, operation, parameters)
BaseClient._make_api_call = note
sys.argv[0] = "awslambdaric"
runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the function gave back: a result, or an error as Lambda reports it. `seconds` until then."""

    payload: Any
    failed: bool
    seconds: float


class InitError(Exception):
    """The function could not even start; the argument is what it told the Runtime API."""


class Environment:
    """A running function. Starts with the first invocation; close() ends it."""

    def __init__(
        self,
        package: Path,
        variables: dict[str, str],
        *,
        name: str,
        handler: str = "handler.lambda_handler",
        seconds: int = 300,
        record: bool = False,
    ) -> None:
        self._events: queue.Queue[tuple[str, str]] = queue.Queue()
        self._answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._lock = threading.Lock()
        self._seconds = seconds
        self._arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._http_handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.started = time.monotonic()
        self.log_path = package.parent / f"{name}-{uuid.uuid4().hex[:8]}.log"
        self._log = self.log_path.open("wb")
        self._process = subprocess.Popen(
            # -S: without this environment's packages
            [sys.executable, "-S", *(["-c", _RECORDED] if record else ["-m", "awslambdaric"]), handler],
            cwd=package,
            env={
                "PATH": os.defpath,
                "LANG": "en_US.UTF-8",
                "PYTHONPATH": f"{package}{os.pathsep}{_runtime_client(package.parent)}",
                "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
                "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
                "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0123456789abcdef",
                "LAMBDA_TASK_ROOT": str(package),
                "_HANDLER": handler,
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "role",
                "AWS_SECRET_ACCESS_KEY": "role",
                **({"RECORD_CALLS": os.environ["RECORD_CALLS"]} if record else {}),
                **variables,
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def invoke(self, event: Any) -> Answer:
        """Deliver one event and wait; raises InitError when the function ended before it asked for one."""
        with self._lock:
            started = time.monotonic()
            self._events.put((uuid.uuid4().hex, json.dumps(event)))
            until = started + _ANSWER_SECONDS
            while True:
                try:
                    kind, body = self._answers.get(timeout=0.2)
                    break
                except queue.Empty:
                    if self._process.poll() is not None:
                        raise InitError(f"the process ended: {self.log()[-2000:]}") from None
                    if time.monotonic() > until:
                        raise TimeoutError(self.log()[-2000:]) from None
            if kind == "init":
                raise InitError(body)
            return Answer(body, kind == "error", time.monotonic() - started)

    def log(self) -> str:
        """All that the function wrote."""
        self._log.flush()
        return self.log_path.read_text(errors="replace")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._server.server_close()
        self._log.close()

    def _http_handler(self) -> type[BaseHTTPRequestHandler]:
        environment = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request_id, event = environment._events.get()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
                deadline = int((time.time() + environment._seconds) * 1000)
                self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", environment._arn)
                self.send_header("Content-Type", "application/json")
                self._finish(event.encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                last = self.path.rsplit("/", 1)[-1]
                kind = {"response": "result", "error": "error"}[last]
                if "/init/" in self.path:
                    kind = "init"
                self.send_response(202)
                self._finish(b"{}")
                environment._answers.put((kind, json.loads(body or b"null")))

            def _finish(self, body: bytes) -> None:
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


@cache
def _runtime_client(folder: Path) -> Path:
    """A folder with the runtime client and nothing else."""
    target = folder / "runtime-client"
    if not target.exists():
        target.mkdir()
        for name in _CLIENT:
            spec = find_spec(name)
            assert spec, f"{name} is missing: pip install awslambdaric"
            assert spec.origin
            source = Path(spec.origin)
            if source.name == "__init__.py":
                shutil.copytree(source.parent, target / name)
            else:
                shutil.copy(source, target)
    return target
