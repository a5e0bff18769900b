"""docs/deploy.md, followed against a local AWS in which the deployed functions really run."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest

from local import aws
from tests.infra import iam
from tests.infra.conftest import EMAIL, ROOT, offline

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(sys.platform != "linux", reason="the package is made of Linux's wheels"),
]

BUCKET, UPLOADS = "client-data-import-bucket", "client-data/uploads/"
WORKER = "workers.entry.handler"
IMPORT, CLEANER, ADMIN = "ClientDataImportProcessor", "ClientDataFileCleaner", "ClientDataAdmin"


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command as a person types it; its output is shown when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=offline(), capture_output=True, text=True, timeout=500
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
    return done


def zappa(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run("zappa.cli", *arguments, check=check)


def make(line: str) -> str:
    """A line that begins with `make`, run by this very environment, whatever the age of its requirements."""
    command = [
        "make",
        "--assume-old=.venv/.installed",
        f"BIN={Path(sys.executable).parent}",
        *line.split()[1:],
    ]
    done = subprocess.run(command, cwd=ROOT, env=offline(), capture_output=True, text=True, timeout=500)
    if done.returncode:
        pytest.fail(f"{line}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}")
    return done.stdout


@pytest.fixture(scope="module")
def here(cloud: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """AWS is the cloud of these tests, for this module."""
    before = os.environ["AWS_ENDPOINT_URL"]
    os.environ["AWS_ENDPOINT_URL"] = cloud
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    yield
    os.environ["AWS_ENDPOINT_URL"] = before


@pytest.fixture(scope="module")
def deployed(here: None, package: Path) -> str:
    """What `make deploy STAGE=production EMAIL=…` says."""
    output = run("infra.deploy", "production", "--email", EMAIL).stdout
    # The person clicks the link in the mail from AWS.
    boto3.client("ses").verify_email_identity(EmailAddress=EMAIL)
    return output


def invoke(function: str, event: Any) -> Any:
    answer = boto3.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


def variables_of(function: str) -> dict[str, str]:
    found = boto3.client("lambda").get_function_configuration(FunctionName=function)
    variables: dict[str, str] = found["Environment"]["Variables"]
    return variables


def wait_for_run(database: dict[str, str], key: str) -> tuple[Any, ...]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        connection = psycopg2.connect(host=database["RDS_HOST"], user="postgres", dbname=database["RDS_DB"])
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT state, inserted, rejected FROM import_runs WHERE key = %s AND notification = 'sent'",
                [key],
            )
            row = cursor.fetchone()
        connection.close()
        if row:
            return row
        time.sleep(0.2)
    raise AssertionError(f"no run of {key}")


@pytest.mark.parametrize(
    ("name", "memory", "seconds", "at_once", "role", "handler"),
    [
        (IMPORT, 512, 300, 20, "ImportRole", WORKER),
        (CLEANER, 256, 300, 1, "CleanerRole", WORKER),
        (ADMIN, 512, 29, 10, "AdminRole", "handler.lambda_handler"),
    ],
)
def test_each_function_has_its_name_size_role_and_network(
    deployed: str, name: str, memory: int, seconds: int, at_once: int, role: str, handler: str
) -> None:
    function = boto3.client("lambda").get_function(FunctionName=name)
    configuration = function["Configuration"]
    assert (configuration["MemorySize"], configuration["Timeout"]) == (memory, seconds)
    assert f"-{role}-" in configuration["Role"]
    assert function["Concurrency"]["ReservedConcurrentExecutions"] == at_once
    assert len(configuration["VpcConfig"]["SubnetIds"]) == 2
    assert configuration["VpcConfig"]["SecurityGroupIds"]
    assert configuration["Handler"] == handler


def test_no_secret_is_in_the_environment_of_a_function(deployed: str) -> None:
    for name in (IMPORT, CLEANER, ADMIN):
        variables = variables_of(name)
        for secret in ("RDS_PASS", "DJANGO_SECRET_KEY", "FIRST_ADMIN_SECRET"):
            assert variables[secret].startswith("arn:aws:secretsmanager:")
        assert variables["NOTIFICATION_EMAIL"] == EMAIL
        assert variables["RDS_HOST"].endswith(".rds.amazonaws.com")
        assert variables["ADMIN_URL"].endswith(".amazonaws.com/production/admin/")
        assert variables["ALLOWED_HOSTS"] in variables["ADMIN_URL"]
        assert "${" not in json.dumps(variables)


def check_triggers(suffix: str = "", keep_logs: int = 90) -> None:
    """What must hold after every deploy and every update; the suffix is that of the stage's names."""
    found = boto3.client("s3").get_bucket_notification_configuration(Bucket=BUCKET + suffix)
    [trigger] = found["LambdaFunctionConfigurations"]
    assert trigger["LambdaFunctionArn"].endswith(f":function:{IMPORT}{suffix}")
    assert trigger["Events"] == ["s3:ObjectCreated:*"]
    assert [rule["Value"] for rule in trigger["Filter"]["Key"]["FilterRules"]] == [UPLOADS]
    policy = json.loads(boto3.client("lambda").get_policy(FunctionName=IMPORT + suffix)["Policy"])
    from_s3 = [s for s in policy["Statement"] if s["Principal"] == {"Service": "s3.amazonaws.com"}]
    assert len(from_s3) == 1
    assert iam.ACCOUNT in json.dumps(from_s3[0]["Condition"])
    for name, rate in ((IMPORT, "rate(15 minutes)"), (CLEANER, "cron(0 0 * * ? *)")):
        client = boto3.client("lambda")
        configuration = client.get_function_configuration(FunctionName=name + suffix)
        queue = configuration["DeadLetterConfig"]["TargetArn"]
        assert queue.endswith(f":client-data-import-dlq{suffix}")
        asynchronous = client.get_function_event_invoke_config(FunctionName=name + suffix)
        assert (asynchronous["MaximumRetryAttempts"], asynchronous["MaximumEventAgeInSeconds"]) == (2, 21600)
        events = boto3.client("events")
        [rule] = events.list_rule_names_by_target(TargetArn=configuration["FunctionArn"])["RuleNames"]
        assert events.describe_rule(Name=rule)["ScheduleExpression"] == rate
    groups = boto3.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/ClientData")[
        "logGroups"
    ]
    days = {group["logGroupName"].rsplit("/", 1)[-1]: group["retentionInDays"] for group in groups}
    assert {days[name + suffix] for name in (IMPORT, CLEANER, ADMIN)} == {keep_logs}


