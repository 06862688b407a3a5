# SPDX-License-Identifier: GPL-2.0-or-later
"""Work trees of finished builds, kept for a while: sources and objects."""

from __future__ import annotations

from pathlib import Path

from harness.kernel.cache import Cache, discard, publish

# A tree with the objects of `fast` takes 2 GB.
KEPT = 2


def keep_tree(cache: Cache, source: Path, key: str) -> None:
    """Keep the work tree at `source` as that of the build `key`; the oldest ones go."""
    source.touch()
    publish(source, cache.trees / key)
    kept = [tree for tree in cache.trees.iterdir() if not tree.name.startswith(".")]
    kept.sort(key=lambda tree: tree.stat().st_mtime, reverse=True)
    for tree in kept[KEPT:]:
        discard(tree)
