"""What each file under samples/ is there to show, by the road that an upload takes."""

from pathlib import Path

import pytest
from django.conf import settings

from clients.models import Client, ImportRun
from clients.models.states import State
from local import platform
from tests.road import delivering

SAMPLES = Path(settings.BASE_DIR) / "samples"

# Which mistake stands on which line of every-mistake.csv.
MISTAKES = {
    3: ["Name: missing"],
    4: ["Email: missing"],
    5: ["Company: missing"],
    6: ["Status: missing"],
    8: ["Name: too-long"],
    9: ["Email: too-long"],
    10: ["Company: too-long"],
    11: ["Email: invalid-email"],
    12: ["Email: several-emails"],
    13: ["Phone: invalid-phone"],
    14: ["Phone: invalid-phone"],
    15: ["Phone: invalid-phone"],
    16: ["Status: invalid-status"],
    17: ["Name: control-character"],
    18: ["Company: control-character"],
    19: [": cell-count"],
    20: [": cell-count"],
    22: [": quote"],
    23: ["Email: duplicate"],
    24: [
        "Name: missing",
        "Email: invalid-email",
        "Company: missing",
        "Phone: invalid-phone",
        "Status: invalid-status",
    ],
}


@pytest.fixture
def runs(bucket: str, transactional_db: None) -> dict[str, ImportRun]:
    """The run of every sample, by the sample's name."""
    with delivering():
        return {path.name: platform.import_file(path) for path in sorted(SAMPLES.iterdir())}


def test_the_samples_give_what_they_are_there_to_show(runs: dict[str, ImportRun]) -> None:
    outcomes = {name: (run.state, run.inserted, run.rejected) for name, run in runs.items()}
    assert outcomes == {
        "aliases.csv": (State.SUCCEEDED, 2, 0),
        "clients.csv": (State.SUCCEEDED, 60, 0),
        "every-mistake.csv": (State.PARTIAL, 4, 20),
        "excel-semicolon.csv": (State.SUCCEEDED, 3, 0),
        "without-header.csv": (State.SUCCEEDED, 2, 0),
    }

    found = {
        row.line: [f"{problem.column}: {problem.code}" for problem in row.read_problems()]
        for row in runs["every-mistake.csv"].rejected_rows.all()
    }
    assert found == MISTAKES
    assert Client.objects.get(email="grace@example.org").company == "Navy Yard"

    jose = Client.objects.get(email="jose.pena@example.net")
    assert (jose.name, jose.company, jose.status) == ("Peña; José", 'Señor "Peña" – Café', "Active")
    assert "windows-1252" in str(runs["excel-semicolon.csv"].stored_notices)

    ida = Client.objects.get(email="ida.rhodes@example.com")
    assert (ida.name, ida.company, ida.phone, ida.status) == (
        "Ida Rhodes", "Bureau of Standards", "+15550101000", "Active",
    )  # fmt: skip
    assert "Customer No" in str(runs["aliases.csv"].stored_notices)

    assert Client.objects.get(email="john.doe@example.com").phone == "+1234567890"
    assert "no-header" in str(runs["without-header.csv"].stored_notices)
