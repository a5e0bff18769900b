"""Everything that ships, and all that develops it, is pinned with hashes, at the versions that we ask for."""

import re

import pytest
from django.conf import settings

from infra.package import _shipped

_PIN = re.compile(r"^([a-z0-9-]+)(?:\[.*?\])?==([^\s;]+)", re.MULTILINE)
_LOCKS = {
    "requirements.in": "requirements.txt",
    "requirements-dev.in": "requirements-dev.txt",
    "benchmarks/requirements.in": "benchmarks/requirements.txt",
}


def _pins(name: str) -> dict[str, str]:
    text = (settings.BASE_DIR / name).read_text()
    return dict(_PIN.findall(text.lower()))


@pytest.mark.parametrize(("wanted", "lock"), _LOCKS.items())
def test_the_lock_holds_what_is_asked_for(wanted: str, lock: str) -> None:
    locked = _pins(lock)
    missing = {name: version for name, version in _pins(wanted).items() if locked.get(name) != version}
    assert not missing, "run `make lock`"


@pytest.mark.parametrize("lock", _LOCKS.values())
def test_every_package_of_the_lock_has_hashes(lock: str) -> None:
    text = (settings.BASE_DIR / lock).read_text()
    for name in _pins(lock):
        assert re.search(rf"^{name}==.*\\\n    --hash=sha256:", text, re.MULTILINE), name


def test_developers_have_the_versions_that_ship() -> None:
    developing = _pins("requirements-dev.txt")
    assert {name: developing.get(name) for name in _pins("requirements.txt")} == _pins("requirements.txt")


def test_lambda_gets_what_the_code_imports_and_nothing_that_only_zappas_deployment_needs() -> None:
    shipped = {pin.split("==")[0] for pin in _shipped((settings.BASE_DIR / "requirements.txt").read_text())}
    asked_for = set(_pins("requirements.in"))
    assert asked_for <= shipped
    assert {"werkzeug", "botocore", "sqlparse"} <= shipped
    assert not shipped & {"troposphere", "placebo", "setuptools", "pip", "wheel"}