def test_triggers_retries_dead_letters_schedules_and_logs_are_as_written(deployed: str) -> None:
    check_triggers()


def test_the_stack_protects_bucket_and_database(deployed: str) -> None:
    s3 = boto3.client("s3")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    [database] = boto3.client("rds").describe_db_instances()["DBInstances"]
    assert database["DBInstanceClass"] == "db.t3.micro"
    assert database["StorageEncrypted"]
    assert not database["PubliclyAccessible"]
    assert database["BackupRetentionPeriod"] == 7
    assert database["MasterUserSecret"]["SecretArn"]


def test_every_alarm_reaches_the_person_who_deployed(deployed: str) -> None:
    alarms = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    [topic] = {action for alarm in alarms for action in alarm["AlarmActions"]}
    assert len(alarms) == 9
    told = boto3.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert [(each["Protocol"], each["Endpoint"]) for each in told] == [("email", EMAIL)]


def test_an_uploaded_file_is_imported_and_the_mail_links_into_the_admin(
    deployed: str, cloud_database: dict[str, str]
) -> None:
    key = f"{UPLOADS}first file.csv"
    boto3.client("s3").upload_file(str(ROOT / "samples" / "clients.csv"), BUCKET, key)
    assert wait_for_run(cloud_database, key) == ("succeeded", 60, 0)
    [mail] = aws.mails()
    body = mail.get_body(("plain",))
    assert body
    [(host, path)] = re.findall(r"https://([^/]+)/production(/admin/clients/\S+)", body.get_content())
    assert host == variables_of(ADMIN)["ALLOWED_HOSTS"]
    answer = _request("GET", path)
    assert (answer["statusCode"], "/admin/login/?next=" in answer["headers"]["Location"]) == (302, True)


