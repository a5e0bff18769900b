"""The Lambda package: a clean environment with the runtime requirements, trimmed and compiled.

Zappa calls `prebuild` before it packs and `finish` on what it packed; both work for `make package` as for
`zappa deploy` and `zappa update`. Numbers and reasons are in docs/deploy.md, "The package".
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-package"
MAX_ZIPPED = 50 * 1000**2
MAX_UNZIPPED = 150 * 1000**2

# Zappa is a deployment tool; only its handler and what that imports run on Lambda. Its other
# requirements (troposphere, placebo, setuptools, …) are not installed at all.
_ZAPPA_AT_RUNTIME = ("durationpy", "werkzeug")
_ZAPPA_MODULES = {"__init__.py", "asgi.py", "handler.py", "middleware.py", "utilities.py", "websocket.py", "wsgi.py"}
# AWS services that the code speaks to; boto3 brings the descriptions of some four hundred others along.
_SERVICES = {"events", "lambda", "s3", "secretsmanager", "ses", "sesv2", "sqs", "sts"}


def prebuild() -> None:
    """Zappa's `prebuild_script`: make the clean environment and collect the static files.

    Points VIRTUAL_ENV, which is what Zappa packs, to that environment.
    """
    _install()
    os.environ["VIRTUAL_ENV"] = str(ENVIRONMENT)
    # As on Lambda: hashed names and a manifest. Nothing connects to this database.
    pretended = {
        "RDS_HOST": "build.invalid", "RDS_USER": "build", "RDS_PASS": "build", "RDS_DB": "build",
        "DJANGO_SECRET_KEY": "build", "NOTIFICATION_EMAIL": "build@build.invalid",
    }
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "--clear", "--verbosity", "0"],
        cwd=ROOT, env={**os.environ, **pretended}, check=True,
    )


def finish(cli: Any) -> None:
    """Zappa's `zip` callback: trim, compile, and refuse what Lambda would refuse."""
    path = Path(cli.zip_path)
    rewrite(path)
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


def rewrite(package: Path) -> None:
    """Drop what Lambda never loads, and add bytecode that is valid whatever the files' times are.

    Zappa's zip says 1980 for every file, so bytecode that is checked by time would never be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with zipfile.ZipFile(package) as archive:
            archive.extractall(root, [name for name in archive.namelist() if _is_needed(name)])
        compileall.compile_dir(
            root, quiet=2, maxlevels=20, stripdir=folder, prependdir="/var/task",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        smaller = package.with_suffix(".tmp")
        with zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in _files(root):
                _add(archive, path, str(path.relative_to(root)))
        smaller.replace(package)


def _files(root: Path) -> Iterator[Path]:
    return (path for path in sorted(root.rglob("*")) if path.is_file())


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    info = zipfile.ZipInfo(name)  # 1980: the same files make the same zip
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16  # Lambda runs as another user: everybody may read
    archive.writestr(info, path.read_bytes(), compresslevel=9)


def _is_needed(name: str) -> bool:
    parts = Path(name).parts
    match parts[0]:
        case "botocore" if len(parts) > 3 and parts[1] == "data":
            return parts[2] in _SERVICES
        case "boto3" if len(parts) > 3 and parts[1] == "data":
            return parts[2] in _SERVICES
        case "boto3" if "examples" in parts:
            return False
        case "zappa":
            return parts[1] in _ZAPPA_MODULES
        case "bin" | "include":
            return False
    # USE_I18N is off; the English catalogue is what the admin's JavaScript asks for.
    if "locale" in parts and parts[-1].endswith((".mo", ".po")):
        return "en" in parts and parts[-1].endswith(".mo")
    return not parts[0].endswith(".dist-info") or parts[-1] in ("METADATA", "entry_points.txt")


def _install() -> None:
    """Install what requirements.txt pins for Lambda's platform, unless that is what is there.

    Wheels for Lambda, not for this machine: the package is the same from Linux, macOS and Windows.
    """
    requirements = (ROOT / "requirements.txt").read_text()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    marker = ENVIRONMENT / "installed"
    wanted = hashlib.sha256(f"{version}\n{requirements}{Path(__file__).read_text()}".encode()).hexdigest()
    if marker.exists() and marker.read_text() == wanted:
        return
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    lines = [line.split("#")[0].strip() for line in requirements.splitlines()]
    zappa = next(line for line in lines if line.startswith("zappa=="))
    others = [line for line in lines if line and line != zappa]
    target = ENVIRONMENT / "lib" / f"python{version}" / "site-packages"
    for packages in ([*others, *_ZAPPA_AT_RUNTIME], ["--no-deps", zappa]):
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
             "--target", str(target), "--platform", "manylinux2014_x86_64", "--implementation", "cp",
             "--python-version", version, "--only-binary=:all:", *packages],
            check=True,
        )  # fmt: skip
    marker.write_text(wanted)
