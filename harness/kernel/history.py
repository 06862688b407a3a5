# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository's history between two commits, as a bisection needs it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.kernel.gitstore import OURS, GitError, run_git

_LISTED = re.compile(r"([0-9a-f]{40,64}) \(.*\bdist=(\d+)\)")
# What `git bisect start --no-checkout` calls the commit that is asked about.
_ASKED = "BISECT_HEAD"


@dataclass(frozen=True)
class Between:
    """A commit, and how many commits the answer about it rules out at least."""

    commit: str
    distance: int


@dataclass(frozen=True)
class History:
    """The commits of the repository at `folder`, a work tree or a bare one; it is only read.

    What is asked of a commit that is not there raises UserError.
    """

    folder: Path

    def find(self, revision: str) -> str:
        """Return the id of the commit that `revision` names, "" where there is none."""
        try:
            return self._git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
        except GitError:
            return ""

    def asked(self) -> str:
        """Return the id of the commit that `git bisect` asks about: HEAD, or what stands for it.

        Raises:
            UserError: there is no commit at all.
        """
        commit = self.find(_ASKED) or self.find("HEAD")
        if not commit:
            raise UserError(f"{self.folder} has no commit", hint="run it in a kernel's repository")
        return commit

    def between(self, bad: str, good: Collection[str]) -> list[Between]:
        """Return `bad` and what led to it since `good`, the one that halves them best first.

        Distances and their order are git's own (`git rev-list --bisect-all`).
        """
        lines = self._read("rev-list", "--bisect-all", bad, *(f"^{commit}" for commit in good))
        return [Between(found[1], int(found[2])) for found in _LISTED.finditer(lines)]

    def leads_to(self, earlier: str, later: str) -> bool:
        """Return whether `earlier` is an ancestor of `later`, or the same."""
        try:
            self._git("merge-base", "--is-ancestor", earlier, later)
        except GitError as error:
            if error.status == 1:
                return False
            raise self._failed(error) from error
        return True

    def parents(self, commit: str) -> list[str]:
        """Return the ids of a commit's parents; none where the history begins, or is cut."""
        return self._read("rev-list", "--parents", "--max-count=1", commit).split()[1:]

    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message."""
        return self._read("log", "--max-count=1", "--format=%s", commit).strip()

    def _read(self, *arguments: str) -> str:
        try:
            return self._git(*arguments)
        except GitError as error:
            raise self._failed(error) from error

    def _failed(self, error: GitError) -> UserError:
        words = error.stderr.strip().removeprefix("fatal: ").partition("\n")[0]
        return UserError(
            f"{self.folder}: {words or 'git failed'}",
            hint="all commits from the good to the bad one have to be there, and be readable",
        )

    def _git(self, *arguments: str) -> str:
        return run_git(*OURS, "-c", "log.decorate=no", "-C", str(self.folder), *arguments)


def open_history(folder: Path) -> History:
    """Return the history of the repository at `folder`.

    Raises:
        UserError: there is none.
    """
    folder = folder.expanduser().resolve()
    history = History(folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder} is no folder: to bisect, the whole history has to be here",
            hint="clone the repository, and write git:PATH@REV",
        )
    try:
        run_git(*OURS, "-C", str(folder), "rev-parse", "--git-dir")
    except GitError as error:
        raise UserError(
            f"{folder}: {error.stderr.strip().removeprefix('fatal: ')}",
            hint="give the path of a git repository: git:PATH@REV",
        ) from error
    return history
