# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources that a new one may stand in front of, where a file is looked for in several folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

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


def note_base(cache: Cache, commit: str) -> None:
    """Remember that ccache may hold objects made from the base `commit`, or a series on it."""
    marker = cache.root / "compiled" / commit
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def may_be_misled(cache: Cache, git: Git, commit: str) -> bool:
    """Whether ccache's direct mode could take an old object for one of `commit`'s.

    It looks at the headers that an object was made from, not at those that would be found now:
    a header that is new in front of an old one of the same name goes unseen. That is what
    ccache's manual says of its direct mode.
    """
    folder = cache.root / "compiled"
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
