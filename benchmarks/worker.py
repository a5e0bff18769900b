"""One import in a fresh process, as a Lambda worker would do it; prints what it took as JSON.

python -m benchmarks.worker FILE POLICY
"""

import json
import resource
import sys
import time
from pathlib import Path

import workers  # noqa: F401 - sets Django up
from clients.importing import service
from clients.importing.invocation import Invocation
from clients.models.states import Mode


def main(path: Path, policy: str) -> None:
    started = time.perf_counter()
    run = service.import_file(path, conflict_policy=policy, mode=Mode.IMPORT, invocation=Invocation())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "seconds": seconds,
                "peak_bytes": peak,
                "timings": run.timings,
                "counts": [run.read, run.inserted, run.updated, run.unchanged, run.rejected],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
