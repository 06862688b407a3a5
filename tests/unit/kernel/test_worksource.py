# SPDX-License-Identifier: GPL-2.0-or-later
"""Bases from folders: what is in them counts, and nothing of theirs is touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.kernel.gitstore import Git
from harness.kernel.source import Base, WorkSource, find_source, obtain_base
from harness.kernel.variant import parse
from tests.unit.kernel.project import Project

ONE_TO_TEN = {"mm/pages.c": ("return 1;", "return 10;")}


def bring(project: Project, folder: Path) -> Base:
    return obtain_base(WorkSource(folder), project.cache, lambda _: None, lambda _: None)


def names(project: Project, base: Base) -> list[str]:
    listed = Git(project.cache.store).run("ls-tree", "-r", "--name-only", "-z", base.commit)
    return sorted(name for name in listed.split("\0") if name)


def content(project: Project, base: Base, name: str) -> str:
    return Git(project.cache.store).run("cat-file", "blob", f"{base.commit}:{name}")


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what would change if anything in `folder` was written, or made anew."""
    paths = [folder, *folder.rglob("*")]
    states = {str(path): path.lstat() for path in paths}
    return {
        path: (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode)
        for path, found in states.items()
    }


@pytest.fixture
def linux(project: Project) -> Path:
    """A work tree with a commit, and a .gitignore as kernels have."""
    folder = project.folder / "work"
    shutil.copytree(project.source, folder)
    (folder / ".gitignore").write_text("*.o\n.*\n!.gitignore\n/vmlinux\n")
    project.git(folder, "init", "--quiet", "--initial-branch=main")
    project.git(folder, "add", "--all")
    project.git(folder, "commit", "--quiet", "--message", "base")
    return folder


def test_a_clean_work_tree_is_its_commit(project: Project, linux: Path) -> None:
    base = bring(project, linux)
    assert base.tree == project.git(linux, "rev-parse", "HEAD^{tree}").strip()
    assert base.identity == f"tree:{base.tree}"
    assert base.release == "6.1.7"


def test_what_is_not_committed_counts(project: Project, linux: Path) -> None:
    (linux / "mm/pages.c").write_text("changed\n")
    (linux / "init/main.c").write_text("staged\n")
    project.git(linux, "add", "init/main.c")
    (linux / "init/main.c").write_text("staged, and changed again\n")
    (linux / "mm/new file\n.c").write_text("new\n")
    (linux / "include/linux/pages.h").unlink()
    base = bring(project, linux)
    assert content(project, base, "mm/pages.c") == "changed\n"
    assert content(project, base, "init/main.c") == "staged, and changed again\n"
    assert "mm/new file\n.c" in names(project, base)
    assert "include/linux/pages.h" not in names(project, base)


def test_what_git_ignores_does_not_count(project: Project, linux: Path) -> None:
    before = bring(project, linux)
    for product in ("mm/pages.o", "vmlinux", ".config"):
        (linux / product).write_text("made\n")
    (linux / ".git/info/exclude").write_text("/notes\n")
    (linux / "notes").write_text("mine\n")
    assert bring(project, linux) == before


def test_what_is_tracked_counts_though_it_is_ignored(project: Project, linux: Path) -> None:
    (linux / "mm/blob.o").write_text("one\n")
    project.git(linux, "add", "--force", "mm/blob.o")
    assert content(project, bring(project, linux), "mm/blob.o") == "one\n"
    (linux / "mm/blob.o").write_text("two\n")
    assert content(project, bring(project, linux), "mm/blob.o") == "two\n"
    (linux / "mm/blob.o").unlink()
    assert "mm/blob.o" not in names(project, bring(project, linux))


def test_the_folder_and_its_repository_are_not_touched(project: Project, linux: Path) -> None:
    (linux / "mm/pages.c").write_text("int pages(void);\n")
    (linux / "mm/new.c").write_text("new\n")
    before = state(linux)
    project.obtain(f"tree:{linux}")
    bring(project, linux)
    assert state(linux) == before


def test_the_store_keeps_what_it_needs(project: Project, linux: Path) -> None:
    (linux / "mm/pages.c").write_text("changed\n")
    base = bring(project, linux)
    shutil.rmtree(linux)
    store = Git(project.cache.store)
    store.run("fsck", "--connectivity-only", base.commit)
    assert len(store.run("ls-tree", "-r", base.commit).splitlines()) == len(names(project, base))
    assert content(project, base, "mm/pages.c") == "changed\n"


def test_a_store_that_is_gone_is_filled_again(project: Project, linux: Path) -> None:
    base = bring(project, linux)
    shutil.rmtree(project.cache.store)
    assert bring(project, linux) == base
    assert "Makefile" in names(project, base)


def test_an_index_of_ours_that_is_damaged_is_made_again(project: Project, linux: Path) -> None:
    base = bring(project, linux)
    (index,) = project.cache.root.glob("sources/trees/*/index")
    index.write_bytes(b"nonsense")
    index.with_name("index.lock").touch()
    assert bring(project, linux) == base


