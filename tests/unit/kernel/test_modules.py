# SPDX-License-Identifier: GPL-2.0-or-later
from pathlib import Path

import pytest

from harness.errors import BuildError, UserError
from harness.kernel.artifact import Kernel
from harness.kernel.modules import build_modules, module_sources
from harness.outcomes import Outcome
from tests.unit.kernel.project import Project


@pytest.fixture
def source(project: Project) -> Path:
    folder = project.folder / "testcases"
    for name, text in {
        "Kbuild": "obj-m += area/kernel/\n",
        "area/kernel/Kbuild": "obj-m += probe.o\n",
        "area/kernel/probe.c": '#include <linux/pages.h>\nconst char *at = "at " __FILE__;\n',
        "area/programs/program.c": "int main(void) { return 0; }\n",
        "area/test_probe.py": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def build(project: Project, kernel: Kernel, source: Path) -> Path:
    return build_modules(kernel, source, cache=project.cache)


def test_modules_are_built_once_and_nothing_is_touched(project: Project, source: Path) -> None:
    kernel = project.obtain()
    before = {path: path.stat().st_mtime_ns for path in kernel.folder.rglob("*")}
    files = sorted(source.rglob("*"))
    folder = build(project, kernel, source)
    assert sorted(path.name for path in folder.iterdir()) == ["debug", "meta.json", "probe.ko"]
    assert [path.name for path in (folder / "debug").iterdir()] == ["probe.ko"]
    assert b"at area/kernel/probe.c" in (folder / "probe.ko").read_bytes()
    assert sorted(source.rglob("*")) == files
    assert {path: path.stat().st_mtime_ns for path in kernel.folder.rglob("*")} == before
    made = (folder / "probe.ko").stat().st_mtime_ns
    assert build(project, kernel, source) == folder
    assert (folder / "probe.ko").stat().st_mtime_ns == made
    assert list(project.cache.logs.glob("*")) == []


def test_damaged_modules_are_made_again(project: Project, source: Path) -> None:
    kernel = project.obtain()
    module = build(project, kernel, source) / "probe.ko"
    whole = module.read_bytes()
    for damage in (lambda: module.write_bytes(whole[:-1]), module.unlink):
        damage()
        assert (build(project, kernel, source) / "probe.ko").read_bytes() == whole


def test_another_source_or_kernel_gives_other_modules(project: Project, source: Path) -> None:
    kernel = project.obtain()
    first = build(project, kernel, source)
    (source / "area/test_probe.py").write_text("# is no part of a module")
    (source / "area/programs/program.c").write_text("int main(void) { return 1; }\n")
    assert build(project, kernel, source) == first
    (source / "area/kernel/probe.c").write_text("int changed;\n")
    assert build(project, kernel, source) != first
    project.fragment("basic", "CONFIG_PARENT=y\nCONFIG_CHILD=y\n")
    (source / "area/kernel/probe.c").write_text("int changed;\n")
    assert build(project, project.obtain(), source) != first


def test_a_compile_error(project: Project, source: Path) -> None:
    kernel = project.obtain()
    (source / "area/kernel/probe.c").write_text("int x = nosuch;\n")
    with pytest.raises(BuildError) as caught:
        build(project, kernel, source)
    error = caught.value
    assert error.outcome is Outcome.BUILD_COMPILE
    assert error.lines[0].startswith("area/kernel/probe.c:1:9: error: ")
    assert error.log is not None and "nosuch" in error.log.read_text()
    assert not list(project.cache.modules.glob("*"))
    assert list(project.cache.work.glob("[!.]*")) == []


def test_a_folder_without_kbuild(project: Project, tmp_path: Path) -> None:
    kernel = project.obtain()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="has no Kbuild file"):
        build(project, kernel, empty)


def test_which_files_are_sources(source: Path) -> None:
    names = [str(path.relative_to(source)) for path in module_sources(source)]
    assert names == ["Kbuild", "area/kernel/Kbuild", "area/kernel/probe.c"]
