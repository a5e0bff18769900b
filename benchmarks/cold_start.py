"""A new Lambda instance: what it does before its first event, and how long that one takes.

    python -m benchmarks --only cold-start          builds the package and measures both
    python -m benchmarks.cold_start PACKAGE_FOLDER  the former, of a package that is unpacked already

Processor seconds of this machine, not of Lambda's: the ratio to `import django, boto3`, which no Django
application on Lambda goes without, is what carries over, and what a test watches.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from django.conf import settings

from benchmarks import server
from local import aws, postgres
from tests.infra.runtime import Environment

_ROOT = Path(__file__).resolve().parent.parent
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


def built(folder: Path) -> Path:
    """The package as it is deployed, built now and unpacked."""
    subprocess.run(["make", "package"], cwd=_ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(_ROOT / "build" / "package.zip") as archive:
        archive.extractall(folder / "task")
    return folder / "task"


def first_events(package: Path, instances: int) -> list[float]:
    """First event ÷ second, of so many new instances with a database and an S3 of their own."""
    server.create_base()
    server.fresh()
    with aws.running(port=0) as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        aws.create_resources()
        variables = {
            "RDS_HOST": postgres.start(), "RDS_SSLMODE": "disable", "RDS_DB": server.WORK,
            "RDS_USER": "postgres", "RDS_PASS": "none",
            "NOTIFICATION_EMAIL": settings.NOTIFICATION_EMAIL, "AWS_ENDPOINT_URL": url,
        }  # fmt: skip
        return [first / second for first, second in pairs_of_events(package, variables, _uploaded, instances)]


def pairs_of_events(
    package: Path, variables: dict[str, str], uploaded: Callable[[str, bytes], Any], instances: int
) -> Iterator[tuple[float, float]]:
    """Seconds of the first and the second event of new instances; `uploaded` makes an event's Record."""
    for instance in range(instances):
        new = Environment(
            package, variables, name="ClientDataImportProcessor", handler=f"{MODULES['worker']}.handler"
        )
        try:
            new.invoke({"Event": "s3:TestEvent"})  # what is before this is the init phase
            seconds = []
            for name in (f"new{instance}a", f"new{instance}b"):
                file = f"Name,Email,Company,Phone,Status\nEve,{name}@example.com,Acme,,Active\n"
                answer = new.invoke({"Records": [uploaded(f"{name}.csv", file.encode())]})
                assert answer.payload["runs"][0]["state"] == "succeeded", answer
                seconds.append(answer.seconds)
        finally:
            new.close()
        yield seconds[0], seconds[1]


def _uploaded(name: str, body: bytes) -> dict[str, Any]:
    key = settings.IMPORT_PREFIX + name
    stored = boto3.client("s3").put_object(Bucket=settings.IMPORT_BUCKET, Key=key, Body=body)
    uploaded = {"key": key, "size": len(body), "eTag": stored["ETag"], "versionId": stored["VersionId"]}
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-01T00:00:00Z",
        "s3": {"bucket": {"name": settings.IMPORT_BUCKET}, "object": uploaded},
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]).resolve()), ensure_ascii=False))
