# SPDX-License-Identifier: GPL-2.0-or-later
"""Compilers by name and path: which are taken, and that each has keys of its own."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from harness.errors import BuildError, InfrastructureError, UserError
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.compiler import find_compiler
from harness.kernel.modules import build_modules
from harness.kernel.reuse import read_reuse
from harness.kernel.variant import parse
from harness.outcomes import Outcome
from tests.unit.kernel.project import Project

# What scripts/cc-version.sh and Kconfig of a real 6.1 print.
TOO_OLD = """\
	@echo '***' >&2
	@echo '*** C compiler is too old.' >&2
	@echo '***   Your GCC version:    4.8.0' >&2
	@echo '***   Minimum GCC version: 5.1.0' >&2
	@echo '***' >&2
	@echo 'scripts/Kconfig.include:44: Sorry, this compiler is not supported.' >&2; false
"""


def wrapper(folder: Path, text: str = "") -> Path:
    """Write a compiler of one's own: gcc, by another path."""
    path = folder / "my-gcc"
    path.write_text(f'#!/bin/sh\n# {text}\nexec gcc "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def obtain_with(project: Project, compiler: str) -> Kernel:
    return obtain(
        parse("mini"),
        "fast",
        listen=project.events.append,
        compiler=compiler,
        aliases=project.bases,
        series_folder=project.patches,
        config_folder=project.config,
        cache=project.cache,
    )


def test_the_binutils_are_part_of_the_identity() -> None:
    identity = find_compiler("gcc").identity
    assert len(identity.split("; ")) == 3
    assert "GNU assembler" in identity and "GNU ld" in identity


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nosuch-gcc", "there is no compiler 'nosuch-gcc' here"),
        ("/nosuch/gcc", "there is no compiler '/nosuch/gcc' here"),
        ("/etc/passwd", "there is no compiler '/etc/passwd' here"),
        ("cat", "'cat' is no C compiler"),
        ("false", "'false' is no C compiler"),
        ("", "is no command"),
        ("gcc -m32", "is no command"),
    ],
)
def test_what_is_no_compiler(command: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        find_compiler(command)
    assert "--compiler" in caught.value.hint


def test_a_host_without_gcc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="gcc is not installed") as caught:
        find_compiler()
    assert caught.value.outcome is Outcome.INFRA_WORKER


def test_a_compiler_by_path_is_known_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = find_compiler(str(wrapper(tmp_path, "one")))
    second = find_compiler(str(wrapper(tmp_path, "other")))
    assert first.identity != second.identity != find_compiler("gcc").identity
    monkeypatch.chdir(tmp_path)
    assert find_compiler("./my-gcc").command == str(tmp_path / "my-gcc")


def test_each_compiler_has_its_own_kernels_trees_and_modules(
    project: Project, tmp_path: Path
) -> None:
    gcc = obtain_with(project, "gcc")
    other = obtain_with(project, str(wrapper(tmp_path)))
    assert other.key != gcc.key
    reuse = read_reuse(other.meta)
    assert reuse is not None and reuse.how == "clean"
    assert (
        obtain_with(project, "gcc").cached and obtain_with(project, str(wrapper(tmp_path))).cached
    )
    source = tmp_path / "modules"
    source.mkdir()
    (source / "Kbuild").write_text("obj-m += probe.o\n")
    (source / "probe.c").write_text("int probe;\n")
    built = [build_modules(kernel, source, cache=project.cache) for kernel in (gcc, other)]
    assert built[0] != built[1]
    (tmp_path / "my-gcc").write_text("#!/bin/sh\nfalse\n")
    with pytest.raises(UserError, match="is no C compiler"):
        build_modules(other, source, cache=project.cache)


@pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed")
def test_clang(project: Project) -> None:
    kernel = obtain_with(project, "clang")
    assert "clang version" in kernel.compiler
    assert kernel.key != obtain_with(project, "gcc").key


def test_a_compiler_too_old_for_the_kernel(project: Project) -> None:
    makefile = project.source / "Makefile"
    text = makefile.read_text().replace("tinyconfig:\n", f"tinyconfig:\n{TOO_OLD}", 1)
    makefile.write_text(text)
    project.pack()
    with pytest.raises(BuildError) as caught:
        obtain_with(project, "gcc")
    assert caught.value.outcome is Outcome.BUILD_CONFIG
    assert "*** C compiler is too old." in caught.value.lines
    assert caught.value.hint == "this kernel can't be built with gcc: use another"
