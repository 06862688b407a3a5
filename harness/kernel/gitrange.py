# SPDX-License-Identifier: GPL-2.0-or-later
"""A range of a repository's commits, as patches that make the same trees again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BuildError, UserError
from harness.kernel.apply import apply_patches
from harness.kernel.gitstore import Git, GitError, init_bare, init_scratch, run_git
from harness.kernel.source import parse_makefile_version

_FORM = "write git:REPO@A..B, with the path of a repository"
# Nothing of the user's or the repository's settings may show in the patches.
_OPTIONS = (
    "--binary",
    "--full-index",
    "--no-attach",
    "--no-ext-diff",
    "--no-signature",
    "--no-textconv",
    "--numbered",
    "--zero-commit",
)


@dataclass(frozen=True)
class Range:
    """The commits after `first`, up to `last` (their ids), of the repository at `repository`."""

    repository: Path
    first: str
    last: str


def find_range(text: str) -> Range:
    """Return the range that `git:REPO@A..B` means.

    Raises:
        UserError: it has no such form, or there is no such repository or commit.
    """
    repository, at, commits = text.removeprefix("git:").rpartition("@")
    first, dots, last = commits.partition("..")
    if not (repository and at and first and dots and last.strip(".")):
        raise UserError(f"{text!r} is no range of commits", hint=_FORM)
    folder = Path(repository).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"{repository} is no folder", hint=f"{_FORM}; clone it first")
    ids = [_find(folder, name) for name in (first, last.lstrip("."))]
    if last.startswith("."):
        ids[0] = _merge_base(folder, *ids)
    return Range(folder, *ids)


def _merge_base(folder: Path, first: str, last: str) -> str:
    try:
        return run_git("-C", str(folder), "merge-base", first, last).strip()
    except GitError as error:
        raise UserError(
            f"{folder}: {first[:12]} and {last[:12]} have no commit in common",
            hint="write A..B with A before B",
        ) from error


def _find(folder: Path, name: str) -> str:
    try:
        argv = ("-C", str(folder), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return run_git(*argv).strip()
    except GitError as error:
        words = error.stderr.strip()
        raise UserError(
            f"{folder}: {words}" if words else f"{folder} has no commit {name!r}",
            hint=f"git -C {folder} log lists what there is" if not words else _FORM,
        ) from error


def format_range(commits: Range, version: str) -> list[tuple[str, bytes]]:
    """Return name and text of a patch for each of the commits, in order.

    `version` goes into the subjects, unless it is v1. Every patch is applied once, to see that
    it makes the commit's tree again.

    Raises:
        UserError: there are none, a merge is among them, or a commit can't be a patch.
    """
    with tempfile.TemporaryDirectory(prefix="patchbed-range-") as name, _readable(commits):
        folder = Path(name)
        git = _borrow(commits, folder / "bare.git")
        lines = _list(git, commits)
        parent = _parent(git, lines)
        out = folder / "patches"
        prefix = "PATCH" if version == "v1" else f"PATCH {version}"
        what = f"{commits.first}..{commits.last}"
        argv = (*_OPTIONS, f"--subject-prefix={prefix}", "--output-directory", str(out), what)
        git.run("-c", "core.quotePath=true", "format-patch", "--quiet", *argv)
        patches = sorted(out.glob("*.patch"))
        _check(git, folder, parent, lines, patches)
        return [(patch.name, patch.read_bytes()) for patch in patches]


def read_makefile(repository: Path, commit: str) -> str:
    """Return the major.minor that the Makefile at `commit` says, "" if it says none."""
    try:
        makefile = run_git("-C", str(repository), "cat-file", "blob", f"{commit}:Makefile")
    except (GitError, OSError):
        return ""
    version = parse_makefile_version(makefile)
    return f"{version[0]}.{version[1]}" if version else ""


def _borrow(commits: Range, directory: Path) -> Git:
    """Return a repository with the same objects, and no settings."""
    common = run_git("-C", str(commits.repository), "rev-parse", "--git-common-dir").strip()
    owner = (commits.repository / common).resolve()
    git = init_bare(directory)
    alternates = directory / "objects" / "info" / "alternates"
    alternates.write_text(f"{owner / 'objects'}\n", encoding="utf-8")
    if (owner / "shallow").is_file():
        shutil.copy(owner / "shallow", directory / "shallow")
    return git


def _list(git: Git, commits: Range) -> list[list[str]]:
    """Return id, tree and subject of each commit, in order."""
    what = f"{commits.first}..{commits.last}"
    merges = git.run("log", "--merges", "--format=%h %s", what).splitlines()
    found = git.run("log", "--reverse", "--topo-order", "--format=%H %T %s", what)
    if merges:
        raise UserError(
            f"a merge is in {what}: {merges[0]}", hint="rebase the commits, and import that"
        )
    if not found:
        raise UserError(f"there is no commit in {what}", hint="write A..B with A before B")
    return [line.split(" ", 2) for line in found.splitlines()]


@contextlib.contextmanager
def _readable(commits: Range) -> Iterator[None]:
    """Turn what git can't do with a repository into words."""
    try:
        yield
    except GitError as error:
        raise UserError(
            f"{commits.repository}: {error.stderr.strip()}",
            hint="the range's commits and files must all be there: git fetch --unshallow",
        ) from error


def _parent(git: Git, lines: list[list[str]]) -> str:
    """Return the commit that the first one follows; check that each one changes something."""
    parent = git.find(f"{lines[0][0]}^")
    if not parent:
        raise UserError(
            f"{lines[0][0][:12]} has no parent there", hint="begin the range after the first commit"
        )
    for commit, tree, subject in lines:
        if git.find(f"{commit}^^{{tree}}") == tree:
            raise UserError(
                f"{commit[:12]} {subject!r} changes nothing, so it can't be a patch",
                hint="rebase without it",
            )
    return parent


def _check(
    git: Git, folder: Path, parent: str, lines: list[list[str]], patches: list[Path]
) -> None:
    """Apply the patches, and hold what they make against the commits."""
    scratch = init_scratch(folder / "git", folder / "tree", git, parent)
    try:
        apply_patches(scratch, patches, parent[:12], lambda _done: None)
    except BuildError as error:
        raise UserError(
            f"{error.message}: git am does not take what git format-patch wrote",
            hint="; ".join(error.lines),
        ) from error
    made = scratch.run("log", "--reverse", "--format=%T", f"{parent}..HEAD").splitlines()
    for (commit, wanted, subject), tree in zip(lines, made, strict=True):
        if wanted != tree:
            raise UserError(
                f"the patch of {commit[:12]} {subject!r} does not make that commit's tree again",
                hint="line ends or attributes of the tree differ; import the patches as mails",
            )