def test_the_doctor_walks_the_whole_road(deployed: str) -> None:
    command = {"command": "workers.maintenance.doctor", "end_to_end": True}
    answer = invoke(IMPORT, command)
    assert answer["healthy"], "\n".join(answer["findings"])
    assert [line[:7] for line in answer["findings"]].count(
        "skipped"
    ) == 1  # the database's TLS: a socket here
    left = boto3.client("s3").list_object_versions(Bucket=BUCKET, Prefix=f"{UPLOADS}doctor-")
    assert "Versions" not in left
    assert "DeleteMarkers" not in left


def test_the_first_administrator_logs_in_through_the_api(deployed: str) -> None:
    secret = json.loads(_output_secret("FirstAdmin"))
    assert secret["username"] == "admin"
    page = _request("GET", "/admin/login/")
    assert page["statusCode"] == 200
    assert "/production/static/admin/css/base." in page["body"]
    cookie = page["multiValueHeaders"]["Set-Cookie"][0].split(";")[0]
    form = f"csrfmiddlewaretoken={cookie.split('=')[1]}&username=admin&password={secret['password']}"
    answer = _request("POST", "/admin/login/", form, {"Cookie": cookie})
    assert answer["statusCode"] == 302, answer
    assert "sessionid" in json.dumps(answer["multiValueHeaders"])
    assert {
        key: value
        for key, value in invoke(ADMIN, {"command": "workers.maintenance.create_first_admin"}).items()
        if key == "created"
    } == {"created": False}


def _output_secret(name: str) -> str:
    outputs = boto3.client("cloudformation").describe_stacks(StackName="client-import-production")["Stacks"][
        0
    ]["Outputs"]
    [arn] = [output["OutputValue"] for output in outputs if output["OutputKey"] == name]
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=arn)
    return str(secret["SecretString"])


def _request(method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> Any:
    """As API Gateway hands a request to the function, if its integration's role lets it."""
    if not _api_gateway_may_invoke(ADMIN):
        return {"statusCode": 500, "body": '{"message": "Internal server error"}'}
    host = variables_of(ADMIN)["ALLOWED_HOSTS"]
    every = {
        "Host": host,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9, 10.0.0.1",
        "Referer": f"https://{host}/production{path}",
        "Content-Type": "application/x-www-form-urlencoded",
        **(headers or {}),
    }
    return invoke(
        ADMIN,
        {
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": method,
            "headers": every,
            "multiValueHeaders": {name: [value] for name, value in every.items()},
            "queryStringParameters": None,
            "multiValueQueryStringParameters": None,
            "pathParameters": {"proxy": path.strip("/")},
            "requestContext": {"stage": "production", "identity": {"sourceIp": "203.0.113.9"}},
            "body": body or None,
            "isBase64Encoded": False,
        },
    )


def _api_gateway_may_invoke(function: str) -> bool:
    """Whether API Gateway can assume the role of each integration with the function, and invoke it so."""
    client = boto3.client("apigateway")
    integrations = [
        client.get_integration(restApiId=api["id"], resourceId=resource["id"], httpMethod=method)
        for api in client.get_rest_apis()["items"]
        for resource in client.get_resources(restApiId=api["id"])["items"]
        for method in resource.get("resourceMethods", {})
    ]
    arn = f"arn:aws:lambda:{iam.REGION}:{iam.ACCOUNT}:function:{function}"
    roles = [each["credentials"] for each in integrations if f"{arn}/" in each.get("uri", "")]
    return bool(roles) and all(
        iam.trusts(role, "apigateway.amazonaws.com")
        and iam.allows(list(iam.statements_of(role)), "lambda:InvokeFunction", arn)
        for role in roles
    )


def take_apart() -> None:
    """What somebody may undo by hand in AWS's console, or Zappa while it updates."""
    client, events = boto3.client("lambda"), boto3.client("events")
    arn = client.get_function_configuration(FunctionName=CLEANER)["FunctionArn"]
    for rule in events.list_rule_names_by_target(TargetArn=arn)["RuleNames"]:
        events.disable_rule(Name=rule)
    for statement in json.loads(client.get_policy(FunctionName=IMPORT)["Policy"])["Statement"]:
        if statement["Principal"] == {"Service": "s3.amazonaws.com"}:
            client.remove_permission(FunctionName=IMPORT, StatementId=statement["Sid"])
    for name in (IMPORT, CLEANER):
        client.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": ""})
        client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
        boto3.client("logs").put_retention_policy(logGroupName=f"/aws/lambda/{name}", retentionInDays=1)
    boto3.client("s3").put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})


