"""A small file by the whole road: an event for an object in S3, a warm worker, rows committed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import data, server

ROWS = 1_000


def measure(folder: Path, pairs: int) -> list[float]:
    """Ratios of event-to-commit to raw copy with a fresh connection, each pair with emails of its own."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.small_worker"],
        env={**os.environ, "RDS_DB": server.WORK, "LOG_LEVEL": "ERROR", "LOG_FILE": os.devnull},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin
    assert worker.stdout
    ratios = []
    try:
        for pair in range(pairs + 3):
            good, mixed = folder / "small.copy", folder / "small.csv"
            data.write_copy(good, data.rows(ROWS, series=f"r{pair}x"))
            data.write_csv(mixed, data.rows(ROWS, series=f"i{pair}x"), bad_every=100)
            raw = server.raw_copy(good)
            worker.stdin.write(f"{mixed}\n")
            worker.stdin.flush()
            seconds = json.loads(worker.stdout.readline())
            if pair >= 3:  # the worker is warm, and so is the server
                ratios.append(seconds / raw)
    finally:
        worker.stdin.close()
        worker.wait()
    return ratios
