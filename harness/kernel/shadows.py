# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources that a new one may stand in front of, where a file is looked for in several folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from harness.kernel.base import Base
from harness.kernel.cache import Cache
from harness.kernel.gitstore import Git, GitError

_INCLUDED = (".h", ".inc", ".c", ".S")
# Of how many bases the headers are compared: the ones compiled last.
_MOST_BASES = 20


def shadowed_by(added: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return those of `names` that an `added` source may stand in front of from now on.

    An object whose header was found in a later folder of the search path does not know of the
    new one: what it was made from must look changed, so that it is made again.
    """
    sources = {PurePosixPath(name).name for name in added if name.endswith(_INCLUDED)}
    if not sources:
        return []
    own = set(added)
    return [name for name in names if name not in own and name.rpartition("/")[2] in sources]


def note_base(cache: Cache, base: Base) -> None:
    """Remember that ccache may hold objects made from `base`, or a series on it."""
    marker = _markers(cache, base.series_version) / base.commit
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def may_be_misled(cache: Cache, git: Git, commit: str, series_version: str) -> bool:
    """Whether ccache's direct mode could take an old object for one of `commit`'s.

    It looks at the headers that an object was made from, not at those that would be found now:
    a header that is new in front of an old one of the same name goes unseen. That is what
    ccache's manual says of its direct mode. Nor does it know what a header takes in with
    .incbin. `series_version` is the commit's major.minor: others have a ccache of their own.
    """
    return _has_incbin(git, commit) or _is_shadowed(cache, git, commit, series_version)


def _markers(cache: Cache, series_version: str) -> Path:
    return cache.root / "compiled" / series_version


def _has_incbin(git: Git, commit: str) -> bool:
    """Whether a header of the kernel has .incbin; those of tools are the host's."""
    paths = ("*.h", "*.inc", ":!tools", ":!scripts")
    try:
        return bool(git.run("grep", "--name-only", "-F", "-w", "incbin", commit, "--", *paths))
    except GitError as error:
        if error.status != 1:
            raise
        return False


def _is_shadowed(cache: Cache, git: Git, commit: str, series_version: str) -> bool:
    folder = _markers(cache, series_version)
    if not folder.is_dir():
        return False
    markers = sorted(folder.iterdir(), key=lambda marker: -marker.stat().st_mtime)
    added: set[str] = set()
    for marker in markers[:_MOST_BASES]:
        try:
            added.update(_added(git, marker.name, commit))
        except GitError:
            # The store was made anew without it.
            continue
    if not added:
        return False
    names = git.run("ls-tree", "-r", "-z", "--name-only", commit).split("\0")
    return bool(shadowed_by(added, names))


def _added(git: Git, old: str, new: str) -> list[str]:
    options = ("-r", "-z", "--no-renames", "--name-only", "--diff-filter=A")
    patterns = [f"*{suffix}" for suffix in _INCLUDED]
    output = git.run("diff-tree", *options, old, new, "--", *patterns)
    return [name for name in output.split("\0") if name]
