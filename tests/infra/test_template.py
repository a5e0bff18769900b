"""infra/template.yaml and zappa_settings.json as they are written; test_deploy reads back what they make."""

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from django.utils import timezone
from pytest_django import Settings

from clients.aws import metrics
from clients.models import ImportRun
from clients.models.states import State
from tests.infra.conftest import ROOT

STAGES: dict[str, dict[str, Any]] = json.loads((ROOT / "zappa_settings.json").read_text())


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (`!Ref`, `!Sub`, …) as what they stand for."""


_Loader.add_multi_constructor(
    "!", lambda loader, suffix, node: {suffix: getattr(loader, f"construct_{node.id}")(node)}
)
TEMPLATE = yaml.load((ROOT / "infra" / "template.yaml").read_text(), Loader=_Loader)
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


@pytest.fixture
def on_lambda(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ON_LAMBDA = True
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "ClientDataImportProcessor")


def settings_of(stage: str) -> dict[str, Any]:
    """A stage's settings as Zappa reads them: `extends` is shallow."""
    own = STAGES[stage]
    return {**(settings_of(own["extends"]) if "extends" in own else {}), **own}


def test_cloudformation_finds_nothing_to_complain_about() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from cfnlint.runner import main; main()", "infra/template.yaml"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_production_bears_the_names_of_the_specification() -> None:
    assert settings_of("production_import")["function_name"] == "ClientDataImportProcessor"
    assert settings_of("production_clean")["function_name"] == "ClientDataFileCleaner"
    names = [settings_of(stage)["function_name"] for stage in STAGES]
    assert len(set(names)) == len(names) == 6
    in_template = {name for stage in TEMPLATE["Mappings"]["Names"].values() for name in stage.values()}
    assert in_template == set(names)


@pytest.mark.parametrize("stage", ["production_import", "staging_import"])
def test_uploads_trigger_the_import_as_specified(stage: str) -> None:
    config = settings_of(stage)
    [upload] = [event["event_source"] for event in config["events"] if "event_source" in event]
    assert upload["arn"].startswith("arn:aws:s3:::client-data-import-bucket")
    assert (upload["prefix"], upload["events"]) == ("client-data/uploads/", ["s3:ObjectCreated:*"])
    assert (config["memory_size"], config["timeout_seconds"]) == (512, 300)


def test_reserved_concurrency_leaves_connections_free() -> None:
    for stage in ("production", "staging"):
        reserved = sum(settings_of(stage + part)["lambda_concurrency"] for part in ("", "_import", "_clean"))
        assert reserved < TEMPLATE["Parameters"]["DatabaseConnectionsAlarm"]["Default"] < 80


@pytest.mark.parametrize("stage", STAGES)
def test_zappas_dangerous_defaults_are_switched_off(stage: str) -> None:
    config = settings_of(stage)
    assert (config["debug"], config["keep_warm"], config["touch"]) == (False, False, False)
    assert config["manage_roles"] is False
    assert "environment_variables" not in config


@pytest.mark.parametrize("stage", ["production", "staging"])
def test_both_stages_have_the_same_environment(stage: str) -> None:
    environment = settings_of(stage)["aws_environment_variables"]
    assert environment.keys() == settings_of("production")["aws_environment_variables"].keys()
    assert environment["SCRIPT_NAME"] == f"/{stage}"
    for name in ("IMPORT", "CLEANER"):
        part = {"IMPORT": "_import", "CLEANER": "_clean"}[name]
        assert environment[f"{name}_FUNCTION"] == settings_of(stage + part)["function_name"]


def test_every_value_from_the_stack_is_an_output_of_it() -> None:
    known = set(TEMPLATE["Outputs"]) | {"AdminUrl", "AdminHost"}
    text = (ROOT / "zappa_settings.json").read_text()
    assert {part.split("}")[0] for part in text.split("${")[1:]} <= known


