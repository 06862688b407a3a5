# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cache holds, and which of it may go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.kernel.artifact import read_meta
from harness.kernel.cache import Cache, discard

KERNEL, TREE, MODULES = "kernel", "tree", "modules"


@dataclass(frozen=True)
class Item:
    """Something in the cache: `size` in bytes, `used` and `built` in seconds since 1970."""

    kind: str
    key: str
    variant: str
    profile: str
    release: str
    size: int
    built: float
    used: float
    folder: Path


def list_items(cache: Cache) -> list[Item]:
    """Return the kernels, work trees and modules in the cache, the last used first."""
    kernels = {item.key: item for item in _kernels(cache)}
    trees = [_tree(folder, kernels.get(folder.name)) for folder in _entries(cache.trees)]
    modules = [_tree(folder, None, MODULES) for folder in _entries(cache.modules)]
    return sorted([*kernels.values(), *trees, *modules], key=lambda item: -item.used)


def choose_victims(
    items: Iterable[Item], *, now: float, keep_bytes: int | None, older_seconds: float | None
) -> list[Item]:
    """Return what to remove: all that was not used for `older_seconds`, and then, the longest
    unused first, as much as leaves no more than `keep_bytes`.

    Work trees and modules go before kernels: they are quick to make again.
    """
    ordered = sorted(items, key=lambda item: (item.kind == KERNEL, item.used))
    victims: list[Item] = []
    left = sum(item.size for item in ordered)
    for item in ordered:
        old = older_seconds is not None and now - item.used > older_seconds
        much = keep_bytes is not None and left > keep_bytes
        if old or much:
            victims.append(item)
            left -= item.size
    return victims


def remove_items(cache: Cache, items: Iterable[Item]) -> None:
    """Remove items; what a build of another process writes just now is not among them."""
    for item in items:
        if item.folder.exists():
            discard(item.folder)
    known = {folder.name for folder in _entries(cache.kernels)}
    for pointer in cache.index.glob("*"):
        if pointer.read_text(encoding="utf-8").strip() not in known:
            pointer.unlink(missing_ok=True)


def _kernels(cache: Cache) -> Iterable[Item]:
    for folder in _entries(cache.kernels):
        meta = read_meta(folder)
        if meta is None:
            continue
        used = folder / "last-used"
        yield Item(
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


def _tree(folder: Path, kernel: Item | None, kind: str = TREE) -> Item:
    changed = folder.stat().st_mtime
    return Item(
        kind=kind,
        key=folder.name,
        variant=kernel.variant if kernel else "",
        profile=kernel.profile if kernel else "",
        release=kernel.release if kernel else "",
        size=folder_size(folder),
        built=changed,
        used=changed,
        folder=folder,
    )


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def folder_size(folder: Path) -> int:
    """Return what the files below `folder` take on the disk, in bytes."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
