import json
import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, ProgrammingError
from tqdm import tqdm

from clients.errors import ImportFailed, describe
from clients.importing import service
from clients.importing.invocation import Invocation
from clients.models.import_run import ImportRun
from clients.models.states import ConflictPolicy, Mode, State
from clients.reporting.reports import as_text, report

EXIT_CODES = {
    State.SUCCEEDED: 0,
    State.PARTIAL: 1,
    State.REJECTED: 2,
    State.FAILED: 3,
}


class Command(BaseCommand):
    help = (
        "Import a CSV file of clients. Exit code: 0 all rows in, 1 some rejected, "
        "2 the file can't be imported, 3 we could not finish."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="a .csv or .csv.gz file")
        parser.add_argument(
            "--on-conflict",
            choices=ConflictPolicy.values,
            default=ConflictPolicy.REJECT,
            help="what to do when an email exists with other data (default: reject the row)",
        )
        parser.add_argument("--preview", action="store_true", help="show what would happen, change nothing")
        parser.add_argument("--json", action="store_true", help="print the run as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"{path} is not a file. Name a CSV file to import.", returncode=2)
        if not os.access(path, os.R_OK):
            raise CommandError(f"{path} may not be read by you. Change its permissions.", returncode=2)
        try:
            if settings.LOCAL:
                call_command("migrate", verbosity=0)
            run = self._import(path, options)
        except KeyboardInterrupt:
            raise CommandError("Interrupted. Nothing was imported.", returncode=130) from None
        except ProgrammingError:
            raise CommandError(
                "The database has no tables of ours. Create them with: python manage.py migrate", returncode=3
            ) from None
        except ImportFailed as failure:
            if options["json"] and failure.run:
                self.stdout.write(json.dumps(report(ImportRun.objects.get(pk=failure.run))))
            raise CommandError(
                f"The import could not be finished; nothing was changed ({failure}).", returncode=3
            ) from None
        except ImproperlyConfigured as fault:
            raise CommandError(str(fault), returncode=3) from None
        except DatabaseError as error:
            raise CommandError(
                f"The import could not be finished; nothing was changed ({describe(error)}). "
                "Check the RDS_ variables and that the database can be reached.",
                returncode=3,
            ) from None
        except Exception as error:  # exit code 1 would say that some rows were rejected
            raise CommandError(
                f"The import could not start; nothing was changed ({describe(error)}).", returncode=3
            ) from error
        self.stdout.write(json.dumps(report(run)) if options["json"] else as_text(run))
        sys.exit(EXIT_CODES[State(run.state)])

    def _import(self, path: Path, options: dict[str, Any]) -> ImportRun:
        size, on_a_terminal = path.stat().st_size, sys.stderr.isatty()
        with tqdm(total=size, unit="B", unit_scale=True, leave=False, disable=not on_a_terminal) as bar:

            def show(run: ImportRun) -> None:
                bar.set_postfix_str(f"{run.read:,} rows")
                bar.update(run.bytes_read - bar.n)

            return service.import_file(
                path,
                conflict_policy=options["on_conflict"],
                mode=Mode.PREVIEW if options["preview"] else Mode.IMPORT,
                invocation=Invocation(),
                progress=show,
            )
