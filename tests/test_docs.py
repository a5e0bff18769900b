"""The documents name what is there, and nothing that isn't in the repository."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from clients.contract.columns import COLUMNS
from clients.models.states import State

ROOT: Path = settings.BASE_DIR
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SOURCES = [
    path
    for room in ("clients", "clientimport", "workers", "local", "infra", "tests", "benchmarks")
    for path in sorted((ROOT / room).rglob("*"))
    if path.suffix in (".py", ".html", ".txt", ".js", ".yaml", ".mk") and path.name != Path(__file__).name
]
# Where a path in the documents may begin; the shorter forms are for those within the domain and the tests.
_ROOMS = ("", "clients/", "tests/", "clients/templates/")
_PATH = re.compile(r"`((?:[\w.-]+/)+[\w.*<>-]*|[\w-]+\.(?:py|md|json|toml|txt|in|mk))(?:::[\w.]+)?`")
# A design that the repository doesn't hold: what of it still stands is in docs/.
_ELSEWHERE = re.compile(r"DESIGN\.md|PLATFORM_FACTS|SPECIFICATION\.md|STYLE\.md|\.\./shared")


def _exists(path: str) -> bool:
    return any((ROOT / room / path).exists() for room in _ROOMS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_documents_are_there(document: Path) -> None:
    named = {match[1] for match in _PATH.finditer(document.read_text())}
    ours = {
        path
        for path in named
        if path.split("/")[0] in _top_level() or (path.endswith(".py") and not path.startswith("zappa/"))
    }
    missing = {path for path in ours if "*" not in path and "<" not in path and not _exists(path.rstrip("/"))}
    if document.parent.name == "adr" or document.name == "CHANGELOG.md":
        return  # history: what they name may have moved since
    assert not missing


def _top_level() -> set[str]:
    domain = {path.name for path in (ROOT / "clients").iterdir()}
    return domain | {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_cites_what_is_not_in_the_repository(path: Path) -> None:
    assert not _ELSEWHERE.search(path.read_text())


def test_the_readme_has_each_column_with_its_length() -> None:
    table = (ROOT / "README.md").read_text()
    for column in COLUMNS:
        [row] = [line for line in table.splitlines() if re.match(rf"\| {column.title} \|", line)]
        assert ("required" in row) is column.required
        assert f"{column.max_length} characters" in row
        for alias in column.aliases[:2]:
            assert alias in row


def test_the_glossary_draws_every_state() -> None:
    drawn = (ROOT / "docs/glossary.md").read_text().split("stateDiagram")[1]
    assert not [state for state in State if state not in drawn]
