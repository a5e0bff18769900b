"""Measures and prints the speed table, and writes benchmarks/results.json.

    python -m benchmarks [--rows 1000000] [--pairs 5] [--only NAME …]

Every figure is a ratio within one pair, the two sides taking turns: these machines are noisy. The median
of the pairs counts.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clientimport.settings")

from benchmarks import cold_start, data, peers, server, small

RESULTS = Path(__file__).with_name("results.json")
BAD_EVERY = 100  # 1 % rejected


@dataclass
class Figure:
    """One row of the table: what was measured, the bound, and the ratio of every pair."""

    name: str
    bound: float
    unit: str = "×"
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def line(self) -> str:
        verdict = "ok" if self.median <= self.bound else "OVER"
        spread = f"{min(self.values):.2f} to {max(self.values):.2f}"
        return f"{self.name:<62} {self.median:8.2f} {self.unit:<3} {self.bound:7.2f}  {verdict:<5} {spread}"


@dataclass
class Bench:
    folder: Path
    rows: int
    pairs: int
    figures: list[Figure] = field(default_factory=list)

    def figure(self, name: str, bound: float, unit: str = "×") -> Figure:
        figure = Figure(name, bound, unit)
        self.figures.append(figure)
        return figure

    def file(self, name: str) -> Path:
        return self.folder / name


# At most so many times raw COPY, whole command.
_PROFILE_BOUNDS = {
    "canonical": 1.25, "mixed": 1.5, "crm": 1.6, "crm-extra": 1.8, "excel": 1.5, "mapped": 1.9,
}  # fmt: skip


def profiles(bench: Bench) -> None:
    """Files as people have them, into an empty table, the command's start included."""
    for profile, bound in _PROFILE_BOUNDS.items():
        good, file = bench.file(f"{profile}.copy"), bench.file(f"{profile}.csv")
        data.write_copy(good, data.rows(bench.rows, profile=profile), leave_out_every=BAD_EVERY)
        data.write_csv(file, data.rows(bench.rows, profile=profile), bad_every=BAD_EVERY, profile=profile)
        figure = bench.figure(f"profile {profile}: import ÷ raw copy, empty table", bound)
        server.create_base()
        for _ in range(bench.pairs):
            server.fresh()
            raw = server.raw_copy(good)
            server.fresh()
            seconds, result = server.import_command(file)
            figure.values.append(seconds / raw)
            _say(f"{profile}: raw {raw:.1f} s; command {seconds:.1f} s {result['timings']}")


def one_table(bench: Bench) -> None:
    """The same file again, the same emails with other data, and the memory of it."""
    good, mixed, changed = bench.file("good.copy"), bench.file("mixed.csv"), bench.file("changed.csv")
    data.write_copy(good, data.rows(bench.rows), leave_out_every=BAD_EVERY)
    data.write_csv(mixed, data.rows(bench.rows), bad_every=BAD_EVERY)
    data.write_csv(changed, data.rows(bench.rows, changed=True), bad_every=BAD_EVERY)
    again = bench.figure("same file again, all unchanged ÷ raw copy", 1.5)
    update = bench.figure("same emails, other data, policy update ÷ raw copy", 3)
    memory = bench.figure("peak memory of the worker", 120, "MB")
    server.create_base()
    for _ in range(bench.pairs):
        server.fresh()
        raw = server.raw_copy(good)
        server.fresh()
        first = server.import_file(mixed)
        memory.values.append(first["peak_bytes"] / 1024**2)
        again.values.append(server.import_file(mixed)["seconds"] / raw)
        update.values.append(server.import_file(changed, "update")["seconds"] / raw)
        _say(f"raw {raw:.1f} s; import {first['seconds']:.1f} s {first['timings']}")


def against_raw(bench: Bench, figure: Figure, good: Path, file: Path) -> None:
    """Pairs of raw COPY and import, each into a fresh copy of the base."""
    for _ in range(bench.pairs):
        server.fresh()
        raw = server.raw_copy(good)
        server.fresh()
        result = server.import_file(file)
        figure.values.append(result["seconds"] / raw)
        _say(f"raw {raw:.1f} s; import {result['seconds']:.1f} s {result['timings']}")


