# SPDX-License-Identifier: GPL-2.0-or-later
"""U10: no data of one owner reaches the next through the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.contents import (
    PMD_PAGES,
    WORD,
    check_gone,
    check_zero,
    make_memory_dirty,
    shrink,
)
from harness.testing.counters import Counters
from harness.testing.oracle import Oracle
from harness.testing.testcase import testcase

# What the testcases before have left in the cache may go first.
MOST_SCANS = 32


@testcase("U10-zero", needs_feature=True, config=["DEBUG_FS", "SHRINKER_DEBUG", "KUNIT"])
def test_zero(
    guest: Guest, checks: Checks, oracle: Oracle, counters: Callable[[], Counters]
) -> None:
    """If this failed, what one owner of an unmapped page wrote could be read by the next.

    Zero when the cache was refilled from dirty memory, when a page is used again, once it is
    free in the cache, and after the cache gave it back.
    """
    dirty = make_memory_dirty(oracle)
    free = counters().cache["Free"]
    if free:
        oracle.hold(free, 0, "unmapped")
    oracle.hold(PMD_PAGES, 0, "unmapped", "zero")
    fresh = [page.pfn for page in oracle.held()[free:]]
    checks.check("the refill took dirty memory", bool(dirty & set(fresh)), "none of it was")
    check_zero(guest, checks, oracle, "on alloc", fresh)

    oracle.control(f"fill {WORD:#x}", "release")
    check_gone(guest, checks, "once free in the cache", fresh)
    oracle.hold(free + PMD_PAGES, 0, "unmapped", "zero")
    again = [page.pfn for page in oracle.held() if page.pfn in set(fresh)]
    checks.check("pages are used again", bool(again), "other frames were handed out")
    check_zero(guest, checks, oracle, "on reuse", again)
    oracle.control(f"fill {WORD:#x}", "release")
    checks.module("patchbed_zero_kunit")

    back = _shrink_until_back(guest, oracle, again)
    checks.check("the shrinker gave pages back", bool(back), "all stay absent")
    check_gone(guest, checks, "after release", back)


def _shrink_until_back(guest: Guest, oracle: Oracle, pfns: Sequence[int]) -> list[int]:
    """Have the cache's shrinker give back blocks of 2M until some of `pfns` are among them.

    Return those. No more than that: drop_caches would empty the cache and change what later
    testcases find.
    """
    for _ in range(MOST_SCANS):
        shrink(guest, PMD_PAGES)
        if back := [page.pfn for page in oracle.frames(pfns) if page.present]:
            return back
    return []