def test_the_doctor_names_what_came_apart_and_deploying_again_mends_it(deployed: str) -> None:
    before = boto3.client("cloudformation").describe_stacks(StackName="client-import-production")["Stacks"][
        0
    ]["Outputs"]
    take_apart()
    said = invoke(IMPORT, {"command": "workers.maintenance.doctor"})["findings"]
    problems = {line.split(":")[0].split(maxsplit=1)[1] for line in said if line.startswith("PROBLEM")}
    assert problems == {
        "bucket's event", "bucket's permission", "dead-letter queue attached", "schedules"
    }, "\n".join(said)  # fmt: skip
    make("make deploy STAGE=production")
    check_triggers()
    said = invoke(IMPORT, {"command": "workers.maintenance.doctor"})["findings"]
    assert not [line for line in said if line.startswith("PROBLEM")]
    after = boto3.client("cloudformation").describe_stacks(StackName="client-import-production")["Stacks"][0][
        "Outputs"
    ]
    assert before == after
    assert IMPORT in zappa("status", "production_import").stdout


def test_settings_without_a_prefix_are_refused_before_anything_is_deployed(
    here: None, tmp_path: Path
) -> None:
    settings = json.loads((ROOT / "zappa_settings.json").read_text())
    del settings["production_import"]["events"][0]["event_source"]["prefix"]
    settings["production_import"]["function_name"] = "NeverDeployed"
    path = tmp_path / "zappa_settings.json"
    path.write_text(json.dumps(settings))
    done = zappa("deploy", "production_import", "-s", str(path), check=False)
    assert done.returncode != 0
    assert "no `prefix`" in done.stdout + done.stderr
    with pytest.raises(boto3.client("lambda").exceptions.ResourceNotFoundException):
        boto3.client("lambda").get_function(FunctionName="NeverDeployed")


def test_each_role_allows_what_its_function_calls_and_not_what_others_do(
    deployed: str, recorded_calls: Path
) -> None:
    invoke(CLEANER, {"command": "workers.file_cleaner.handler"})
    calls = [json.loads(line) for line in recorded_calls.read_text().splitlines()]
    assert {call[0] for call in calls} == {IMPORT, CLEANER, ADMIN}
    client = boto3.client("lambda")
    roles = {
        name: list(iam.statements_of(client.get_function_configuration(FunctionName=name)["Role"]))
        for name in (IMPORT, CLEANER, ADMIN)
    }
    refused = sorted(
        {
            f"{function} may not {action} on {resource}"
            for function, service, operation, parameters in calls
            for action, resource in [iam.needed(service, operation, parameters)]
            if not iam.allows(roles[function], action, resource)
        }
    )
    assert not refused, "\n".join(refused)
    upload = f"arn:aws:s3:::{BUCKET}/{UPLOADS}clients.csv"
    assert not iam.allows(roles[IMPORT], "s3:DeleteObject", upload)
    assert not iam.allows(roles[CLEANER], "ses:SendRawEmail", "arn:aws:ses:us-east-1:123456789012:identity/x")
    assert not iam.allows(roles[ADMIN], "s3:DeleteObject", upload)
    assert iam.allows(roles[ADMIN], "s3:PutObject", upload)  # presigned uploads, which no call shows
    [key] = [call[3]["SecretId"] for call in calls if "DjangoSecretKey" in call[3].get("SecretId", "")][:1]
    assert not iam.allows(roles[IMPORT] + roles[CLEANER], "secretsmanager:GetSecretValue", key)
    for statements in roles.values():
        assert not iam.allows(statements, "s3:GetObject", "arn:aws:s3:::another-bucket/x")
        assert not iam.allows(statements, "s3:GetObject", f"arn:aws:s3:::{BUCKET}/elsewhere/x")
        assert not iam.allows(statements, "iam:PassRole", "arn:aws:iam::123456789012:role/x")


