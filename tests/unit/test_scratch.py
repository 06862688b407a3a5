# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from harness.errors import InfrastructureError
from harness.guest.scratch import PREFIX, private_folder, sweep

HOLDER = """\
import time
from harness.guest.scratch import private_folder
with private_folder() as folder:
    (folder / "console.log").write_text("left")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_it_is_ours_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("")
        assert sweep(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_owner_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        left = Path(holder.stdout.readline().decode().strip())
        with private_folder():
            assert (left / "console.log").is_file()
        holder.kill()
        holder.wait()
        assert left.is_dir()
        with private_folder():
            assert not left.exists()


def test_a_folder_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    young = tmp_path / f"{PREFIX}young"
    old = tmp_path / f"{PREFIX}old"
    other = tmp_path / "patchbed-else"
    for folder in (young, old, other):
        folder.mkdir()
    os.utime(old, (time.time() - 100,) * 2)
    os.utime(other, (time.time() - 100,) * 2)
    assert sweep(tmp_path) == [old]
    assert young.is_dir()
    assert other.is_dir()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    os.utime(kept, (time.time() - 100,) * 2)
    (tmp_path / f"{PREFIX}link").symlink_to(kept)
    assert sweep(tmp_path) == []
    assert kept.is_dir()


def test_no_room_is_the_hosts_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/no-such-folder")
    with pytest.raises(InfrastructureError, match="set TMPDIR"), private_folder():
        pass
