"""`python manage.py runlocal` as a newcomer starts it: a process of its own, with a folder of its own."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3
from django.conf import settings
from django.core.management import CommandError, call_command

from local import aws, platform
from local.protocol import HOST

SAMPLES = Path(settings.BASE_DIR) / "samples"


@contextmanager
def _folder() -> Iterator[Path]:
    """A LOCAL_DIR. Not pytest's, which are private: for root, PostgreSQL's data would go elsewhere."""
    with tempfile.TemporaryDirectory(prefix="runlocal-") as name:
        path = Path(name).resolve()
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The LOCAL_DIR that the processes of this module share, as one newcomer's do."""
    with _folder() as path:
        yield path


@pytest.fixture
def new_home() -> Iterator[Path]:
    """A LOCAL_DIR that nothing was started in."""
    with _folder() as path:
        yield path


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


class Process:
    """A runlocal at work, the lines it prints, and every process that belongs to it."""

    def __init__(self, home: Path, *arguments: object) -> None:
        self.home = home
        self.aws_port, self.admin_port = _free_port(), _free_port()
        self._child = subprocess.Popen(
            [sys.executable, "manage.py", "runlocal", *map(str, arguments)],
            cwd=settings.BASE_DIR,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._child.pid
        self.out: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        ports = {"LOCAL_AWS_PORT": str(self.aws_port), "LOCAL_ADMIN_PORT": str(self.admin_port)}
        return {**ours, **ports, "LOCAL_DIR": str(self.home), "PYTHONUNBUFFERED": "1"}

    def _read(self) -> None:
        assert self._child.stdout
        self.out.extend(self._child.stdout)

    def until(self, text: str, seconds: float = 30) -> None:
        """Wait until it has printed the text."""
        end = time.monotonic() + seconds
        while not any(text in line for line in list(self.out)):
            assert time.monotonic() < end, f"{text!r} did not come in {self.out}"
            assert self._child.poll() is None, f"ended before {text!r}: {self.out}"
            time.sleep(0.05)

    def family(self) -> list[psutil.Process]:
        """Itself, its children, and PostgreSQL, which is nobody's child."""
        found = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        lock = self.home / "postgres" / "postmaster.pid"
        if lock.exists():
            pid = abs(int(lock.read_text().split(maxsplit=1)[0]))  # negative while it is being made
            if psutil.pid_exists(pid):
                found.append(psutil.Process(pid))
        return found

    def send(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def end(self, seconds: float = 60) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        code = self._child.wait(timeout=seconds)
        self._reader.join()
        assert self._child.stdout
        assert self._child.stderr
        with self._child.stdout, self._child.stderr:
            return code, "".join(self.out), self._child.stderr.read()


def _left(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of the processes that don't end within a few seconds."""
    return list(psutil.wait_procs(processes, timeout=10)[1])


def test_once_imports_the_files_prints_a_json_line_for_each_and_says_in_its_exit_code_if_one_was_rejected(
    home: Path, tmp_path: Path
) -> None:
    code, out, errors = Process(home, "--once", "--json", SAMPLES / "clients.csv").end()
    assert (code, errors) == (0, "")
    run = json.loads(out)
    assert (run["state"], run["read"], run["inserted"]) == ("succeeded", 60, 60)

    faulty = tmp_path / "faulty.csv"
    faulty.write_text("Name,Phone\n")
    code, out, errors = Process(home, "--once", "--json", SAMPLES / "clients.csv", faulty).end()
    assert (code, errors) == (1, "")
    again, rejected = map(json.loads, out.splitlines())
    assert (again["state"], again["read"], again["unchanged"]) == ("succeeded", 60, 60)
    assert (rejected["state"], rejected["read"]) == ("rejected", 0)
    assert "Email" in rejected["fault"]


@pytest.fixture
def serving(home: Path) -> Iterator[Process]:
    process = Process(home)
    try:
        process.until("Ctrl-C ends everything")
        yield process
    finally:
        if psutil.pid_exists(process.pid):
            process.send(signal.SIGKILL)
            process.end()


def test_it_serves_the_admin_imports_what_is_uploaded_and_ctrl_c_leaves_nothing_behind(
    serving: Process,
) -> None:
    screen = "".join(serving.out)
    admin = f"http://127.0.0.1:{serving.admin_port}/admin/"
    assert admin in screen
    for path in ("", "login/", "../static/admin/css/base.css"):
        assert urllib3.request("GET", f"{admin}{path}").status == 200
    assert _can_log_in(admin, screen)

    started = time.monotonic()
    _paste_the_curl_line(screen, SAMPLES / "without-header.csv")
    serving.until("without-header.csv: 2 rows: 2 new")
    serving.until("E-mail to admin@clientdomain.com: Imported: without-header.csv")
    assert time.monotonic() - started < 4

    family = serving.family()
    assert len(family) >= 3
    serving.send(signal.SIGINT)
    code, _, errors = serving.end()
    assert (code, errors) == (0, "")
    assert not _left(family)


def _can_log_in(admin: str, screen: str) -> bool:
    [login] = [line for line in screen.splitlines() if line.strip().startswith("Login")]
    name, password = login.split(maxsplit=1)[1].split(" / ")
    form = urllib3.request("GET", f"{admin}login/")
    cookie = form.headers["Set-Cookie"].split(";")[0]
    token = cookie.split("=")[1]
    answer = urllib3.request(
        "POST",
        f"{admin}login/",
        fields={"username": name, "password": password, "csrfmiddlewaretoken": token},
        headers={"Cookie": cookie},
        redirect=False,
    )
    return answer.status == 302


def _paste_the_curl_line(screen: str, path: Path) -> None:
    [line] = [line.strip() for line in screen.splitlines() if "curl" in line]
    subprocess.run(
        line.replace("my.csv", shlex.quote(str(path))), shell=True, check=True, capture_output=True
    )


def test_ctrl_c_lets_an_import_finish_first_and_a_second_one_repeats_it_at_the_next_start(
    home: Path, tmp_path: Path
) -> None:
    large = tmp_path / "large.csv"
    with large.open("w") as file:
        file.write("Name,Email,Company,Status\n")
        file.writelines(f"N{n},n{n}@example.net,C,Active\n" for n in range(150_000))

    process = Process(home, large)
    _until_running(process)
    family = process.family()
    process.send(signal.SIGINT)
    process.until("finished first")
    process.send(signal.SIGINT)
    code, out, _ = process.end()
    assert code == 0
    assert "Stopped at once" in out
    assert not _left(family)

    process = Process(home)
    process.until("large.csv: 150,000 rows: 150,000 new", 60)
    process.send(signal.SIGTERM)
    assert process.end()[0] == 0


def _until_running(process: Process) -> None:
    """Wait until the log says that an import has started."""
    log = process.home / "log.jsonl"

    def started() -> int:
        return log.read_text().count('"claimed"') if log.exists() else 0

    before = started()
    end = time.monotonic() + 40
    while started() == before:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_one_blocks_no_next_start_which_then_stops_what_was_left(home: Path) -> None:
    killed = Process(home)
    killed.until("Ctrl-C ends everything")
    family = killed.family()
    postgres = family[-1]
    killed.send(signal.SIGKILL)
    killed.end()
    assert _left([process for process in family if process != postgres]) == []
    assert postgres.is_running(), "nobody was there to stop it"

    assert Process(home, "--once", SAMPLES / "clients.csv").end()[0] == 0
    assert not _left([postgres])


@pytest.mark.parametrize("seconds", [1.4, 2.4])
def test_a_signal_while_it_starts_leaves_nothing_behind(new_home: Path, seconds: float) -> None:
    process = Process(new_home)
    time.sleep(seconds)
    family = process.family()
    process.send(signal.SIGTERM)
    process.end()
    assert not _left(family)
    assert not (new_home / "postgres" / "postmaster.pid").exists()


# --- what goes wrong before anything is started ---------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--once"], "name at least one"),
        (["--once", "nowhere.csv"], "nowhere.csv is not a file"),
        (["nowhere.csv"], "nowhere.csv is not a file"),
    ],
)
def test_a_wrong_call_is_told_in_one_sentence(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("runlocal", *arguments)


def test_with_a_database_of_ones_own_it_refuses_and_says_what_to_do(settings: Any) -> None:
    settings.LOCAL = False
    with pytest.raises(CommandError, match="Unset RDS_HOST"):
        call_command("runlocal")


def test_an_admin_port_in_use_is_told_with_the_variable_that_changes_it() -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(aws.PortInUse, match=f"Port {port} .* in use.* LOCAL_ADMIN_PORT"):
            platform.AdminServer(port)


@pytest.mark.django_db(transaction=True)
def test_an_upload_whose_event_is_lost_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "_EVENT_SECONDS", 0.3)
    with pytest.raises(platform.EventLost, match="no import of it began"):
        platform.import_file(SAMPLES / "clients.csv")
