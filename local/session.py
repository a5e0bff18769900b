"""What `runlocal` does with the local platform, and what it shows on the way."""

import json
import shlex
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from clients.models.import_run import ImportRun
from clients.models.states import FINAL, State
from clients.reporting.reports import as_text, report
from local import aws, platform, postgres
from local.delivery import Delivery
from local.protocol import HOST
from local.schedule import Schedules
from local.signals import Signals, Stopped

Say = Callable[[str], object]

_ANY_PORT = 0
_STOPPED_AT_ONCE = (
    "Stopped at once. An import that was at work has changed nothing; the next start repeats it."
)
_LOOK_SECONDS = 0.2
_MERGE_TAKES_AT_MOST = timedelta(minutes=10)


def once(files: list[Path], *, as_json: bool, say: Say) -> int:
    """Import the files, say each run, and return the exit code: 1 if one failed or was rejected."""
    code = 0
    with Signals() as signals:
        try:
            with platform.running(_ANY_PORT, signals):
                for path in files:
                    run = platform.import_file(path, progress=_show_progress)
                    _show_progress(None)
                    say(json.dumps(report(run)) if as_json else as_text(run))
                    if run.state in (State.FAILED, State.REJECTED):
                        code = 1
        except Stopped as stopped:
            return stopped.exit_code
    return code


def serve(files: list[Path], *, as_json: bool, say: Say, remark: Say) -> int:
    """Import the files, then whatever is uploaded, and serve the admin until a signal comes.

    `say` gets the runs, `remark` everything else. Returns the exit code.
    """
    with Signals() as signals:
        delivery: Delivery | None = None
        try:
            admin = platform.AdminServer(settings.LOCAL_ADMIN_PORT)
            remark("Starting PostgreSQL, S3, SQS and SES on this machine …")
            with platform.running(settings.LOCAL_AWS_PORT, signals) as delivery:
                try:
                    admin.start()
                    remark(_welcome())
                    watch = Watch(as_json=as_json, say=say, remark=remark)
                    for path in files:
                        platform.import_file(path, progress=lambda run: watch.look())
                    schedules = Schedules()
                    while True:
                        watch.look()
                        schedules.look()
                        time.sleep(_LOOK_SECONDS)
                except Stopped:
                    _say_goodbye(delivery, remark)
        except Stopped:
            remark(_STOPPED_AT_ONCE if delivery else "Stopped before it had started.")
    return 0


class Watch:
    """Shows runs that have ended and mails that were sent, each once."""

    def __init__(self, *, as_json: bool, say: Say, remark: Say) -> None:
        self._as_json = as_json
        self._say = say
        self._remark = remark
        self._since = timezone.now()
        self._seen = {(run.pk, run.finished_at) for run in self._ended()}
        self._mails = 0

    def look(self) -> None:
        for run in self._ended():
            if (run.pk, run.finished_at) not in self._seen:
                self._seen.add((run.pk, run.finished_at))
                self._say(json.dumps(report(run)) if self._as_json else _line(run))
        for mail in aws.mails(after=self._mails):
            self._mails += 1
            self._remark(_mail_text(mail))

    def _ended(self) -> list[ImportRun]:
        # A run's end is stamped when its transaction begins: it may show up that much later.
        since = max(self._since, timezone.now()) - _MERGE_TAKES_AT_MOST
        ended = Q(state__in=(*FINAL, State.FAILED), finished_at__gt=since)
        return list(ImportRun.objects.filter(ended).order_by("finished_at"))


def _line(run: ImportRun) -> str:
    return f"{_now()}  {as_text(run).splitlines()[0]}"


def _now() -> str:
    return time.strftime("%H:%M:%S")


def _mail_text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    lines = str(body.get_content()).strip().splitlines() if body else []
    text = "\n".join(f"            {line}".rstrip() for line in lines)
    return f"          E-mail to {mail['To']}: {mail['Subject']}\n\n{text}\n\n"


def _show_progress(run: ImportRun | None) -> None:
    """On a terminal, how far the import is; without a run, nothing again."""
    if sys.stderr.isatty():
        text = f"{run.file_name}: {run.read:,} rows read …" if run and run.read else ""
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _welcome() -> str:
    name, password = platform.admin_login()
    login = f"{name} / {password}" if password else f"{name}, with the password you gave it"
    bucket, prefix = settings.IMPORT_BUCKET, settings.IMPORT_PREFIX
    endpoint = f"http://{HOST}:{settings.LOCAL_AWS_PORT}"
    target = shlex.quote(f"s3://{bucket}/{prefix}")
    return f"""
Client import, running on this machine alone.

  Admin     http://{HOST}:{settings.LOCAL_ADMIN_PORT}/admin/
  Login     {login}

  Import a file from another terminal, with the AWS command line …
    AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION={settings.AWS_REGION} \\
      aws --endpoint-url {endpoint} s3 cp my.csv {target}
  … or without it
    curl --upload-file my.csv {shlex.quote(f"{endpoint}/{bucket}/{prefix}")}

  Imports and e-mails appear below. Data and logs are kept in {_places()}.
  Ctrl-C ends everything.
"""


def _say_goodbye(delivery: Delivery, remark: Say) -> None:
    delivery.ask_to_stop()
    if delivery.busy:
        remark("\nAn import is at work and is finished first. Press Ctrl-C again to end it at once.")
    else:
        remark("\nStopping. The data is kept for the next start.")


def _places() -> str:
    home, data = Path(settings.LOCAL_DIR), postgres.data_folder()
    if data.is_relative_to(home):
        return _short(home)
    return f"{_short(home)};\n  PostgreSQL's in {data}, because its user may not enter {home}"


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
