# SPDX-License-Identifier: GPL-2.0-or-later
"""Work trees of finished builds, kept for a while: what the next build may begin from."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.kernel.cache import Cache, Waiting, command_name, discard, publish
from harness.kernel.fragment import Request, parse_config, unmet

FORMAT = 1
RECORD = "tree.json"
SOURCE = "linux"
GIT = "git"
# They share the sources that do not differ, so that each but the first takes some 250 MB.
KEPT = 3
# A symbol of the configuration weighs as much as so many files: many objects depend on some.
SYMBOL_WEIGHT = 10
# Beyond this, a tree has little to give, and reading what it has takes its time.
MOST_CHANGED = 5000


@dataclass(frozen=True)
class Record:
    """What is known of a kept tree; written once its build was whole.

    `tree` is the git hash of its source, `compiler` the tools' identity, `path` where the source
    was while it was built, `steps` what a clean build of it takes, `state` what `state_of` gave,
    `wanted` a digest of what its configuration was made from.
    """

    key: str
    variant: str
    profile: str
    tree: str
    compiler: str
    command: str
    recipe: int
    path: str
    steps: int
    state: str
    wanted: str = ""
    format: int = FORMAT


@dataclass(frozen=True)
class KeptTree:
    """A kept tree at `folder`; `used` in seconds since 1970."""

    folder: Path
    record: Record
    used: float

    @property
    def source(self) -> Path:
        return self.folder / SOURCE

    @property
    def git(self) -> Path:
        """A repository that stands at the tree's commit and has what the store lacks of it."""
        return self.folder / GIT

    def touch(self) -> None:
        """Note that it was of use just now."""
        (self.folder / RECORD).touch()


@dataclass(frozen=True)
class Candidate:
    """A kept tree that a build might begin from, and how far it is away from it.

    `files` is the number of files that differ, `symbols` the number of the wanted lines of
    configuration that the tree's own does not meet.
    """

    tree: KeptTree
    files: int
    symbols: int

    @property
    def distance(self) -> int:
        return self.files + SYMBOL_WEIGHT * self.symbols


def nearest(candidates: Iterable[Candidate]) -> Candidate | None:
    """Return the candidate that differs least, of two alike the one used last; None of none."""
    return min(
        candidates,
        key=lambda candidate: (candidate.distance, -candidate.tree.used),
        default=None,
    )


def kept_trees(cache: Cache) -> list[KeptTree]:
    """Return the trees in the cache whose record can be read, the one used last first."""
    found = []
    if cache.trees.is_dir():
        for folder in cache.trees.iterdir():
            record = read_record(folder)
            if record is not None:
                with contextlib.suppress(OSError):
                    found.append(KeptTree(folder, record, (folder / RECORD).stat().st_mtime))
    return sorted(found, key=lambda tree: -tree.used)


def read_record(folder: Path) -> Record | None:
    """Return the record of the kept tree at `folder`, None where it has none of this format."""
    try:
        record = Record(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return record if record.format == FORMAT and record.key == folder.name else None


def missed_symbols(tree: KeptTree, wanted: Iterable[Request]) -> int:
    """Return how many of the `wanted` lines a tree's configuration does not meet."""
    text = (tree.source / "build" / ".config").read_text(encoding="utf-8")
    return len(unmet(parse_config(text), tuple(wanted)))


@contextlib.contextmanager
def hold_tree(cache: Cache, key: str, waiting: Waiting) -> Iterator[None]:
    """Keep others from removing, replacing or reading the tree of `key` meanwhile."""
    with cache.hold(f"tree-{key[:32]}", command_name(), waiting):
        yield


def keep_tree(cache: Cache, folder: Path, record: Record, waiting: Waiting) -> None:
    """Keep the tree that a whole build left in `folder` (`linux` and `git`); old ones go.

    `folder` is moved away.
    """
    (folder / GIT / "index").unlink(missing_ok=True)
    (folder / RECORD).write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    with hold_tree(cache, record.key, waiting):
        entry = cache.trees / record.key
        if entry.exists():
            discard(entry, later=True)
        publish(folder, entry)
    drop_trees(cache, keep=KEPT)


def drop_trees(cache: Cache, *, keep: int = 0, needed: int = 0) -> int:
    """Remove kept trees, the longest unused first; return how many went.

    `keep` of them stay; where `needed` bytes are wanted on the disk, no more go than it takes.
    What is no tree of this version goes first; what another process reads just now stays.
    """
    known = kept_trees(cache)
    whole = {tree.folder.name for tree in known}
    folders = [] if not cache.trees.is_dir() else sorted(cache.trees.iterdir())
    strange = [path for path in folders if path.name not in whole and path.name[0] != "."]
    gone = 0
    for folder in [*strange, *(tree.folder for tree in reversed(known[keep:]))]:
        if needed and shutil.disk_usage(cache.root).free >= needed:
            break
        gone += remove_tree(cache, folder, later=not needed)
    return gone


def remove_tree(cache: Cache, folder: Path, *, later: bool = False) -> bool:
    """Remove a kept tree unless another process uses it; return whether it is gone.

    `later` is as for discard.
    """
    with cache.try_hold(f"tree-{folder.name[:32]}", command_name()) as held:
        if held and folder.exists():
            discard(folder, later=later)
        return held
