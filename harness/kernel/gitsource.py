# SPDX-License-Identifier: GPL-2.0-or-later
"""Bases from git: a commit, tag or branch of a repository on this machine or elsewhere."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, PatchbedError, UserError
from harness.kernel.base import Source
from harness.kernel.cache import Cache
from harness.kernel.gitstore import OURS, Git, GitError, run_git
from harness.outcomes import Outcome

_FULL = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,39}")
_NEAR = 5
# What git says of a commit or a name that the other side has not, and of no repository.
_UNKNOWN = ("not our ref", "couldn't find remote ref", "no such remote ref", "unadvertised object")
_NO_REPOSITORY = (
    "does not appear to be a git repository",
    "not a git repository",
    "repository not found",
    "' not found",
    "does not exist",
)
# The folder may be another user's; it was named, and nothing of its configuration is run.
_UPLOAD = "git -c safe.directory=* -c core.fsmonitor=false upload-pack"


@dataclass(frozen=True)
class GitSource(Source):
    """A commit, tag or branch of a repository, given by path or address."""

    repository: str
    reference: str

    def check(self) -> None:
        self._commit()

    def identity(self, cache: Cache) -> str:
        return f"git:{self._commit()}"

    def bring(self, store: Git, ref: str, cache: Cache) -> str:
        commit = self._commit()
        local = self._local()
        options = [f"--upload-pack={_UPLOAD}"] if local else []
        address = str(local.resolve()) if local else self.repository
        try:
            if not store.find(f"{commit}^{{commit}}"):
                argv = ("--quiet", "--depth=1", "--no-tags", *options, address, commit)
                store.run("fetch", *argv)
            store.run("update-ref", ref, commit)
        except GitError as error:
            raise self._failed(error) from error
        return commit

    @property
    def _name(self) -> str:
        return f"base git:{self.repository}@{self.reference}"

    def _local(self) -> Path | None:
        path = Path(self.repository).expanduser()
        return path if path.exists() else None

    def _commit(self) -> str:
        """Return the full id of the commit."""
        local = self._local()
        if local is not None:
            return self._local_commit(local)
        if _FULL.fullmatch(self.reference):
            return self.reference
        if ":" not in self.repository:
            raise UserError(
                f"{self._name}: there is no folder {self.repository}",
                hint="check the path, or write an address (https://..., ssh://..., host:path)",
            )
        try:
            peeled = f"{self.reference}^{{}}"
            listed = run_git("ls-remote", self.repository, self.reference, peeled)
            commit = choose_reference(listed, self.reference)
            names = "" if commit else run_git("ls-remote", "--refs", self.repository)
        except GitError as error:
            raise self._failed(error) from error
        if not commit:
            raise self._no_reference(line.split("\t")[-1] for line in names.splitlines())
        return commit

    def _local_commit(self, local: Path) -> str:
        where = (*OURS, "-C", str(local))
        try:
            run_git(*where, "rev-parse", "--git-dir")
        except GitError as error:
            raise UserError(
                f"{self._name}: {error.stderr.strip().removeprefix('fatal: ')}",
                hint="give the path of a git repository, or tree:PATH for a folder of files",
            ) from error
        try:
            wanted = f"{self.reference}^{{commit}}"
            return run_git(*where, "rev-parse", "--verify", "--quiet", wanted).strip()
        except GitError as error:
            if _ABBREVIATED.fullmatch(self.reference):
                self._check_ambiguous(where)
            names = run_git(*where, "for-each-ref", "--format=%(refname)")
            raise self._no_reference(names.splitlines()) from error

    def _check_ambiguous(self, where: tuple[str, ...]) -> None:
        found = run_git(*where, "rev-parse", f"--disambiguate={self.reference}").split()
        if len(found) > 1:
            raise UserError(
                f"{self._name}: {self.reference!r} may be one of {len(found)} objects:"
                f" {', '.join(name[:16] for name in found[:_NEAR])}",
                hint="write more of the commit's id",
            )

    def _no_reference(self, names: Iterable[str]) -> UserError:
        short = [re.sub(r"^refs/(heads|tags|remotes)/", "", name) for name in names]
        near = near_names(self.reference, short)
        known = f"; near: {', '.join(near)}" if near else f" among its {len(short)} names"
        hint = f"git ls-remote {self.repository} lists what there is"
        if _ABBREVIATED.fullmatch(self.reference) and self._local() is None:
            hint = "write all 40 digits of a commit's id: elsewhere it can't be looked up"
        return UserError(f"{self._name}: there is no {self.reference!r}{known}", hint=hint)

    def _failed(self, error: GitError) -> PatchbedError:
        """Return the error for a git command that went to another repository."""
        words = [line for line in error.stderr.splitlines() if line.strip()]
        why = next((line for line in words if not line.startswith("warning:")), "git said nothing")
        why = re.sub(r"^(fatal|error): (remote error: )?", "", why)
        said = error.stderr.lower()
        if any(text in said for text in _UNKNOWN):
            return UserError(
                f"{self._name}: there is no {self.reference!r}: {why}",
                hint="it must be a commit that the repository has, and gives by its id",
            )
        if any(text in said for text in _NO_REPOSITORY):
            return UserError(
                f"{self._name}: {why}", hint="give a path or an address of a git repository"
            )
        return InfrastructureError(
            Outcome.INFRA_WORKER,
            f"{self._name}: {self.repository} can't be reached: {why}",
            hint="check the network, or fetch the commit into a repository here: git:PATH@REF",
        )


def near_names(wanted: str, names: Iterable[str]) -> list[str]:
    """Return a few of `names` that look like `wanted`, the nearest first."""
    known = sorted({name for name in names if name})
    close = difflib.get_close_matches(wanted, known, n=_NEAR, cutoff=0.6)
    within = [name for name in known if wanted.lower() in name.lower() and name not in close]
    return [*close, *within][:_NEAR]


def choose_reference(listed: str, reference: str) -> str:
    """Return the id of the commit that git ls-remote's lines have for `reference`, or ""."""
    found = {name: commit for commit, name in (line.split() for line in listed.splitlines())}
    # A tag's own object is no commit; what it points to is listed with ^{}.
    forms = ("refs/tags/{}^{{}}", "{}^{{}}", "refs/tags/{}", "refs/heads/{}", "{}")
    return next(
        (found[form.format(reference)] for form in forms if form.format(reference) in found), ""
    )
