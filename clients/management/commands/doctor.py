import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from clients.upkeep import doctor


class Command(BaseCommand):
    help = (
        "Prove each link from bucket to mail, a line each. Exit code: 0 healthy, 1 something is to be done."
    )
    requires_migrations_checks = False
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--end-to-end",
            action="store_true",
            help="also upload a file of two rows, watch it arrive, and remove it again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = []
        for finding in doctor.examine():
            findings.append(finding)
            self.stdout.write(str(finding))
        if options["end_to_end"]:
            findings.append(doctor.end_to_end())
            self.stdout.write(str(findings[-1]))
        sys.exit(0 if doctor.is_healthy(findings) else 1)
