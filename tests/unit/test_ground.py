# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ConfigError, UserError
from harness.guest.machine import Machine
from harness.paths import KERNEL_PATCHES
from harness.run.ground import Settled, settle


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(folder: Path, text: str) -> Path:
    file = folder / "patchbed.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_files_are_read_once_and_again_when_they_change(tmp_path: Path) -> None:
    file = write(tmp_path, "[limits]\nboot = 7.0\n[bases]\nmine = 'tree:linux'\n")
    first = settle("q35-4g", file)
    assert (first.boot, first.silence) == (7.0, 60.0)
    assert first.bases == {"mine": f"tree:{tmp_path / 'linux'}"}
    assert first.series == str(KERNEL_PATCHES)
    assert first.found_machine().memory_mib == 4096
    assert settle("q35-4g", file) == first
    write(tmp_path, "[limits]\nboot = 8.0\n")
    assert settle("q35-4g", file).boot == 8.0
    assert settle("q35-1g", file).found_machine().memory_mib == 1024


def test_the_second_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "")
    first = settle("smp-4", file)

    def refuse(*_arguments: object) -> Settled:
        raise AssertionError("read again")

    monkeypatch.setattr("harness.run.ground._read", refuse)
    assert settle("smp-4", file) == first
    assert isinstance(settle("smp-4", file).found_machine(), Machine)


def test_a_cache_that_is_damaged_is_not_believed(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    first = settle("q35-4g", file)
    for memory in (tmp_path / "cache" / "patchbed" / "settings").iterdir():
        memory.write_text('{"states": [], "settled": {}}')
    assert settle("q35-4g", file) == first


def test_errors_are_not_remembered(tmp_path: Path) -> None:
    file = write(tmp_path, "[limits]\nboot = 0\n")
    for _time in range(2):
        with pytest.raises(ConfigError, match=r"limits\.boot"):
            settle("q35-4g", file)
    with pytest.raises(UserError, match="no machine 'vax'"):
        settle("vax", write(tmp_path, ""))
