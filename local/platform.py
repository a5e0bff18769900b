"""The local platform: PostgreSQL, AWS, the worker and the admin, started and stopped as one."""

import os
import secrets
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db import connection

from clients.aws import storage
from clients.models.import_run import ImportRun
from clients.models.states import FINAL, State
from local import aws
from local.delivery import Delivery
from local.protocol import HOST
from local.signals import Signals

ADMIN = "admin"
_EVENT_SECONDS = 60
_LOOK_SECONDS = 0.1
# Ten at once, boto3's habit, are 80 MB in memory.
_ONE_PART_AT_A_TIME = TransferConfig(use_threads=False)


class EventLost(Exception):
    """A file was uploaded, and no import of it began."""


@contextmanager
def running(port: int, signals: Signals) -> Iterator[Delivery]:
    """Start everything but the admin; the local AWS listens on `port`, 0 for any free one.

    Raises aws.PortInUse and aws.NotStarted. Leaving it waits for the imports at work; what PostgreSQL
    and S3 hold is there again at the next start.
    """
    with aws.running(port, memory=Path(settings.LOCAL_DIR) / "aws") as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        # A server that is stopped while it starts would be left behind.
        with signals.held_back():
            connection.ensure_connection()
        call_command("migrate", verbosity=0, interactive=False)
        aws.create_resources()
        aws.restore()
        with Delivery() as delivery:
            yield delivery


def admin_login() -> tuple[str, str | None]:
    """Name and password of the admin, who is created if nobody may log in yet.

    The password is None when somebody has changed it.
    """
    users = get_user_model()._default_manager
    path = Path(settings.LOCAL_DIR) / "admin_password"
    if not users.filter(is_superuser=True, is_active=True).exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(9))
        users.create_superuser(ADMIN, settings.NOTIFICATION_EMAIL, path.read_text())
    user = users.filter(username=ADMIN).first()
    password = path.read_text() if path.exists() else ""
    return ADMIN, password if user and user.check_password(password) else None


def import_file(path: Path, progress: Callable[[ImportRun], None] = lambda run: None) -> ImportRun:
    """Upload a file as a client admin would, and return its run once that has ended.

    Raises EventLost when no import begins.
    """
    key = f"{settings.IMPORT_PREFIX}{path.name}"
    s3 = storage.client()
    s3.upload_file(str(path), settings.IMPORT_BUCKET, key, Config=_ONE_PART_AT_A_TIME)
    version = s3.head_object(Bucket=settings.IMPORT_BUCKET, Key=key)["VersionId"]
    runs = ImportRun.objects.filter(bucket=settings.IMPORT_BUCKET, key=key, version_id=version)
    until = time.monotonic() + _EVENT_SECONDS
    while (run := runs.first()) is None or run.state not in (*FINAL, State.FAILED):
        if run is not None:
            progress(run)
        elif time.monotonic() > until:
            raise EventLost(
                f"{path} was uploaded, but no import of it began within {_EVENT_SECONDS} seconds. "
                f"{settings.LOG_FILE} and {Path(settings.LOCAL_DIR) / 'aws.log'} say why."
            )
        time.sleep(_LOOK_SECONDS)
    return run


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


class AdminServer:
    """Django's site on the loopback interface, served by threads of this process. Raises aws.PortInUse."""

    def __init__(self, port: int) -> None:
        try:
            self._server = ThreadedWSGIServer((HOST, port), _QuietHandler)
        except OSError:
            raise aws.PortInUse(port, "LOCAL_ADMIN_PORT") from None

    def start(self) -> None:
        """Serve until this process ends."""
        with warnings.catch_warnings():
            # whitenoise misses STATIC_ROOT, which only a deployment has.
            warnings.filterwarnings("ignore", message="No directory at")
            self._server.set_app(get_wsgi_application())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
