# SPDX-License-Identifier: GPL-2.0-or-later
"""A base: a kernel's source, known by an identity, in the store."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files import replace_text
from harness.kernel.cache import Cache, Waiting, disk_full
from harness.kernel.gitstore import Git, GitError, init_bare

_FORMAT = 1
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Base:
    """A base in the store: `identity` says what it was made from, `tree` is what it holds.

    `series_version` is the Makefile's major.minor, `release` also its sublevel.
    """

    identity: str
    commit: str
    tree: str
    series_version: str
    release: str


class Source(ABC):
    """Somewhere a kernel's source can be had from."""

    @abstractmethod
    def check(self) -> None:
        """Look whether the source is there; cheap.

        Raises:
            UserError: it is not.
        """

    @abstractmethod
    def identity(self, cache: Cache) -> str:
        """Return words that change whenever the source does; nothing is unpacked.

        Raises:
            UserError: the source is not there.
        """

    @abstractmethod
    def bring(self, store: Git, ref: str, cache: Cache) -> str:
        """Bring the source, as `identity` saw it, into `store`; return its commit's id.

        `ref` keeps the commit there.
        """


def obtain_base(source: Source, cache: Cache, progress: Progress, waiting: Waiting) -> Base:
    """Return the base of `source`, brought into the cache's store if it is not there yet.

    Raises:
        UserError: the source is not there, or holds no kernel that we can build.
        InfrastructureError: the disk is full, or an address can't be reached.
    """
    with disk_full(cache.store):
        identity = source.identity(cache)
        base = known_base(cache, identity)
        if base is not None:
            return base
        with cache.hold("sources", f"imports {identity}", waiting):
            base = known_base(cache, identity)
            if base is not None:
                return base
            progress("import source")
            store = init_bare(cache.store)
            ref = f"refs/bases/{_digest(identity)}"
            commit = source.bring(store, ref, cache)
            base = _describe(store, identity, commit)
            replace_text(_record(cache, identity), json.dumps({"format": _FORMAT, **asdict(base)}))
    return base


def known_base(cache: Cache, identity: str) -> Base | None:
    """Return what the store holds of `identity`, or None; reads one file."""
    try:
        record = json.loads(_record(cache, identity).read_text(encoding="utf-8"))
        return Base(**record) if record.pop("format") == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(cache: Cache, identity: str) -> Path:
    # Inside the repository: who removes the store removes what we know about it.
    return cache.store / "bases" / f"{_digest(identity)}.json"


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _describe(store: Git, identity: str, commit: str) -> Base:
    try:
        makefile = store.run("cat-file", "blob", f"{commit}:Makefile")
    except GitError:
        makefile = ""
    version = parse_makefile_version(makefile)
    if version is None or not store.find(f"{commit}:arch/x86/Kconfig"):
        raise no_kernel(identity)
    major, minor, sublevel = version
    tree = store.run("rev-parse", f"{commit}^{{tree}}").strip()
    return Base(identity, commit, tree, f"{major}.{minor}", f"{major}.{minor}.{sublevel}")


def no_kernel(what: str) -> UserError:
    """Return the error for a source that is no kernel's."""
    return UserError(
        f"{what} holds no kernel source: it has no Makefile with a VERSION and a PATCHLEVEL, or"
        " no arch/x86/Kconfig",
        hint="give the top of a kernel's source tree",
    )


def parse_makefile_version(makefile: str) -> tuple[int, int, int] | None:
    """Return VERSION, PATCHLEVEL and SUBLEVEL of a kernel's top Makefile, or None."""
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL)\s*=\s*(\d+)\s*$", makefile, re.M))
    if "VERSION" not in found or "PATCHLEVEL" not in found:
        return None
    return int(found["VERSION"]), int(found["PATCHLEVEL"]), int(found.get("SUBLEVEL", "0"))
