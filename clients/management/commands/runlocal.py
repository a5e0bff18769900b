import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

try:
    from local import aws, platform, postgres, session
except ModuleNotFoundError as error:
    session = None  # type: ignore[assignment]
    missing = error.name


class Command(BaseCommand):
    help = (
        "Run the local platform: PostgreSQL, S3, SQS, SES, the worker and the admin on this machine, without "
        "any account. FILEs are uploaded to its S3 and imported first."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="a .csv or .csv.gz file")
        parser.add_argument(
            "--once",
            action="store_true",
            help="stop after the FILEs; exit code 0 if no run failed or was rejected, else 1",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="print each run as one JSON object on a line of its own; all else goes to standard error",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        files: list[Path] = options["files"]
        _check(files, once=options["once"])
        as_json = options["json"]
        try:
            if options["once"]:
                code = session.once(files, as_json=as_json, say=self._say)
            else:
                remark = self._remark if as_json else self._say
                code = session.serve(files, as_json=as_json, say=self._say, remark=remark)
        except (aws.PortInUse, aws.NotStarted, platform.EventLost, postgres.NotStarted) as error:
            raise CommandError(str(error)) from None
        sys.exit(code)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _remark(self, text: str) -> None:
        self.stderr.write(text, style_func=str)  # not in an error's red
        self.stderr.flush()


def _check(files: list[Path], *, once: bool) -> None:
    """What can be known to go wrong before anything is started; raises CommandError."""
    if session is None:
        raise CommandError(
            f"The local platform can't run here: the module {missing} is missing. The platform is part of "
            "the repository, not of what is deployed; `pip install -r requirements-dev.txt` installs what "
            "it needs."
        )
    if not settings.LOCAL:
        raise CommandError(
            "RDS_HOST is set, and the local platform has a PostgreSQL of its own. Unset RDS_HOST to use it; "
            "`python manage.py import_clients FILE` imports a file into the database that RDS_HOST names."
        )
    if once and not files:
        raise CommandError("--once stops after the FILEs it was given: name at least one.")
    for path in files:
        if not path.is_file():
            raise CommandError(f"{path} is not a file. Name CSV files to import.")
