# SPDX-License-Identifier: GPL-2.0-or-later
"""Test modules for a kernel that was built elsewhere: where there can be none, it is said why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import BuildError
from harness.run.local import modules_for
from tests.unit.kernel.project import Project


@pytest.fixture
def broken(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules that do not compile."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.folder / "home"))
    folder = project.folder / "modules"
    folder.mkdir()
    (folder / "Kbuild").write_text("obj-m += x.o\n")
    (folder / "x.c").write_text("int x = nosuch;\n")
    return folder


def test_without_headers(project: Project, broken: Path) -> None:
    kernel = replace(project.obtain(), meta={"image": "image:x", "lacks": ["headers"]})
    modules, why = modules_for(kernel, broken)
    assert modules is None
    assert why == (
        "needs the test modules, which mini has not: there are no headers to build them against"
    )


def test_modules_that_do_not_compile(project: Project, broken: Path) -> None:
    kernel = project.obtain()
    with pytest.raises(BuildError):
        modules_for(kernel, broken)
    modules, why = modules_for(replace(kernel, meta={"image": "image:x"}), broken)
    assert modules is None
    assert "do not compile for mini; " in why
    assert "'nosuch' undeclared" in why


def test_modules_that_do(project: Project, broken: Path) -> None:
    (broken / "x.c").write_text("int x;\n")
    modules, why = modules_for(project.obtain(), broken)
    assert modules is not None and (modules / "x.ko").is_file()
    assert why == ""