def test_no_role_is_allowed_everything_on_everything() -> None:
    unavoidable = {"NetworkInterfaces", "DoctorLooksAtTheMail"}  # AWS knows no narrower resource for these
    for name, resource in RESOURCES.items():
        if resource["Type"] not in ("AWS::IAM::RolePolicy", "AWS::IAM::ManagedPolicy"):
            continue
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Allow":
                actions = (
                    statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                )
                assert not any("*" in action for action in actions), name
                assert statement["Resource"] != "*" or statement.get("Sid") in unavoidable, name


def test_every_alarm_tells_somebody_and_every_function_has_one() -> None:
    alarms = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    assert all(alarm["AlarmActions"] == [{"Ref": "Alarms"}] for alarm in alarms)
    watched = {alarm["MetricName"] for alarm in alarms}
    assert watched == {
        "ApproximateNumberOfMessagesVisible", "Errors", "Throttles", "Duration",
        "DatabaseConnections", "FreeStorageSpace", "FilesImported",
    }  # fmt: skip


def test_silence_is_watched_for_a_settable_time_or_not_at_all() -> None:
    alarm = RESOURCES["SilenceAlarm"]
    assert alarm["Condition"] == "WatchForSilence"
    assert alarm["Properties"]["EvaluationPeriods"] == {"Ref": "NoImportForHours"}
    assert alarm["Properties"]["TreatMissingData"] == "breaching"


def test_the_dashboard_draws_every_metric_of_the_worker_and_lists_every_alarm(
    on_lambda: None, capsys: pytest.CaptureFixture[str]
) -> None:
    body, names = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
    widgets = json.loads(body.replace("${AndSilence}", names["AndSilence"]["If"][1]["Sub"]))["widgets"]
    finished = timezone.now()
    for state in (State.SUCCEEDED, State.REJECTED, State.SKIPPED):
        metrics.emit(ImportRun(state=state, request_id="r", started_at=finished, finished_at=finished), "r")
    metrics.emit_failures(1)
    lines = [
        json.loads(line)["_aws"]["CloudWatchMetrics"][0] for line in capsys.readouterr().out.splitlines()
    ]
    emitted = {metric["Name"] for line in lines for metric in line["Metrics"]}
    assert len(emitted) == 9
    drawn = json.dumps([widget["properties"].get("metrics") for widget in widgets])
    assert {name for name in emitted if f'"{name}"' not in drawn} == set()
    listed = " ".join(widgets[-1]["properties"]["alarms"])
    alarms = {name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
    assert {name for name in alarms if f"${{{name}.Arn}}" not in listed} == set()


def test_a_last_resort_deletes_what_nobody_cleaned_up_and_versions_that_nobody_sees() -> None:
    rules = RESOURCES["UploadBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    [uploads] = [rule for rule in rules if rule.get("Prefix") == {"Ref": "Prefix"}]
    assert (uploads["Status"], uploads["ExpirationInDays"]) == ("Enabled", 90)
    assert uploads["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}


def test_functions_reach_s3_by_an_endpoint_and_the_other_services_by_the_gateway() -> None:
    endpoint = RESOURCES["S3Endpoint"]["Properties"]
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["RouteTableIds"] == [{"Ref": "PrivateRoutes"}]
    assert RESOURCES["PrivateRoute"]["Properties"]["NatGatewayId"] == {"Ref": "NatGateway"}
    [out, database] = RESOURCES["FunctionSecurityGroup"]["Properties"]["SecurityGroupEgress"]
    assert (out["FromPort"], database["FromPort"]) == (443, 5432)


def test_what_holds_data_outlives_the_stack() -> None:
    assert RESOURCES["UploadBucket"]["DeletionPolicy"] == "Retain"
    assert RESOURCES["Database"]["DeletionPolicy"] == "Snapshot"
    assert RESOURCES["DatabaseSettings"]["Properties"]["Parameters"]["rds.force_ssl"] == "1"
