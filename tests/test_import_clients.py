"""The command: its exit codes, its JSON, and what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from clients.importing.staging import Staging
from clients.management.commands import import_clients
from clients.models import Client, ImportRun

ROOT = Path(__file__).resolve().parent.parent
HEADER = "Name,Email,Company,Phone,Status\n"
ADA = "Ada,ada@example.com,Acme,,Active\n"
KEYS = [
    "run",
    "state",
    "read",
    "inserted",
    "updated",
    "unchanged",
    "rejected",
    "fault",
    "notices",
    "problems",
]


@pytest.fixture
def run_command(db: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command on a file with this text; its exit code and what it printed."""

    def run(text: str, *options: str) -> tuple[int, str]:
        path = tmp_path / "clients.csv"
        path.write_text(text)
        try:
            call_command("import_clients", str(path), *options)
        except SystemExit as ended:
            return int(ended.code or 0), capsys.readouterr().out
        except CommandError as error:
            return error.returncode, capsys.readouterr().out + str(error)
        raise AssertionError("the command always ends with an exit code")

    return run


@pytest.mark.parametrize(
    ("text", "code", "state"),
    [
        (HEADER + ADA, 0, "succeeded"),
        (HEADER + ADA + "Bob,bob,Acme,,Active\n", 1, "partial"),
        ("a,b\n1,2\n", 2, "rejected"),
    ],
)
def test_exit_code_and_json_say_how_it_went(run_command: Any, text: str, code: int, state: str) -> None:
    ended, printed = run_command(text, "--json")
    shown = json.loads(printed)
    assert (ended, shown["state"]) == (code, state)
    assert list(shown) == [*KEYS, "problems_total"]
    assert shown["read"] == sum(shown[name] for name in ("inserted", "updated", "unchanged", "rejected"))
    assert all(list(problem) == ["line", "column", "code", "message"] for problem in shown["problems"])


def test_our_own_failure_is_exit_code_3_and_changes_nothing(
    run_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError("with a row in its message: ada@example.com")

    monkeypatch.setattr(Staging, "copy", fail)
    # Closing the connection, as a failure does, would end the test's own transaction.
    monkeypatch.setattr("django.db.connection.close", lambda: None)
    code, printed = run_command(HEADER + ADA, "--json")
    shown, sentence = printed.split("\n", 1)
    assert (code, json.loads(shown)["state"]) == (3, "failed")
    assert "nothing was changed" in sentence
    assert "ada@example.com" not in printed
    assert not Client.objects.exists()


def test_a_preview_changes_nothing(run_command: Any) -> None:
    code, printed = run_command(HEADER + ADA, "--preview")
    assert code == 0
    assert "Preview" in printed
    assert not Client.objects.exists()


def test_on_conflict_update_updates(run_command: Any) -> None:
    run_command(HEADER + ADA)
    changed = HEADER + ADA.replace("Acme", "Globex")
    assert run_command(changed)[0] == 1
    assert run_command(changed, "--on-conflict", "update")[0] == 0
    assert Client.objects.get().company == "Globex"
    assert ImportRun.objects.latest().updated == 1


def test_problems_are_capped_and_their_total_is_not(run_command: Any) -> None:
    bad = "".join(f"Ada,ada{n}@example.com,Acme,,Dormant\n" for n in range(150))
    shown = json.loads(run_command(HEADER + bad, "--json")[1])
    assert (len(shown["problems"]), shown["problems_total"]) == (100, 150)


def test_a_file_that_is_not_there(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not a file") as raised:
        call_command("import_clients", str(tmp_path / "missing.csv"))
    assert raised.value.returncode == 2


def test_a_file_that_may_not_be_read(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.csv"
    path.write_text(HEADER + ADA)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # who runs the tests may read anything
    with pytest.raises(CommandError, match="may not be read") as raised:
        call_command("import_clients", str(path))
    assert raised.value.returncode == 2


def test_a_database_that_can_not_be_started_is_exit_code_3(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise PermissionError("/somewhere/.lockfile")

    path = tmp_path / "clients.csv"
    path.write_text(HEADER + ADA)
    monkeypatch.setattr(import_clients, "call_command", fail)
    with pytest.raises(CommandError, match=r"nothing was changed \(PermissionError") as raised:
        call_command("import_clients", str(path))
    assert raised.value.returncode == 3


@pytest.mark.parametrize(("command", "code"), [("import_clients", 3), ("doctor", 1)])
def test_bad_settings_are_a_sentence_and_not_the_exit_code_of_rejected_rows(command: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", command, "samples/clients.csv"],
        env={**os.environ, "IMPORT_ON_CONFLICT": "maybe"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert "IMPORT_ON_CONFLICT" in done.stderr
    assert "Traceback" not in done.stderr