def large_table(bench: Bench) -> None:
    """Into a table that already holds five times as many other clients."""
    base, good, mixed = bench.file("others.copy"), bench.file("new.copy"), bench.file("new.csv")
    data.write_copy(base, data.rows(5 * bench.rows, series="b"))
    data.write_copy(good, data.rows(bench.rows), leave_out_every=BAD_EVERY)
    data.write_csv(mixed, data.rows(bench.rows), bad_every=BAD_EVERY)
    figure = bench.figure(f"into a table of {5 * bench.rows:,} others ÷ raw copy into it", 1.5)
    server.create_base(load=base)
    against_raw(bench, figure, good, mixed)


def growth(bench: Bench) -> None:
    """How time per row and memory grow with the file."""
    sizes = {"small": bench.rows // 10, "middle": bench.rows, "large": 5 * bench.rows}
    for name, count in sizes.items():
        data.write_csv(bench.file(f"{name}.csv"), data.rows(count), bad_every=BAD_EVERY)
    per_row = bench.figure(f"time per row at {sizes['large']:,} rows ÷ at {sizes['small']:,}", 1.25)
    memory = bench.figure(f"peak memory at {sizes['large']:,} rows ÷ at {sizes['middle']:,}", 1.1)
    server.create_base()
    for _ in range(bench.pairs):
        results = {}
        for name in sizes:
            server.fresh()
            results[name] = server.import_file(bench.file(f"{name}.csv"))
        large, small_ = (results[name]["seconds"] / sizes[name] for name in ("large", "small"))
        per_row.values.append(large / small_)
        memory.values.append(results["large"]["peak_bytes"] / results["middle"]["peak_bytes"])
        _say(", ".join(f"{name} {result['seconds']:.1f} s" for name, result in results.items()))


def all_rejected(bench: Bench) -> None:
    """A file in which every row is wrong."""
    good, bad = bench.file("all-good.copy"), bench.file("all-bad.csv")
    data.write_copy(good, data.rows(bench.rows))
    data.write_csv(bad, data.rows(bench.rows), bad_every=1)
    figure = bench.figure("every row rejected ÷ raw copy of as many valid rows", 2)
    server.create_base()
    against_raw(bench, figure, good, bad)


def small_file(bench: Bench) -> None:
    """1,000 rows through S3 by a warm worker, event to commit."""
    figure = bench.figure("1,000 rows, warm worker, event to commit ÷ raw copy", 4)
    server.create_base()
    server.fresh()
    figure.values += small.measure(bench.folder, pairs=max(bench.pairs, 15))


def new_instance(bench: Bench) -> None:
    """A worker's start in the package as it is deployed, and the first event after it."""
    if sys.platform != "linux":
        _say("left out: the package is made of Linux's wheels")
        return
    package = cold_start.built(bench.folder)
    started = cold_start.measure(package)
    bench.figure("a worker's start ÷ import django, boto3", 2).values.append(started["worker ÷ bare"])
    events = bench.figure("a new worker's first event ÷ its second", 3)
    events.values += cold_start.first_events(package, instances=max(bench.pairs, 5))
    _say(f"processor seconds and ratios: {started}")


MEASUREMENTS: dict[str, Callable[[Bench], None]] = {
    "profiles": profiles,
    "one-table": one_table,
    "large-table": large_table,
    "growth": growth,
    "all-rejected": all_rejected,
    "small-file": small_file,
    "cold-start": new_instance,
}


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*MEASUREMENTS, "peers"], metavar="NAME")
    options = parser.parse_args()
    chosen = options.only or [*MEASUREMENTS, "peers"]
    with tempfile.TemporaryDirectory(prefix="client-import-bench-") as folder:
        bench = Bench(Path(folder), options.rows, options.pairs)
        for name in chosen:
            if name in MEASUREMENTS:
                _say(f"{name} …")
                MEASUREMENTS[name](bench)
        compared = peers.measure(bench.folder) if "peers" in chosen else []
    print(f"\n{options.rows:,} rows, 1 % rejected; median of {options.pairs} alternating pairs")
    print(f"{'figure':<62} {'median':>8}     {'at most':>7}         min to max")
    for figure in bench.figures:
        print(figure.line())
    for peer in compared:
        print(peer.line())
    RESULTS.write_text(
        json.dumps(
            {
                "rows": options.rows,
                "pairs": options.pairs,
                "figures": [{**vars(figure), "median": figure.median} for figure in bench.figures],
                "peers": [vars(peer) for peer in compared],
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )
    sys.exit(any(figure.median > figure.bound for figure in bench.figures))


if __name__ == "__main__":
    main()
