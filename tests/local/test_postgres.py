"""What local.postgres does about servers that were cut off, and about root's private folders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
