# SPDX-License-Identifier: GPL-2.0-or-later
"""Forking a kept work tree: its sources are shared, its objects copied, what changed is new."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.kernel.filestate import State, walk
from harness.kernel.gitstore import Git
from harness.kernel.shadows import shadowed_by
from harness.kernel.trees import KeptTree

_BUILD = "build/"
_NO_TEXT = (".o", ".a", ".ko")
_SOURCES = (".c", ".h", ".S")
_MOST_TEXT = 4 << 20
_AT_ONCE = 500


class SpoiltTreeError(Exception):
    """A kept tree is not what its build left; the words say why."""


@dataclass(frozen=True)
class Changes:
    """The files that differ between two git trees, by what happened to them."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.added) + len(self.changed) + len(self.deleted)


def keeps_configuration(changes: Changes) -> bool:
    """Whether the same wishes come to the same configuration after `changes` as before.

    They do where only C and assembler files differ: Kconfig reads none, and of the scripts that
    it runs all are below scripts/ and tools/.
    """
    names = (*changes.added, *changes.changed, *changes.deleted)
    return all(
        name.endswith(_SOURCES) and not name.startswith(("scripts/", "tools/")) for name in names
    )


def find_changes(git: Git, old: str, new: str, objects: Collection[Path] = ()) -> Changes:
    """Return what differs from the git tree `old` to `new`.

    `objects` are folders of git objects, beside those of `git`, in which they may be.

    Raises:
        GitError: one of the trees is not there.
    """
    if old == new:
        return Changes()
    with _borrowed(git, objects):
        output = git.run("diff-tree", "-r", "-z", "--no-renames", "--name-status", old, new)
    return parse_changes(output)


def parse_changes(output: str) -> Changes:
    """Return the changes in what `git diff-tree -z --no-renames --name-status` printed."""
    fields = output.split("\0")
    found: dict[str, list[str]] = {"A": [], "D": [], "M": []}
    for status, name in zip(fields[::2], fields[1::2], strict=False):
        found[status if status in ("A", "D") else "M"].append(name)
    return Changes(tuple(found["A"]), tuple(found["M"]), tuple(found["D"]))


@contextlib.contextmanager
def _borrowed(git: Git, objects: Collection[Path]) -> Iterator[None]:
    """Let `git` find objects of others meanwhile; later they may be gone."""
    alternates = git.directory / "objects" / "info" / "alternates"
    before = alternates.read_text(encoding="utf-8")
    alternates.write_text(before + "".join(f"{path}\n" for path in objects), encoding="utf-8")
    try:
        yield
    finally:
        alternates.write_text(before, encoding="utf-8")


def fork_tree(parent: KeptTree, target: Path, changes: Changes, git: Git, commit: str) -> None:
    """Make `target` the work tree of `commit`, with `parent`'s objects, as if `parent`'s sources
    had been edited there just now: make then sees no more than `changes`.

    `git` has `target` as its work tree. No file of `parent` is ever written to: its sources are
    hard links here, and each that changes is removed before it is written.

    Raises:
        SpoiltTreeError: `parent` is not what its build left.
        OSError: the disk is full, or has no hard links.
    """
    if target.exists():
        shutil.rmtree(target)
    began = time.time()
    names = _copy(parent, target, began)
    shadowed = shadowed_by(changes.added, names)
    sources = [name for name in shadowed if not name.startswith(_BUILD)]
    for name in shadowed:
        if name.startswith(_BUILD):
            os.utime(target / name)
    for name in (*changes.changed, *changes.deleted, *sources):
        (target / name).unlink(missing_ok=True)
    for name in changes.deleted:
        _remove_empty(target / name, target)
    git.run("read-tree", commit)
    written = (*changes.changed, *changes.added, *sources)
    for start in range(0, len(written), _AT_ONCE):
        git.run("checkout-index", "--force", "--", *written[start : start + _AT_ONCE])


def _copy(parent: KeptTree, target: Path, began: float) -> list[str]:
    """Link the sources and copy the objects of `parent`; return all names."""
    state = State()
    old, new = parent.record.path.encode(), str(target).encode()
    names: list[str] = []
    target.mkdir()
    for name, entry in walk(parent.source, folders=True):
        copy = target / name
        if entry.is_dir(follow_symlinks=False):
            # Empty ones too: kbuild knows files by paths that lead through them and back.
            copy.mkdir()
            continue
        status = entry.stat(follow_symlinks=False)
        if status.st_mtime > began:
            raise SpoiltTreeError(f"{name} has a date in the future")
        state.add(name, status)
        if name.startswith(_BUILD):
            _copy_object(Path(entry.path), copy, old, new)
        else:
            os.link(entry.path, copy, follow_symlinks=False)
        names.append(name)
    if state.hex() != parent.record.state:
        raise SpoiltTreeError("its files are not those that its build left")
    return names


def _copy_object(source: Path, copy: Path, old: bytes, new: bytes) -> None:
    """Copy a file of the build with its dates; where text names the tree's old place, the new.

    kbuild compares such command lines with its own: a path that differs would compile anew.
    """
    if source.is_symlink():
        copy.symlink_to(str(source.readlink()).replace(os.fsdecode(old), os.fsdecode(new)))
        return
    if not source.name.endswith(_NO_TEXT) and source.stat().st_size <= _MOST_TEXT:
        data = source.read_bytes()
        if old in data and b"\0" not in data:
            copy.write_bytes(data.replace(old, new))
            shutil.copystat(source, copy)
            return
    shutil.copy2(source, copy)


def _remove_empty(path: Path, top: Path) -> None:
    """Remove the folders above `path`, up to `top`, that are empty now: git knows none."""
    for folder in path.parents:
        if folder == top:
            return
        try:
            folder.rmdir()
        except OSError:
            return
