"""The same rows by the tools that people come from, on the same server: rows per second of each."""

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

ROWS = 20_000  # few, because the slowest takes minutes for a million


@dataclass
class Peer:
    name: str
    rows_per_second: float
    times_slower: float  # than our import of the same file

    def line(self) -> str:
        return f"{self.name:<62} {self.rows_per_second:10,.0f} rows/s, {self.times_slower:.1f} times our time"


def measure(folder: Path) -> list[Peer]:
    """One import of the same valid rows by each; those that aren't installed are left out."""
    path = folder / "peers.csv"
    data.write_csv(path, data.rows(ROWS))
    server.create_base()
    server.fresh()
    ours = server.import_file(path)["seconds"]
    peers = [Peer("this import", ROWS / ours, 1.0)]
    for name, run in _PEERS.items():
        server.fresh()
        started = time.perf_counter()
        if run(path):
            seconds = time.perf_counter() - started
            peers.append(Peer(name, ROWS / seconds, seconds / ours))
    return peers


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
    return f"postgresql:///{server.WORK}?host={postgres.start()}&user=postgres"


def _csvsql(path: Path) -> bool:
    if not shutil.which("csvsql"):
        return False
    command = ["csvsql", "--db", _url(), "--insert", "--no-create", "--tables", "clients", "--no-inference"]
    # csvsql takes titles for column names, to the letter.
    text = path.read_text().replace("Name,Email,Company,Phone,Status", "name,email,company,phone,status", 1)
    lower = path.with_name("lower.csv")
    lower.write_text(text)
    return subprocess.run([*command, str(lower)], check=False, stderr=subprocess.DEVNULL).returncode == 0


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


_PEERS: dict[str, Callable[[Path], bool]] = {
    "django-import-export, defaults": _child("import-export"),
    "django-import-export, bulk": _child("import-export-bulk"),
    "bulk_create(update_conflicts), 1,000 at a time, unvalidated": _child("bulk-create"),
    "csvsql --insert, unvalidated": _csvsql,
    "pgloader, unvalidated": _pgloader,
}
