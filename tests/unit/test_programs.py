# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.errors import BuildError, UserError
from harness.guest import programs
from harness.guest.programs import build_programs
from harness.outcomes import Outcome

GOOD = '#include "answer.h"\nint main(void) { return ANSWER; }\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "testcases"
    (folder / "area" / "programs").mkdir(parents=True)
    (folder / "include").mkdir()
    (folder / "include" / "answer.h").write_text("#define ANSWER 42\n")
    (folder / "area" / "programs" / "good.c").write_text(GOOD)
    return folder


def test_programs_are_built_static_and_once(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build_programs(source)
    assert [path.name for path in folder.iterdir()] == ["good"]
    assert subprocess.run([folder / "good"], check=False).returncode == 42
    told = subprocess.run(["ldd", folder / "good"], capture_output=True, text=True, check=False)
    assert "not a dynamic" in told.stderr + told.stdout
    monkeypatch.setattr(programs, "_build", lambda *_: pytest.fail("built again"))
    assert build_programs(source) == folder


def test_a_changed_header_builds_again(source: Path) -> None:
    first = build_programs(source)
    (source / "include" / "answer.h").write_text("#define ANSWER 7\n")
    second = build_programs(source)
    assert first != second
    assert subprocess.run([second / "good"], check=False).returncode == 7


def test_an_error_is_told_with_the_compilers_lines_and_leaves_nothing(source: Path) -> None:
    (source / "area" / "programs" / "bad.c").write_text("int main(void) { return x; }\n")
    with pytest.raises(BuildError, match=r"bad\.c does not compile") as caught:
        build_programs(source)
    assert caught.value.outcome is Outcome.BUILD_COMPILE
    assert any("undeclared" in line for line in caught.value.lines)
    cache = source.parent / "cache" / "patchbed" / "programs"
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_two_programs_of_one_name_are_refused(source: Path) -> None:
    (source / "other" / "programs").mkdir(parents=True)
    (source / "other" / "programs" / "good.c").write_text(GOOD)
    with pytest.raises(UserError, match="two programs called good"):
        build_programs(source)
