"""The tools that people come from, on the same server: rows per second, their start and end included."""

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import data, server
from local import postgres

ROWS = 200_000
SLOW_ROWS = 20_000  # for those that would take minutes; their rate does not rise with more


@dataclass
class Peer:
    name: str
    rows_per_second: float
    times_slower: float  # than our import of the same file

    def line(self) -> str:
        return f"{self.name:<62} {self.rows_per_second:10,.0f} rows/s, {self.times_slower:.1f} times our time"


def measure(folder: Path) -> list[Peer]:
    """One import of valid rows by each; those that aren't installed are left out."""
    server.create_base()
    rates: dict[str, float] = {}
    for name, (run, rows) in _PEERS.items():
        path = folder / "peers.csv"
        # Some take an empty cell for NULL, which the table refuses: every row has a phone.
        data.write_csv(
            path, ([*cells[:3], cells[3] or "+15550000000", cells[4]] for cells in data.rows(rows))
        )
        server.fresh()
        started = time.perf_counter()
        if run(path):
            rates[name] = rows / (time.perf_counter() - started)
    ours = next(iter(rates.values()))
    return [Peer(name, rate, ours / rate) for name, rate in rates.items()]


def _this_import(path: Path) -> bool:
    server.import_file(path)
    return True


def _child(kind: str) -> Callable[[Path], bool]:
    def run(path: Path) -> bool:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.peer_worker", kind, str(path)],
            env={**os.environ, "RDS_DB": server.WORK, "LOG_LEVEL": "ERROR", "LOG_FILE": os.devnull},
            check=True,
        )
        return True

    return run


def _url() -> str:
    return f"postgresql+psycopg2:///{server.WORK}?host={postgres.start()}&user=postgres"


def _csvsql(path: Path) -> bool:
    csvsql = Path(sys.executable).with_name("csvsql")
    if not csvsql.exists():
        return False
    # csvsql takes titles for column names, to the letter.
    lower = path.with_name("lower.csv")
    text = path.read_text()
    lower.write_text(text.replace("Name,Email,Company,Phone,Status", "name,email,company,phone,status", 1))
    options = ["--insert", "--no-create", "--tables", "clients", "--no-inference"]
    command = [str(csvsql), "--db", _url(), *options, str(lower)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def _pgloader(path: Path) -> bool:
    if not shutil.which("pgloader"):
        return False
    script = io.StringIO()
    columns = "(name, email, company, phone, status)"
    script.write(f"LOAD CSV FROM '{path}' {columns}\n")
    script.write(f"INTO postgresql://postgres@unix:{postgres.start()}:5432/{server.WORK}\n")
    script.write(f"TARGET TABLE clients {columns} WITH skip header = 1, fields terminated by ',';\n")
    file = path.with_name("peers.load")
    file.write_text(script.getvalue())
    return subprocess.run(["pgloader", str(file)], check=False, stdout=subprocess.DEVNULL).returncode == 0


_PEERS: dict[str, tuple[Callable[[Path], bool], int]] = {
    "this import": (_this_import, ROWS),
    "django-import-export, defaults": (_child("import-export"), SLOW_ROWS),
    "django-import-export, bulk": (_child("import-export-bulk"), SLOW_ROWS),
    "bulk_create(update_conflicts), 1,000 at a time, unvalidated": (_child("bulk-create"), ROWS),
    "csvsql --insert, unvalidated": (_csvsql, ROWS),
    "pgloader, unvalidated": (_pgloader, ROWS),
}
