"""Metrics in the log, for CloudWatch to find: only on Lambda, only from the request that did the work."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from clients.aws import metrics
from clients.models import ImportRun
from clients.models.states import State


@pytest.fixture
def on_lambda(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ON_LAMBDA = True
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "ClientDataImportProcessor")


def run(**fields: Any) -> ImportRun:
    finished = timezone.now()
    return ImportRun(
        request_id="r1", started_at=finished - timedelta(seconds=2), finished_at=finished, **fields
    )


def test_a_run_is_one_line_with_rows_by_outcome_its_state_and_its_seconds(
    on_lambda: None, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.emit(run(state=State.PARTIAL, inserted=5, updated=4, unchanged=3, rejected=2), "r1")
    [line] = capsys.readouterr().out.splitlines()
    said = json.loads(line)
    names = ("RowsInserted", "RowsUpdated", "RowsUnchanged", "RowsRejected", "FilesImported", "ImportSeconds")
    assert [said[name] for name in names] == [5, 4, 3, 2, 1, 2.0]
    [described] = said["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "ClientImport"
    assert described["Dimensions"] == [["service"]]
    assert said["service"] == "ClientDataImportProcessor"


def test_a_run_that_another_request_finished_is_not_counted_again(
    on_lambda: None, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.emit(run(state=State.SUCCEEDED), "another request")
    assert capsys.readouterr().out == ""


def test_failed_attempts_are_counted(on_lambda: None, capsys: pytest.CaptureFixture[str]) -> None:
    metrics.emit_failures(2)
    assert json.loads(capsys.readouterr().out)["FilesFailed"] == 2


def test_nothing_is_printed_anywhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.emit(run(state=State.SUCCEEDED), "r1")
    metrics.emit_failures(1)
    assert capsys.readouterr().out == ""
