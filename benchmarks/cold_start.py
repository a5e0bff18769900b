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


def import_seconds(package: Path, statement: str, repeat: int = 5) -> float:
    """Processor seconds, the best of several new processes that see nothing but the package."""
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(package),
        "PYTHONDONTWRITEBYTECODE": "1",
        **_PRETENDED,
    }
    timed = f"import time; t = time.process_time(); {statement}; print(time.process_time() - t)"
    return min(
        float(
            subprocess.run(
                [sys.executable, "-S", "-c", timed],
                cwd=package, env=environment, capture_output=True, text=True, check=True,
            ).stdout.split()[-1]
        )
        for _ in range(repeat)
    )  # fmt: skip


def measure(package: Path) -> dict[str, float]:
    """Seconds: the whole package imported and set up, and `import django, boto3` alone."""
    bare = import_seconds(package, "import django, boto3")
    whole = import_seconds(package, "import handler")
    return {"bare": round(bare, 3), "package": round(whole, 3), "ratio": round(whole / bare, 2)}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]).resolve())))
