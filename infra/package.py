"""The Lambda package: a clean environment with the runtime requirements, trimmed and compiled.

Zappa calls `prebuild` before it packs and `finish` on what it packed; both work for `make package` as for
`zappa deploy` and `zappa update`. Numbers and reasons are in docs/deploy.md, "The package".
"""

import compileall
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-package"
MAX_ZIPPED = 50 * 1000**2
MAX_UNZIPPED = 150 * 1000**2

# Zappa is a deployment tool; only its handler and what that imports run on Lambda. What else only Zappa needs
# (troposphere, placebo, setuptools, …) is not installed at all.
_ZAPPA_AT_RUNTIME = {"durationpy", "werkzeug"}
_ZAPPA_MODULES = {
    "__init__.py",
    "asgi.py",
    "handler.py",
    "middleware.py",
    "utilities.py",
    "websocket.py",
    "wsgi.py",
}
# AWS services that the code speaks to; boto3 brings the descriptions of some four hundred others along.
_SERVICES = {"events", "lambda", "s3", "secretsmanager", "ses", "sesv2", "sqs", "sts"}


# Set for the children of infra.deploy, which prepares once and packs three times.
PREPARED = "CLIENT_IMPORT_PACKAGE_PREPARED"


def prebuild() -> None:
    """Zappa's `prebuild_script`: make the clean environment and collect the static files.

    Points VIRTUAL_ENV, which is what Zappa packs, to that environment.
    """
    os.environ["VIRTUAL_ENV"] = str(ENVIRONMENT)
    if os.environ.get(PREPARED):
        return
    _install()
    # As on Lambda: hashed names and a manifest. Nothing connects to this database.
    pretended = {
        "RDS_HOST": "build.invalid", "RDS_USER": "build", "RDS_PASS": "build", "RDS_DB": "build",
        "DJANGO_SECRET_KEY": "build", "NOTIFICATION_EMAIL": "build@build.invalid",
    }  # fmt: skip
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "--clear", "--verbosity", "0"],
        cwd=ROOT,
        env={**os.environ, **pretended},
        check=True,
    )


def finish(cli: Any) -> None:
    """Zappa's `zip` callback: add bytecode, and refuse what Lambda would refuse."""
    path = Path(cli.zip_path)
    add_bytecode(path)
    zipped, unzipped = sizes(path)
    click.echo(f"Package: {zipped / 1e6:.1f} MB zipped, {unzipped / 1e6:.1f} MB unzipped.")
    if zipped > MAX_ZIPPED or unzipped > MAX_UNZIPPED:
        raise click.ClickException(
            f"The package is larger than {MAX_ZIPPED / 1e6:.0f} MB zipped or {MAX_UNZIPPED / 1e6:.0f} MB "
            "unzipped. See what grew with: unzip -lv PACKAGE | sort -n"
        )


def sizes(package: Path) -> tuple[int, int]:
    """Bytes zipped and unzipped."""
    with zipfile.ZipFile(package) as archive:
        return package.stat().st_size, sum(info.file_size for info in archive.infolist())


def add_bytecode(package: Path) -> None:
    """Add to each module its bytecode, valid whatever the file's time says.

    Zappa's zip says 1980 for every file, so bytecode that is checked by time would never be used.
    """
    libraries = _site_packages()
    with zipfile.ZipFile(package, "a") as archive, tempfile.TemporaryDirectory() as folder:
        names = set(archive.namelist())
        modules = sorted(name for name in names if name.endswith(".py"))
        own = [name for name in modules if not (libraries / name).exists()]
        archive.extractall(folder, own)
        _compile(Path(folder))
        for name in modules:
            compiled = cache_from_source(name)
            source = Path(folder if name in set(own) else libraries) / compiled
            if source.exists() and compiled not in names:
                _add(archive, source, compiled)


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16  # Lambda runs as another user: everybody may read
    archive.writestr(info, path.read_bytes())


def _compile(folder: Path) -> None:
    compileall.compile_dir(
        folder,
        quiet=2,
        stripdir=str(folder),
        prependdir="/var/task",  # what tracebacks show
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


def _site_packages() -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return ENVIRONMENT / "lib" / version / "site-packages"


def _is_needed(path: Path) -> bool:
    """Whether a file of the installed packages, relative to their folder, is ever loaded on Lambda."""
    parts = path.parts
    match parts[0]:
        case "botocore" | "boto3" if len(parts) > 3 and parts[1] == "data":
            return parts[2] in _SERVICES
        case "boto3" if "examples" in parts:
            return False
        case "zappa":
            return parts[1] in _ZAPPA_MODULES
        case "bin" | "include" | "README.rst":
            return False
    if "tests" in parts or "licenses" in parts:
        return False
    if path.suffix in (".mo", ".po"):
        # USE_I18N is off; the English catalogue is what the admin's JavaScript asks for.
        return "en" in parts and path.suffix == ".mo"
    return not parts[0].endswith(".dist-info") or path.name in ("METADATA", "entry_points.txt")


def _install() -> None:
    """Install what requirements.txt pins for Lambda's platform, unless that is what is there.

    Wheels for Lambda, not for this machine: the package is the same from Linux, macOS and Windows.
    """
    requirements = (ROOT / "requirements.txt").read_text()
    target = _site_packages()
    marker = ENVIRONMENT / "installed"
    wanted = hashlib.sha256(
        f"{target.parent.name}\n{requirements}{Path(__file__).read_text()}".encode()
    ).hexdigest()
    if marker.exists() and marker.read_text() == wanted:
        return
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(_shipped(requirements)))
        file.flush()
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
             "--target", str(target), "--platform", "manylinux2014_x86_64", "--implementation", "cp",
             "--python-version", target.parent.name.removeprefix("python"), "--only-binary=:all:",
             "--no-deps", "--require-hashes", "--requirement", file.name],
            check=True,
        )  # fmt: skip
    for path in target.rglob("*"):
        if path.is_file() and not _is_needed(path.relative_to(target)):
            path.unlink()
    _compile(target)
    marker.write_text(wanted)


def _shipped(lock: str) -> Iterator[str]:
    """The packages of the lock that Lambda gets, each with its hashes: all but what only Zappa needs."""
    packages = {match["name"]: match for match in _LOCKED.finditer(lock)}
    needed_by = {name: set(_VIA.findall(match["via"])) for name, match in packages.items()}
    left_out = {"zappa"}  # what only it needs; its handler is shipped
    while more := {
        name for name, by in needed_by.items() if by <= left_out and name not in _ZAPPA_AT_RUNTIME | left_out
    }:
        left_out |= more
    return (match["pin"] for name, match in packages.items() if name == "zappa" or name not in left_out)


# A pinned package of the lock: its version with the hashes, and the packages that it is needed by.
_LOCKED = re.compile(
    r"^(?P<pin>(?P<name>[a-z0-9-]+)==.*\n(?:    --hash.*\n)+)(?P<via>(?:    # .*\n)+)", re.MULTILINE
)
_VIA = re.compile(r"^    #(?: via|  ) +(\S.*)$", re.MULTILINE)
