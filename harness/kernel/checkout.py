# SPDX-License-Identifier: GPL-2.0-or-later
"""The work tree that a build begins with: forked from an earlier build's, or clean."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.kernel import recipe
from harness.kernel.apply import apply_patches
from harness.kernel.cache import Cache, check_space, digest_json, no_space
from harness.kernel.compiler import Compiler
from harness.kernel.fork import (
    Changes,
    SpoiltTreeError,
    find_changes,
    fork_tree,
    keeps_configuration,
)
from harness.kernel.gitstore import Git, GitError, check_out, init_scratch
from harness.kernel.request import Request
from harness.kernel.reuse import CLEAN, FORKED, Reuse
from harness.kernel.teller import Teller
from harness.kernel.trees import (
    GIT,
    MOST_CHANGED,
    SOURCE,
    Candidate,
    KeptTree,
    Record,
    drop_trees,
    hold_tree,
    kept_trees,
    missed_symbols,
    nearest,
    read_record,
    remove_tree,
)

# A fork copies the objects of its parent and makes some anew; the entry is made of them.
_FORK_EXTRA = 512 << 20


@dataclass(frozen=True)
class Patched:
    """The (patched) source of a build, as a commit of the scratch repository `git`."""

    git: Git
    commit: str
    digest: str


def make_room(cache: Cache, needed: int) -> None:
    """See that `needed` bytes are free; kept trees go where they are not.

    Raises:
        InfrastructureError: infra.disk: there is no room without them either.
    """
    cache.root.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(cache.root).free < needed:
        drop_trees(cache, needed=needed)
    check_space(cache.root, needed)


def patch_source(folder: Path, request: Request, cache: Cache, teller: Teller) -> Patched:
    """Apply the request's series in a repository in `folder`; no file is checked out for it.

    Raises:
        BuildError: build.apply: a patch does not apply.
        UserError: the patches are no longer those that the request was made for.
        GitError: the store can't be used.
    """
    git = init_scratch(folder / GIT, folder / SOURCE, Git(cache.store), request.base.commit)
    commit = request.base.commit
    if request.series is not None:
        patches = request.series.patches
        commit = apply_patches(
            git,
            patches,
            f"{request.variant.base} ({request.base.identity})",
            lambda done: teller.phase("apply", done, len(patches)),
        )
        if request.series.patchset_hash() != request.patchset:
            raise UserError(
                f"the patches of {request.series} were changed while they were applied",
                hint="do it again once they are as they should be",
            )
    return Patched(git, commit, git.run("rev-parse", f"{commit}^{{tree}}").strip())


class Checkout:
    """Fills a build's work tree.

    Args:
        cache: where the kept trees are.
        request: what is going to be built.
        patched: its source.
        teller: is told what is done, and why a kept tree can't be used.
    """

    def __init__(self, cache: Cache, request: Request, patched: Patched, teller: Teller) -> None:
        self._cache = cache
        self._request = request
        self._patched = patched
        self._teller = teller

    def clean(self, reason: str) -> Reuse:
        """Check every file out; `reason` says why."""
        self._teller.phase("check out")
        source = self._source()
        if source.exists():
            shutil.rmtree(source)
        source.mkdir()
        check_out(self._patched.git, self._patched.commit)
        return Reuse(CLEAN, reason)

    def nearest(self) -> Reuse:
        """Fork the nearest kept tree, or check every file out where none will do."""
        request = self._request
        trees = usable(kept_trees(self._cache), request.compiler)
        if not trees:
            return self.clean("no tree of an earlier build with these tools is kept")
        candidates = [found for tree in trees if (found := self._candidate(tree)) is not None]
        chosen = nearest(candidates)
        if chosen is None:
            return self.clean("no kept tree could be compared with this one")
        if chosen.files > MOST_CHANGED:
            name = chosen.tree.record.variant
            return self.clean(f"the nearest tree, of {name}, differs in {chosen.files} files")
        try:
            return self._fork(chosen)
        except (SpoiltTreeError, GitError) as error:
            remove_tree(self._cache, chosen.tree.folder)
            return self._given_up(chosen, str(error))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise no_space(self._source(), recipe.DISK_NEEDED) from error
            return self._given_up(chosen, str(error))

    def _given_up(self, chosen: Candidate, why: str) -> Reuse:
        name = chosen.tree.record.variant
        self._teller.say(
            "warning", f"{self._request.variant}: the tree of {name} is not used: {why}"
        )
        return self.clean(f"the tree of {name} could not be used: {why}")

    def _source(self) -> Path:
        work_tree = self._patched.git.work_tree
        if work_tree is None:
            raise RuntimeError("the repository has no work tree")
        return work_tree

    def _candidate(self, tree: KeptTree) -> Candidate | None:
        try:
            files = len(self._changes(tree))
            return Candidate(tree, files, missed_symbols(tree, self._request.wanted.requests))
        except (GitError, OSError, ValueError):
            # It was removed meanwhile, or git knows its commit no more: no reason to fail.
            return None

    def _changes(self, tree: KeptTree) -> Changes:
        objects = (tree.git / "objects",)
        git, digest = self._patched.git, self._patched.digest
        return find_changes(git, tree.record.tree, digest, objects)

    def _fork(self, chosen: Candidate) -> Reuse:
        tree = chosen.tree
        self._teller.phase("fork")
        with hold_tree(self._cache, tree.record.key, self._teller.waiting):
            if read_record(tree.folder) != tree.record:
                raise SpoiltTreeError("it was removed meanwhile")
            check_space(self._cache.root, _objects_size(tree) + _FORK_EXTRA)
            changes = self._changes(tree)
            fork_tree(tree, self._source(), changes, self._patched.git, self._patched.commit)
            tree.touch()
        same = tree.record.wanted == wanted_digest(self._request)
        return Reuse(
            FORKED,
            "it was the nearest",
            parent=tree.record.key,
            parent_variant=tree.record.variant,
            files=len(changes),
            symbols=chosen.symbols,
            usual=tree.record.steps,
            configured=same and keeps_configuration(changes),
        )


def usable(trees: Sequence[KeptTree], compiler: Compiler) -> list[KeptTree]:
    """Return the trees whose objects the compiler and the recipe would make just so."""
    return [
        tree
        for tree in trees
        if tree.record.compiler == compiler.identity
        and tree.record.command == compiler.command
        and tree.record.recipe == recipe.VERSION
    ]


def record_of(request: Request, patched: Patched, key: str, usual: int, state: str) -> Record:
    """Return the record of the tree that a build of `request` leaves."""
    return Record(
        key=key,
        variant=str(request.variant),
        profile=request.profile.name,
        tree=patched.digest,
        compiler=request.compiler.identity,
        command=request.compiler.command,
        recipe=recipe.VERSION,
        path=str(patched.git.work_tree),
        steps=usual,
        state=state,
        wanted=wanted_digest(request),
    )


def wanted_digest(request: Request) -> str:
    """Return a digest of what a request's configuration is made from, beside the source."""
    lines = [wish.text() for wish in request.wanted.requests]
    return digest_json({"start": request.profile.start, "lines": lines})


def _objects_size(tree: KeptTree) -> int:
    build = tree.source / "build"
    return sum(path.lstat().st_blocks * 512 for path in build.rglob("*"))