def test_a_folder_without_a_repository(project: Project) -> None:
    clean = bring(project, project.source)
    for product in ("init/main.o", "vmlinux", ".config", "mm/.pages.o.cmd"):
        (project.source / product).write_text("made\n")
    (project.source / "include/generated").mkdir()
    (project.source / "include/generated/autoconf.h").write_text("made\n")
    assert bring(project, project.source) == clean
    (project.source / "mm/pages.c").write_text("changed\n")
    assert bring(project, project.source).tree != clean.tree


def test_a_gitignore_that_ignores_everything(project: Project) -> None:
    """Debian's source packages have one, for those who package the kernel."""
    (project.source / ".gitignore").write_text("/*\n!/debian/\n")
    (project.source / "vmlinux").write_text("made\n")
    found = names(project, bring(project, project.source))
    assert {"Makefile", "mm/pages.c", ".gitignore"} <= set(found)
    assert "vmlinux" not in found


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_was_told_to_overlook(project: Project, linux: Path, flag: str) -> None:
    project.git(linux, "update-index", flag, "mm/pages.c")
    (linux / "mm/pages.c").write_text("changed\n")
    assert content(project, bring(project, linux), "mm/pages.c") == "changed\n"


def test_a_sparse_work_tree_is_whole(project: Project, linux: Path) -> None:
    project.git(linux, "sparse-checkout", "set", "--no-cone", "/*", "!/mm/")
    assert not (linux / "mm").exists()
    assert bring(project, linux).tree == project.git(linux, "rev-parse", "HEAD^{tree}").strip()


def test_an_index_in_parts(project: Project, linux: Path) -> None:
    project.git(linux, "update-index", "--split-index")
    (linux / "mm/pages.c").write_text("changed\n")
    assert content(project, bring(project, linux), "mm/pages.c") == "changed\n"


def test_a_change_in_the_same_moment(project: Project, linux: Path) -> None:
    """Of the same size, and before the clock moved: git's index can't tell by itself."""
    file = linux / "mm/pages.c"
    text = file.read_text()
    for number in range(5):
        file.write_text(text.replace("return 1;", f"return {number};"))
        assert f"return {number};" in content(project, bring(project, linux), "mm/pages.c")
        project.git(linux, "add", "mm/pages.c")


def test_a_linked_work_tree(project: Project, linux: Path) -> None:
    other = project.folder / "other"
    project.git(linux, "worktree", "add", "--quiet", str(other), "-b", "side")
    (other / "mm/pages.c").write_text("changed\n")
    assert content(project, bring(project, other), "mm/pages.c") == "changed\n"


@pytest.mark.parametrize("name", ["a+b", "with space", "a:b", "c++@v1"])
def test_awkward_paths(project: Project, linux: Path, name: str) -> None:
    project.edit(ONE_TO_TEN)
    place = project.folder / name
    linux.rename(place)
    base, patched = project.obtain(f"tree:{place}"), project.obtain(f"tree:{place}+fix@v1")
    assert base.tree == project.git(place, "rev-parse", "HEAD^{tree}").strip()
    assert patched.tree != base.tree


def test_a_path_in_the_home_folder(
    project: Project, linux: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project.folder))
    variant = parse(f"tree:~/{linux.name}")
    source = find_source(variant.base)
    assert isinstance(source, WorkSource)
    assert source.folder == linux


def test_it_is_what_it_was_when_it_was_asked_for(project: Project, linux: Path) -> None:
    source = WorkSource(linux)
    identity = source.identity(project.cache)
    (linux / "mm/pages.c").write_text("changed\n")
    base = obtain_base(_Known(source, identity), project.cache, lambda _: None, lambda _: None)
    assert base.tree == project.git(linux, "rev-parse", "HEAD^{tree}").strip()


class _Known(WorkSource):
    """A source whose identity was taken before."""

    def __init__(self, source: WorkSource, identity: str) -> None:
        self._source, self._identity = source, identity

    def identity(self, cache: object) -> str:
        return self._identity

    def bring(self, store: Git, ref: str, cache: object) -> str:
        return self._source.bring(store, ref, cache)  # type: ignore[arg-type]


def test_a_folder_that_holds_no_kernel(project: Project) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        bring(project, project.folder / "nosuch")
    with pytest.raises(UserError, match="holds no kernel source"):
        bring(project, project.config)
    (project.source / "Makefile").write_text("all:\n")
    with pytest.raises(UserError, match=f"tree:{project.source} holds no kernel source"):
        bring(project, project.source)


def test_what_git_can_not_take_is_named(project: Project, linux: Path) -> None:
    (linux / "mm/sub").mkdir()
    project.git(linux / "mm/sub", "init", "--quiet")
    with pytest.raises(UserError, match="'mm/sub/' does not have a commit") as caught:
        bring(project, linux)
    assert str(linux) in caught.value.message
