import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from clients.importing import service
from clients.importing.invocation import Invocation
from clients.importing.problems import ImportingError
from clients.models.import_run import ConflictPolicy, ImportRun, Mode, State
from clients.reports import as_text, report

EXIT_CODES = {
    State.SUCCEEDED: 0,
    State.PARTIAL: 1,
    State.REJECTED: 2,
    State.FAILED: 3,
}


class Command(BaseCommand):
    help = (
        "Import a CSV file of clients. Exit code: 0 all rows in, 1 some rejected, "
        "2 the file is at fault, 3 we could not finish."
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
        with tqdm(
            total=path.stat().st_size, unit="B", unit_scale=True, leave=False, disable=not sys.stderr.isatty()
        ) as bar:

            def show(run: ImportRun) -> None:
                bar.set_postfix_str(f"{run.read:,} rows")
                bar.update(run.bytes_read - bar.n)

            try:
                run = service.import_file(
                    path,
                    conflict_policy=options["on_conflict"],
                    mode=Mode.PREVIEW if options["preview"] else Mode.IMPORT,
                    invocation=Invocation(),
                    progress=show,
                )
            except ImportingError as error:
                raise CommandError(
                    f"The import could not be finished; nothing was changed ({error}).", returncode=3
                ) from None
        self.stdout.write(json.dumps(report(run)) if options["json"] else as_text(run))
        sys.exit(EXIT_CODES[State(run.state)])
