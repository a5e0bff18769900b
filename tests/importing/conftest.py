"""Import bytes as the command and the worker do, on the real database."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.importing import service
from clients.importing.invocation import Invocation
from clients.models import ImportRun
from clients.models.states import ConflictPolicy, Mode

ImportBytes = Callable[..., ImportRun]


@pytest.fixture
def import_bytes(db: None, tmp_path: Path) -> ImportBytes:
    """Imports a file with these bytes; returns its finished run."""
    numbers = itertools.count(1)

    def run(content: bytes, *, policy: str = ConflictPolicy.REJECT, preview: bool = False) -> ImportRun:
        path = tmp_path / f"file-{next(numbers)}.csv"
        path.write_bytes(content)
        return service.import_file(
            path,
            conflict_policy=policy,
            mode=Mode.PREVIEW if preview else Mode.IMPORT,
            invocation=Invocation(),
        )

    return run
