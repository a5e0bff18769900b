"""An AWS of these tests' own, in which functions run, and the package that runs in them."""

import json
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings

from local import aws
from local.postgres import start

ROOT = Path(settings.BASE_DIR)
EMAIL = "clients@example.com"


def offline() -> dict[str, str]:
    """This process's environment, without a way out of the machine: Zappa looks for newer releases."""
    return {
        **os.environ,
        "AWS_DEFAULT_REGION": "us-east-1",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "VIRTUAL_ENV": sys.prefix,
        "PYTHONWARNINGS": "",
    }


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The import function's package as `make package` builds it, once a test session."""
    built = ROOT / "build" / "test-package.zip"
    built.parent.mkdir(exist_ok=True)
    # Packing needs no wheels from elsewhere once .venv-package is filled; filling it does.
    environment = offline()
    environment.pop("HTTPS_PROXY")
    subprocess.run(
        [sys.executable, "-m", "zappa.cli", "package", "production_import", "-o", "build/test-package.zip"],
        cwd=ROOT, env=environment, check=True, timeout=300,
    )  # fmt: skip
    return built


@pytest.fixture(scope="session")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("var") / "task"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="session")
def cloud_database() -> dict[str, str]:
    """Variables that lead a function to a fresh database of its own on the embedded server."""
    host, name = start(), "on_aws"
    server = psycopg2.connect(host=host, user="postgres", dbname="postgres")
    server.autocommit = True
    with closing(server), server.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name}")
    return {"RDS_HOST": host, "RDS_SSLMODE": "disable", "RDS_USER": "postgres", "RDS_DB": name}


@pytest.fixture(scope="session")
def recorded_calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where functions note every call that they make to AWS."""
    path = tmp_path_factory.mktemp("calls") / "calls.jsonl"
    path.touch()
    return path


@pytest.fixture(scope="session")
def cloud(cloud_database: dict[str, str], recorded_calls: Path) -> Iterator[str]:
    """moto's server, patched (tests.infra.moto_aws); functions reach it and the embedded database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    os.environ["RECORD_CALLS"] = str(recorded_calls)
    os.environ["LAMBDA_VARIABLES"] = json.dumps({**cloud_database, "AWS_ENDPOINT_URL": url})
    with aws.running(port, module="tests.infra.moto_aws") as running:
        yield running
