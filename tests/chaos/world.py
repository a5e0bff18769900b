"""What a round happens in: PostgreSQL, S3, proxies before both, worker processes, a mailbox."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg2
from botocore.config import Config

from tests.chaos.proxy import Proxy

BUCKET = "client-data-import-bucket"
PREFIX = "client-data/uploads/"
_ROOT = Path(__file__).resolve().parents[2]


class Sandbox:
    """One worker process; it does one task at a time."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self._connection = connection
        self._connection.setblocking(False)
        self._received = b""
        self.gone = False

    def start(self, task: dict[str, Any]) -> None:
        self._connection.sendall(json.dumps(task).encode() + b"\n")

    def answer(self) -> dict[str, Any] | None:
        """The task's outcome, None as long as there is none. Sets `gone` when the process died."""
        try:
            while data := self._connection.recv(65536):
                self._received += data
                if self._received.endswith(b"\n"):
                    line, self._received = self._received, b""
                    found: dict[str, Any] = json.loads(line)
                    return found
            self.gone = True
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True
        return None

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def close(self) -> None:
        self.signal(signal.SIGKILL)
        self._connection.close()


@dataclass
class World:
    """Everything a round needs; `open_world` makes it."""

    database: Any  # a connection of the harness's own, around the proxy
    s3: Any
    postgres_proxy: Proxy
    s3_proxy: Proxy
    mailbox: Path
    log: Path
    _orders: socket.socket

    def fork(self) -> Sandbox:
        ours, theirs = socket.socketpair()
        socket.send_fds(self._orders, [b"f"], [theirs.fileno()])
        theirs.close()
        return Sandbox(int.from_bytes(self._orders.recv(8)), ours)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.database.cursor() as cursor:
            cursor.execute(statement, parameters)
            if not cursor.description:  # psycopg2 doesn't fetch rows without columns
                return [()] * cursor.rowcount if cursor.statusmessage.startswith("SELECT") else []
            return list(cursor.fetchall())

    def mails(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.mailbox.glob("*.json"))]

    def mail_server(self, *, up: bool) -> None:
        down = self.mailbox / "down"
        down.unlink(missing_ok=True) if up else down.touch()

    def clear(self) -> None:
        """An empty database and mailbox, no proxy fault, no object."""
        self.postgres_proxy.arm(None)
        self.s3_proxy.arm(None)
        self.mail_server(up=True)
        for path in self.mailbox.iterdir():
            path.unlink()
        self.rows("TRUNCATE clients, client_changes, import_runs, rejected_rows RESTART IDENTITY CASCADE")
        self.s3.Bucket(BUCKET).object_versions.delete()


@contextmanager
def open_world(socket_folder: str, s3_url: str, database: str) -> Iterator[World]:
    """Proxies before a PostgreSQL (its socket's folder) and an S3, and the process that forks workers.

    The database must exist, without tables; workers reach both by the settings of a deployment.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        (folder / "mailbox").mkdir()

        def postgres() -> socket.socket:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(f"{socket_folder}/.s.PGSQL.5432")
            return connection

        s3_port = int(s3_url.rsplit(":", 1)[1])
        postgres_proxy = stack.enter_context(Proxy(postgres, delay=0.002))
        s3_proxy = stack.enter_context(
            Proxy(lambda: socket.create_connection(("127.0.0.1", s3_port)), delay=0.004)
        )
        environment = {
            **os.environ,
            "RDS_HOST": "127.0.0.1",
            "RDS_PORT": str(postgres_proxy.port),
            "RDS_USER": "postgres",
            "RDS_PASS": "any",
            "RDS_DB": database,
            "RDS_SSLMODE": "disable",
            "NOTIFICATION_EMAIL": "admin@clientdomain.com",
            "DJANGO_SECRET_KEY": "chaos" * 10,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_proxy.port}",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "CHAOS_MAILBOX": str(folder / "mailbox"),
            "LOG_FILE": str(folder / "log.jsonl"),
            "DB_LOCK_TIMEOUT": "1",
            "DB_IDLE_IN_TRANSACTION_TIMEOUT": "1",
        }
        _run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], environment)
        orders, theirs = socket.socketpair()
        stack.callback(orders.close)
        zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.sandbox", str(theirs.fileno())],
            env=environment,
            cwd=_ROOT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        stack.callback(_end, zygote)
        connection = psycopg2.connect(host=socket_folder, user="postgres", dbname=database)
        connection.autocommit = True
        stack.callback(connection.close)
        s3 = boto3.resource("s3", endpoint_url=s3_url, config=Config(s3={"addressing_style": "path"}))
        yield World(
            connection, s3, postgres_proxy, s3_proxy, folder / "mailbox", folder / "log.jsonl", orders
        )


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, cwd=_ROOT, check=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the forking process and all it forked: they have a session of their own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
