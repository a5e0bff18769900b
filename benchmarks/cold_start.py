"""What a new Lambda instance has to do before its first event: the package imported and set up.

    python -m benchmarks.cold_start PACKAGE_FOLDER

Processor seconds of this machine, not of Lambda's: the ratio to `import django, boto3`, which no Django
application on Lambda goes without, is what carries over, and what a test watches.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

# What Lambda loads: the workers' entry (`lambda_handler` in zappa_settings.json), Zappa's for the admin.
MODULES = {"bare": "django, boto3", "worker": "workers.entry", "admin": "handler"}
_PRETENDED = {
    "AWS_LAMBDA_FUNCTION_NAME": "ClientDataImportProcessor",
    "AWS_REGION": "us-east-1",
    "INSTANTIATE_LAMBDA_HANDLER_ON_IMPORT": "1",
    "RDS_HOST": "nowhere.invalid",
    "RDS_USER": "none",
    "RDS_PASS": "none",
    "RDS_DB": "none",
    "DJANGO_SECRET_KEY": "0123456789" * 5,
    "NOTIFICATION_EMAIL": "nobody@nowhere.invalid",
}


def _import_seconds(package: Path, module: str) -> float:
    """Processor seconds of one import, in a new process that sees nothing but the package."""
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(package),
        "PYTHONDONTWRITEBYTECODE": "1",
        "_HANDLER": f"{module}.handler",  # Lambda's own variable
        **_PRETENDED,
    }
    timed = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", timed],
        cwd=package, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def measure(package: Path, *, worker: int = 20, admin: int = 5) -> dict[str, float]:
    """Seconds of the bare import, the worker's and the admin's, and the two's ratios to the first.

    They take turns, so many times the worker, so many of them the admin. The best of each counts: what
    disturbs a measurement only ever makes it longer.
    """
    seconds: dict[str, list[float]] = {name: [] for name in MODULES}
    for number in range(worker):
        for name in ("bare", "worker", *(["admin"] if number < admin else [])):
            seconds[name].append(_import_seconds(package, MODULES[name]))
    best = {name: min(taken) for name, taken in seconds.items()}
    ratios = {f"{name} ÷ bare": round(best[name] / best["bare"], 2) for name in ("worker", "admin")}
    return {**{name: round(taken, 3) for name, taken in best.items()}, **ratios}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]).resolve()), ensure_ascii=False))
