# SPDX-License-Identifier: GPL-2.0-or-later
"""What of memory is in the direct map, as a whole: nothing may be lost, or stay read-only."""

from __future__ import annotations

from dataclasses import dataclass

from harness.measure.directmap import PAGE_SHIFT, OutsideView
from harness.testing.checks import Checks
from harness.testing.counters import Counters

_SIZES = {"4K": 1 << 12, "2M": 1 << 21, "1G": 1 << 30}


@dataclass(frozen=True)
class Account:
    """The direct map at one moment, in bytes.

    `mapped` is in it as seen from outside, `listed` by page_tables (None where the kernel has no
    such file), `read_only` is mapped so, `cached` is what a cache says it keeps out of it.
    """

    mapped: int
    listed: int | None
    read_only: int
    cached: int


def account(counters: Counters, view: OutsideView) -> Account:
    """Return what `counters` and `view`, taken at one moment, say of the direct map."""
    kept = counters.cache.get("Cached", 0) - counters.cache.get("Released", 0)
    leaves = counters.leaves
    return Account(
        mapped=sum(leaf.size for leaf in view.direct_map),
        listed=sum(_SIZES[size] * count for size, count in leaves.items()) if leaves else None,
        read_only=sum(leaf.size for leaf in view.direct_map if not leaf.writable),
        cached=kept << PAGE_SHIFT,
    )


def check_account(checks: Checks, before: Account, after: Account, *, name: str = "") -> None:
    """Record whether every frame is in the direct map, or in a cache, as it was before.

    `name` is what the checks' names begin with.
    """
    prefix = f"{name}: " if name else ""
    _same(
        checks,
        f"{prefix}no frame is lost: from outside",
        (before.mapped + before.cached, after.mapped + after.cached),
        "mapped or cached",
    )
    if before.listed is not None and after.listed is not None:
        _same(
            checks,
            f"{prefix}no frame is lost: by page_tables",
            (before.listed + before.cached, after.listed + after.cached),
            "mapped or cached",
        )
    _same(
        checks,
        f"{prefix}no frame stays read-only: from outside",
        (before.read_only, after.read_only),
        "read-only",
    )


def _same(checks: Checks, check: str, sizes: tuple[int, int], what: str) -> None:
    first, last = sizes
    checks.check(check, first == last, f"{first} bytes {what} before, {last} after")
