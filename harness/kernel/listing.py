# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cache holds, and which of it may go."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from harness.kernel.artifact import META, read_meta
from harness.kernel.cache import Cache, discard
from harness.kernel.configuration import entries, remove_entry
from harness.kernel.filestate import walk
from harness.kernel.trees import RECORD, read_record, remove_tree

KERNEL, TREE, MODULES = "kernel", "tree", "modules"
PROGRAMS, IMAGE, CCACHE, SOURCES = "programs", "image", "ccache", "sources"
SNAPSHOT = "snapshot"
SELFTESTS = "selftests"
KCONFIG = "kconfig"
# Never pruned: the one keeps its own limit, the other saves the longest wait.
FIXED = (CCACHE, SOURCES)
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Item:
    """Something in the cache: `size` in bytes, `used` and `built` in seconds since 1970.

    `what` says what it is where that is no variant. A file that several items share (trees
    share sources) counts for each with its part.
    """

    kind: str
    key: str
    variant: str
    profile: str
    release: str
    size: int
    built: float
    used: float
    folder: Path
    what: str = ""


def list_items(cache: Cache, watch: Watch = lambda _done, _total: None) -> list[Item]:
    """Return what is in the cache, the last used first.

    Adding up sizes takes seconds: `watch` is told how many things are done, of how many.
    """
    kernels: dict[str, Item] = {}
    found = []
    looks: list[Callable[[], Item | None]] = [
        *(partial(_kernel, folder, kernels) for folder in _entries(cache.kernels)),
        *(partial(_tree, folder, kernels) for folder in _entries(cache.trees)),
        *(partial(_modules, folder, kernels) for folder in _entries(cache.modules)),
        *(partial(_plain, kind, path, what) for kind, path, what in _plain_places(cache)),
    ]
    for done, look in enumerate(looks):
        watch(done, len(looks))
        # Another process may remove one meanwhile.
        with contextlib.suppress(FileNotFoundError):
            item = look()
            if item is not None:
                found.append(item)
    return sorted(found, key=lambda item: -item.used)


def _plain_places(cache: Cache) -> Iterable[tuple[str, Path, str]]:
    for folder in _entries(cache.root / "programs"):
        yield PROGRAMS, folder, "of testcases"
    for folder in _entries(cache.root / "selftests"):
        yield SELFTESTS, folder, "of a kernel"
    for file in sorted((cache.root / "images").glob("*.cpio.gz")):
        yield IMAGE, file, "a guest's files"
    for folder in _entries(cache.root / "snapshots"):
        yield SNAPSHOT, folder, "a booted guest"
    for folder in entries(cache):
        yield KCONFIG, folder, "to configure in"
    if cache.ccache.is_dir():
        yield CCACHE, cache.ccache, "objects"
    if cache.store.parent.is_dir():
        yield SOURCES, cache.store.parent, "of bases"


def choose_victims(
    items: Iterable[Item], *, now: float, keep_bytes: int | None, older_seconds: float | None
) -> list[Item]:
    """Return what to remove: all that was not used for `older_seconds`, and then, the longest
    unused first, as much as leaves no more than `keep_bytes`, where that can be reached.

    What is FIXED counts, and stays. All else goes before kernels: it is quick to make again.
    """
    ordered = sorted(items, key=lambda item: (item.kind == KERNEL, item.used))
    victims: list[Item] = []
    left = sum(item.size for item in ordered)
    for item in (item for item in ordered if item.kind not in FIXED):
        old = older_seconds is not None and now - item.used > older_seconds
        much = keep_bytes is not None and left > keep_bytes
        if old or much:
            victims.append(item)
            left -= item.size
    return victims


def remove_items(cache: Cache, items: Iterable[Item]) -> list[Item]:
    """Remove items; return those that are gone.

    What a build of another process reads or writes just now is not among them.
    """
    gone = []
    for item in items:
        if item.kind == TREE:
            if not remove_tree(cache, item.folder):
                continue
        elif item.kind == KCONFIG:
            if not remove_entry(cache, item.folder):
                continue
        elif item.folder.is_dir():
            discard(item.folder)
        else:
            item.folder.unlink(missing_ok=True)
        gone.append(item)
    known = {folder.name for folder in _entries(cache.kernels)}
    for pointer in cache.index.glob("*"):
        with contextlib.suppress(OSError):
            if pointer.read_text(encoding="utf-8").strip() not in known:
                pointer.unlink(missing_ok=True)
    return gone


def _kernel(folder: Path, kernels: dict[str, Item]) -> Item | None:
    """Return the kernel in `folder`, noted in `kernels` by its key; None where there is none."""
    meta = read_meta(folder)
    if meta is None:
        return None
    used = folder / "last-used"
    item = Item(
        kind=KERNEL,
        key=meta["key"],
        variant=meta["variant"],
        profile=meta["profile"],
        release=meta["release"],
        size=folder_size(folder),
        built=datetime.fromisoformat(meta["built"]).astimezone(UTC).timestamp(),
        used=(used if used.exists() else folder).stat().st_mtime,
        folder=folder,
    )
    kernels[item.key] = item
    return item


def _tree(folder: Path, kernels: Mapping[str, Item]) -> Item:
    record, kernel = read_record(folder), kernels.get(folder.name)
    item = _plain(TREE, folder, "a work tree")
    if record is None:
        return item
    return replace(
        item,
        variant=record.variant,
        profile=record.profile,
        release=kernel.release if kernel else "",
        used=(folder / RECORD).stat().st_mtime,
    )


def _modules(folder: Path, kernels: Mapping[str, Item]) -> Item:
    item = _plain(MODULES, folder, "of testcases")
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        used = (folder / META).stat().st_mtime
    except (OSError, ValueError):
        return item
    kernel = kernels.get(str(meta.get("kernel", "")))
    return replace(
        item,
        variant=str(meta.get("variant", "")),
        profile=kernel.profile if kernel else "",
        release=kernel.release if kernel else "",
        used=used,
    )


def _plain(kind: str, path: Path, what: str) -> Item:
    changed = path.stat().st_mtime
    size = folder_size(path) if path.is_dir() else path.stat().st_blocks * 512
    key = path.name.partition(".")[0] if kind == IMAGE else path.name
    key = "" if kind in FIXED else key
    return Item(kind, key, "", "", "", size, changed, changed, path, what)


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def folder_size(folder: Path) -> int:
    """Return what the files below `folder` take on the disk, in bytes.

    Of a file with several names, that part which falls to one name.
    """
    size = 0
    for _, entry in walk(folder):
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            size += status.st_blocks * 512 // max(status.st_nlink, 1)
    return size
