"""The benchmark's own databases on the embedded server, and raw COPY as the yardstick."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from local import postgres

BASE, WORK = "bench_base", "bench_work"
_COLUMNS = "name, email, company, phone, status"


@contextmanager
def connected(database: str) -> Iterator[Any]:
    """An autocommitting connection to the embedded server."""
    with closing(psycopg2.connect(host=postgres.start(), user="postgres", dbname=database)) as connection:
        connection.autocommit = True
        yield connection


def execute(database: str, *statements: str) -> None:
    with connected(database) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def create_base(load: Path | None = None) -> None:
    """A migrated database without clients, or with those of a file in COPY's format."""
    _drop(WORK, BASE)
    execute("postgres", f"CREATE DATABASE {BASE}")
    _run("manage.py", "migrate", "--verbosity", "0", database=BASE)
    if load:
        raw_copy(load, BASE)
        execute(BASE, "VACUUM ANALYZE clients")


def fresh() -> None:
    """The work database as a copy of the base, with nothing left to write from before."""
    _drop(WORK)
    execute("postgres", f"CREATE DATABASE {WORK} TEMPLATE {BASE} STRATEGY FILE_COPY", "CHECKPOINT")


def _drop(*databases: str) -> None:
    for database in databases:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        with connected("postgres") as connection, connection.cursor() as cursor:
            cursor.execute(statement)


def raw_copy(path: Path, database: str = WORK) -> float:
    """Seconds that a fresh connection takes to COPY a file into `clients`, connecting included."""
    started = time.perf_counter()
    with connected(database) as connection, connection.cursor() as cursor, path.open("rb") as file:
        cursor.copy_expert(f"COPY clients ({_COLUMNS}) FROM STDIN", file, 64 * 1024)
    return time.perf_counter() - started


def import_file(path: Path, policy: str = "reject") -> dict[str, Any]:
    """What benchmarks.worker reports of one import in a process of its own."""
    execute("postgres", "CHECKPOINT")
    output = _run("-m", "benchmarks.worker", str(path), policy, database=WORK)
    result: dict[str, Any] = json.loads(output)
    return result


def import_command(path: Path) -> tuple[float, dict[str, Any]]:
    """Seconds of a whole process that imports one file, its start and end included, and what it reports."""
    execute("postgres", "CHECKPOINT")
    started = time.perf_counter()
    output = _run("-m", "benchmarks.worker", str(path), "reject", database=WORK)
    return time.perf_counter() - started, json.loads(output)


def _run(*arguments: str, database: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        env={
            **os.environ,
            "RDS_DB": database,
            "LOG_LEVEL": "ERROR",
            "LOG_FILE": os.devnull,
            "IMPORT_DEFAULT_STATUS": "Active",
        },
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
