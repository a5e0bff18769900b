"""python -m tests.chaos [--rounds N] [--seed S]"""

import argparse
import os
import sys
import time
from collections import Counter

import psycopg2

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clientimport.settings")
for _name in ("RDS_HOST", "RDS_DB", "AWS_ENDPOINT_URL"):
    os.environ.pop(_name, None)

from local import aws, postgres  # noqa: E402 - reads the settings of the local platform
from tests.chaos.rounds import Round  # noqa: E402
from tests.chaos.world import open_world  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="how many (default 20)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="the first round's seed")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else int(time.time()) * 1000
    database = f"chaos_{os.getpid()}"
    folder = postgres.start(create=database)
    try:
        with aws.running(port=0) as url:
            os.environ["AWS_ENDPOINT_URL"] = url
            aws.create_resources()
            with open_world(folder, url, database) as world:
                return _play(world, first, options.rounds)
    finally:
        _drop(folder, database)


def _play(world: object, first: int, rounds: int) -> int:
    happened: Counter[str] = Counter()
    began = time.monotonic()
    for seed in range(first, first + rounds):
        round_ = Round(world, seed)  # type: ignore[arg-type]
        try:
            happened.update(round_.play())
        except BaseException as error:
            print(f"\nround {seed - first + 1}, seed {seed}: {type(error).__name__}: {error}", flush=True)
            print(f"happened: {dict(round_.service.done)}")
            print(f"Play it again: python -m tests.chaos --seed {seed} --rounds 1", flush=True)
            _show_log(round_)
            if not isinstance(error, Exception):
                raise
            return 1
        print(".", end="", flush=True)
    seconds = time.monotonic() - began
    print(f"\n{rounds} rounds in {seconds:.0f} s, all as it must be. {dict(sorted(happened.items()))}")
    return 0


def _show_log(round_: Round) -> None:
    lines = round_.world.log.read_text().splitlines() if round_.world.log.exists() else []
    print("\n".join(lines[-60:]), file=sys.stderr)


def _drop(folder: str, database: str) -> None:
    connection = psycopg2.connect(host=folder, user="postgres", dbname="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
