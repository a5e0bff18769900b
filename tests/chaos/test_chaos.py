"""A few rounds of the chaos harness; `make chaos N=500` plays many."""

import subprocess
import sys
from pathlib import Path


def test_promises_1_2_7_8_9_10_12_14_15_and_16_hold_in_a_few_rounds_of_chaos() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--rounds", "6", "--seed", "1"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    assert "all as it must be" in done.stdout