# --- staging, by the words of docs/deploy.md -----------------------------------------------------------


def lines_of(document: str, beginning: str) -> list[str]:
    """The lines of its code blocks that begin so."""
    blocks = (ROOT / document).read_text().split("```")[1::2]
    return [line for block in blocks for line in block.splitlines() if line.startswith(beginning)]


@pytest.fixture(scope="module")
def staging(deployed: str) -> str:
    """What the first command of docs/deploy.md says, in the account in which production is."""
    [line] = lines_of("docs/deploy.md", "make deploy")
    assert line == f"make deploy STAGE=staging EMAIL={EMAIL}"
    return make(line)


def test_staging_stands_beside_production_with_names_of_its_own(staging: str) -> None:
    check_triggers("-staging", keep_logs=14)
    check_triggers()
    client = boto3.client("lambda")
    names = (IMPORT, CLEANER, ADMIN, f"{IMPORT}-staging", f"{CLEANER}-staging", f"{ADMIN}-staging")
    found = {name: client.get_function_configuration(FunctionName=name) for name in names}
    assert len({configuration["Role"] for configuration in found.values()}) == 6
    for name, configuration in found.items():
        stage = "staging" if name.endswith("-staging") else "production"
        variables = configuration["Environment"]["Variables"]
        assert variables["ADMIN_URL"].endswith(f".amazonaws.com/{stage}/admin/")
        assert variables["IMPORT_BUCKET"] == (BUCKET if stage == "production" else f"{BUCKET}-staging")
    upload = f"arn:aws:s3:::{BUCKET}/{UPLOADS}clients.csv"
    for name in names[3:]:
        for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
            assert not iam.allows(list(iam.statements_of(found[name]["Role"])), action, upload), name


def test_a_file_uploaded_to_staging_is_imported_there(staging: str, cloud_database: dict[str, str]) -> None:
    [line] = lines_of("docs/deploy.md", "aws s3 cp")
    file, place = line.split()[3:]
    bucket, _, folder = place.removeprefix("s3://").partition("/")
    assert (bucket, folder) == (f"{BUCKET}-staging", UPLOADS)
    boto3.client("s3").upload_file(str(ROOT / file), bucket, f"{folder}of staging.csv")
    # Both stages' functions have one database here, so these clients are known from production.
    assert wait_for_run(cloud_database, f"{folder}of staging.csv") == ("succeeded", 0, 0)


@pytest.mark.parametrize("line", lines_of("docs/deploy.md", "zappa invoke"))
def test_every_line_of_the_maintenance_section_works(deployed: str, line: str) -> None:
    """As `zappa invoke` sends them; the deployment has used the command itself."""
    words = shlex.split(line)
    function = {"production_import": IMPORT, "production_clean": CLEANER}[words[2]]
    payload = json.loads(words[5]) if len(words) > 4 else {}
    answer = invoke(function, {"command": words[3], **payload})
    known_by_id = words[3].endswith((".rerun", ".resend_mail"))
    assert known_by_id or "refused" not in answer, answer


def test_what_destroys_staging_leaves_production_alone(staging: str) -> None:
    said = make("make destroy STAGE=staging")
    assert f"{BUCKET}-staging" in said
    left = {function["FunctionName"] for function in boto3.client("lambda").list_functions()["Functions"]}
    assert left == {IMPORT, CLEANER, ADMIN}
    check_triggers()


def test_destroy_takes_everything_down_and_says_what_it_leaves(deployed: str) -> None:
    said = run("infra.deploy", "production", "--destroy").stdout
    client = boto3.client("lambda")
    assert not [f for f in client.list_functions()["Functions"] if f["FunctionName"].startswith("ClientData")]
    assert BUCKET in said
    assert "snapshot" in said
    with pytest.raises(boto3.client("cloudformation").exceptions.ClientError, match="does not exist"):
        boto3.client("cloudformation").describe_stacks(StackName="client-import-production")
