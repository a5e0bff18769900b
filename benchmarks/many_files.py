"""Many files at once on one small database: what docs/scaling.md says about it was measured with this.

    python -m benchmarks.many_files [--files 200] [--rows 1000] [--workers 20] [--connections 78]

Each worker is a process, as each Lambda instance is, and runs the import function's handler on one event
after another. The database accepts as many connections as a db.t3.micro leaves to applications.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clientimport.settings")

import boto3
import django
from django.conf import settings

from benchmarks import data, server
from local import aws, postgres

_DATABASE, _ROLE = "bench_many_files", "bench_many_files"


class _Context:
    """As much of a Lambda context as the handler reads."""

    log_stream_name = ""

    def __init__(self, number: int) -> None:
        self.aws_request_id = f"many-files-{number}"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


def _work(events: Any, answers: Any) -> None:
    """One instance: takes events until there is none."""
    from workers import import_processor  # noqa: PLC0415 - set up in the child, with the child's variables

    while (task := events.get()) is not None:
        number, event = task
        started = time.perf_counter()
        try:
            states = [run["state"] for run in import_processor.handler(event, _Context(number))["runs"]]
        except Exception as error:  # noqa: BLE001 - what is counted here
            states = [f"error: {error}"]
        answers.put((states, time.perf_counter() - started))


def _prepare(connections: int) -> None:
    """A fresh, migrated database whose role may open so many connections."""
    postgres.start()
    server._drop(_DATABASE)
    server.execute("postgres", f"DROP ROLE IF EXISTS {_ROLE}", f"CREATE DATABASE {_DATABASE}")
    server.execute(
        "postgres",
        f"CREATE ROLE {_ROLE} LOGIN CONNECTION LIMIT {connections}",
        f"ALTER DATABASE {_DATABASE} OWNER TO {_ROLE}",
    )
    server.execute(_DATABASE, f"GRANT ALL ON SCHEMA public TO {_ROLE}")
    os.environ |= {
        "RDS_HOST": postgres.start(), "RDS_SSLMODE": "disable", "RDS_USER": _ROLE, "RDS_PASS": "none",
        "RDS_DB": _DATABASE, "DJANGO_SECRET_KEY": "none", "NOTIFICATION_EMAIL": settings.NOTIFICATION_EMAIL,
        "LOG_FILE": os.devnull,
    }  # fmt: skip


def _upload(files: int, rows: int) -> list[dict[str, Any]]:
    """Files of clients of their own in the bucket; returns their events."""
    s3, events = boto3.client("s3"), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clients.csv"
        for number in range(files):
            data.write_csv(path, data.rows(rows, series=f"f{number}x"))
            key = f"{settings.IMPORT_PREFIX}many/{number}.csv"
            stored = s3.put_object(Bucket=settings.IMPORT_BUCKET, Key=key, Body=path.read_bytes())
            uploaded = {
                "key": key,
                "size": path.stat().st_size,
                "eTag": stored["ETag"],
                "versionId": stored["VersionId"],
            }
            record = {
                "eventName": "ObjectCreated:Put",
                "eventTime": "2026-01-01T00:00:00Z",
                "s3": {"bucket": {"name": settings.IMPORT_BUCKET}, "object": uploaded},
            }
            events.append({"Records": [record]})
    return events


def measure(files: int, rows: int, workers: int, connections: int) -> dict[str, Any]:
    """Throughput, seconds per file, the most connections seen, and how many runs ended how."""
    _prepare(connections)
    server._run("manage.py", "migrate", "--verbosity", "0", database=_DATABASE)
    context = multiprocessing.get_context("spawn")
    tasks, answers = context.Queue(), context.Queue()
    instances = [context.Process(target=_work, args=(tasks, answers)) for _ in range(workers)]
    for task in enumerate(_upload(files, rows)):
        tasks.put(task)
    for _ in instances:
        tasks.put(None)
    for instance in instances:
        instance.start()
    done, most = [answers.get(timeout=300)], 0
    started = time.perf_counter() - done[0][1]  # from the first import on: starting instances is not it
    with server.connected(_DATABASE) as connection, connection.cursor() as cursor:
        while len(done) < files:
            done.append(answers.get(timeout=300))
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [_ROLE])
            most = max(most, cursor.fetchone()[0])
        seconds = time.perf_counter() - started
        cursor.execute("SELECT count(*) FROM clients")
        [clients] = cursor.fetchone()
    for instance in instances:
        instance.join()
    took = sorted(each for _, each in done)
    return {
        "files": files,
        "rows_per_file": rows,
        "workers": workers,
        "seconds": round(seconds, 1),
        "files_per_second": round(files / seconds, 1),
        "rows_per_second": round(files * rows / seconds),
        "seconds_per_file": {"median": round(statistics.median(took), 2), "slowest": round(took[-1], 2)},
        "most_connections": most,
        "states": dict(Counter(state for states, _ in done for state in states)),
        "clients": clients,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for option, default in (("files", 200), ("rows", 1_000), ("workers", 20), ("connections", 78)):
        parser.add_argument(f"--{option}", type=int, default=default)
    django.setup()
    with aws.running(port=0) as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        aws.create_resources()
        print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
