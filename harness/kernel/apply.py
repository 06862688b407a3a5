# SPDX-License-Identifier: GPL-2.0-or-later
"""Applying a series: `git am`, and exact words about what does not apply."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BuildError
from harness.kernel.gitstore import Git, GitError
from harness.outcomes import Outcome

# Brackets that are no [PATCH] are a part of the title; carriage returns are of the file.
_OPTIONS = ("--quiet", "--keep-cr", "--keep-non-patch", "--no-3way", "--whitespace=nowarn")
_CHECKING = re.compile(r"Checking patch (?:.* => )?(.+)\.\.\.$")
_FAILED = re.compile(r"error: patch failed: (.+):(\d+)$")
_ERROR = re.compile(r"error: ([^:]+): (.+)$")
_HEADER = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@.*")


@dataclass(frozen=True)
class Rejection:
    """Why a patch does not apply to `file`: a hunk (its header line), or another reason."""

    file: str
    hunk: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.hunk} {self.reason}"
            if self.hunk
            else f"{self.file}: {self.reason}"
        )


def apply_patches(
    git: Git, patches: Sequence[Path], onto: str, progress: Callable[[int], None]
) -> str:
    """Apply `patches` with git am where `git` stands; return the commit's id.

    Dates are fixed, so the same patches on the same base give the same id everywhere. `onto`
    names the base in messages; `progress` is called with the number of patches applied.

    Raises:
        BuildError: build.apply, which names the patch, the files and the hunks. The repository
            is then of no more use.
    """
    for number, patch in enumerate(patches, start=1):
        try:
            git.run("am", *_OPTIONS, str(patch))
        except GitError as error:
            raise _failure(git, patch, f"patch {number} of {len(patches)}", onto, error) from error
        progress(number)
    return git.run("rev-parse", "HEAD").strip()


def _failure(git: Git, patch: Path, which: str, onto: str, error: GitError) -> BuildError:
    rejections = _rejections(git, patch)
    lines = tuple(str(rejection) for rejection in rejections) or tuple(
        line for line in error.stderr.splitlines() if line and not line.startswith("hint:")
    )
    return BuildError(
        Outcome.BUILD_APPLY,
        f"{patch.name} ({which}) does not apply to {onto}",
        lines=lines,
        hint=f"rebase {patch} onto {onto}",
    )


def _rejections(git: Git, patch: Path) -> list[Rejection]:
    """Apply `patch` as far as it goes, to learn of every hunk that does not."""
    try:
        touched = git.run("apply", "--numstat", "-z", str(patch)).split("\0")
        files = [entry.split("\t")[-1] for entry in touched if entry]
        known = set(git.run("ls-files", "-z", "--", *files).split("\0")) if files else set()
        git.run("checkout-index", "--force", "--", *[file for file in files if file in known])
        git.run("apply", "--reject", "--verbose", str(patch))
    except GitError as error:
        return parse_rejections(error.stderr, patch.read_text(encoding="utf-8", errors="replace"))
    return []


def parse_rejections(output: str, patch: str) -> list[Rejection]:
    """Return what `git apply --reject --verbose` says on standard error about `patch`."""
    headers = _headers(patch)
    found: list[Rejection] = []
    for line in output.splitlines():
        failed = _FAILED.match(line)
        if failed:
            file, start = failed.group(1), int(failed.group(2))
            found.append(_hunk(file, headers.get(file, []), start))
            continue
        other = _ERROR.match(line)
        if other and other.group(1) not in ("patch failed", "while searching for"):
            found.append(Rejection(other.group(1), "", other.group(2)))
    return found


def _hunk(file: str, headers: list[str], start: int) -> Rejection:
    for number, header in enumerate(headers, start=1):
        match = _HEADER.match(header)
        if match and int(match.group(1)) == start:
            where = f"hunk {number} of {len(headers)} ({header.strip()})"
            return Rejection(file, where, "does not match the source")
    return Rejection(file, f"the hunk at line {start}", "does not match the source")


def _headers(patch: str) -> dict[str, list[str]]:
    """Return the hunk headers of a patch by the file that they change."""
    headers: dict[str, list[str]] = {}
    old = current = ""
    for line in patch.splitlines():
        if line.startswith("--- "):
            old = line[4:].split("\t")[0].strip()
        elif line.startswith("+++ ") and old:
            new = line[4:].split("\t")[0].strip()
            name = old if old != "/dev/null" else new
            current = name.partition("/")[2]
            old = ""
        elif line.startswith("@@ ") and current:
            headers.setdefault(current, []).append(line)
    return headers
