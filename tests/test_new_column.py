"""One fact, one place: a new column is a change of the contract, the model and a migration; nothing else.

The house is copied, the column *Country* is added there in those three places, and a file that has it is
imported, changed, exported and undone by the copy.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

_ROOMS = ("clientimport", "clients", "workers", "local", "manage.py")
_SCRIPT = """
import json, django
django.setup()
from clients.importing import service
from clients.importing.invocation import Invocation
from clients.models import Client, ImportRun
from clients.reporting.exports import ClientResource, rejected_cells, rejected_header
from clients.upkeep import undo
from pathlib import Path

def run(text):
    Path("f.csv").write_text(text)
    options = {"conflict_policy": "update", "mode": "import", "invocation": Invocation()}
    return service.import_file(Path("f.csv"), **options)

HEADER = "Name,Email,Company,Phone,Status,Country\\n"
first = run(HEADER + "Ada,ada@example.com,Acme,,Active,Norway\\nBob,bob@example.com,Acme,,Active,\\n")
changed = run(HEADER + "Ada,ada@example.com,Acme,,Active,Sweden\\n")
before = Client.objects.get(email="ada@example.com").country
undo.undo(changed.pk)
print(json.dumps({
    "counts": [first.counts, changed.counts],
    "before": before,
    "after": Client.objects.get(email="ada@example.com").country,
    "export": [list(row) for row in ClientResource().rows(Client.objects.order_by("id"))],
    "rejected": [rejected_header(first), *rejected_cells(first)],
}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The house, with the column in the three places."""
    for room in _ROOMS:
        source = settings.BASE_DIR / room
        if source.is_dir():
            shutil.copytree(source, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / room)
    contract = tmp_path / "clients/contract/columns.py"
    _add(contract, 'Column("status"', 'Column("country", "Country", 60, True),')
    _add(
        tmp_path / "clients/models/client.py",
        'status = ClientField(**_of_contract("status"))',
        'country = ClientField(**_of_contract("country"), default="")',
    )
    _python(tmp_path, "manage.py", "makemigrations", "clients", "--name", "country")
    return tmp_path


def _add(file: Path, before: str, line: str) -> None:
    """Put a line in front of the one that holds `before`."""
    lines = file.read_text().splitlines(keepends=True)
    [number] = [n for n, text in enumerate(lines) if before in text]
    indent = " " * (len(lines[number]) - len(lines[number].lstrip()))
    file.write_text("".join([*lines[:number], f"{indent}{line}\n", *lines[number:]]))


def _python(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "clientimport.settings",
        "LOCAL_DIR": str(folder / "local-data"),
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_column_is_added_in_contract_model_and_migration_alone(copy: Path) -> None:
    _python(copy, "manage.py", "migrate", "--verbosity", "0")
    seen: dict[str, Any] = json.loads(_python(copy, "-c", _SCRIPT).splitlines()[-1])

    first, changed = seen["counts"]
    assert (first["inserted"], first["rejected"]) == (1, 1)
    assert changed["updated"] == 1
    assert (seen["before"], seen["after"]) == ("Sweden", "Norway")
    titles, *clients = seen["export"]
    assert "Country" in titles
    assert [row[titles.index("Country")] for row in clients] == ["Norway"]
    header, *rejected = seen["rejected"]
    assert "Country" in header
    assert ["Country is empty. Fill it in." in row for row in rejected] == [True]
