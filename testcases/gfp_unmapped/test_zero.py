# SPDX-License-Identifier: GPL-2.0-or-later
"""U10: no data of one owner reaches the next through the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import full_of, holding, outside_contents, some
from harness.testing.oracle import Oracle, must
from harness.testing.testcase import testcase

DIRTY_BLOCKS = 64
PMD_ORDER = 9
PMD_PAGES = 1 << PMD_ORDER
# What the testcases before have left in the cache may go first.
MOST_SCANS = 32
WORD = 0x5EC2_E75E_C2E7_5EC2
SECRET = WORD.to_bytes(8, "little")
ZERO = bytes(8)


@testcase("U10-zero", needs_feature=True, config=["DEBUG_FS", "SHRINKER_DEBUG", "KUNIT"])
def test_zero(
    guest: Guest, checks: Checks, oracle: Oracle, counters: Callable[[], Counters]
) -> None:
    """If this failed, what one owner of an unmapped page wrote could be read by the next.

    Zero when the cache was refilled from dirty memory, when a page is used again, once it is
    free in the cache, and after the cache gave it back.
    """
    dirty = _make_memory_dirty(oracle)
    free = counters().cache["Free"]
    if free:
        oracle.hold(free, 0, "unmapped")
    oracle.hold(PMD_PAGES, 0, "unmapped", "zero")
    fresh = [page.pfn for page in oracle.held()[free:]]
    checks.check("the refill took dirty memory", bool(dirty & set(fresh)), "none of it was")
    _check_zero(guest, checks, oracle, "on alloc", fresh)

    oracle.control(f"fill {WORD:#x}", "release")
    _check_gone(guest, checks, "once free in the cache", fresh)
    oracle.hold(free + PMD_PAGES, 0, "unmapped", "zero")
    again = [page.pfn for page in oracle.held() if page.pfn in set(fresh)]
    checks.check("pages are used again", bool(again), "other frames were handed out")
    _check_zero(guest, checks, oracle, "on reuse", again)
    oracle.control(f"fill {WORD:#x}", "release")
    checks.module("patchbed_zero_kunit")

    back = _shrink(guest, oracle, again)
    checks.check("the shrinker gave pages back", bool(back), "all stay absent")
    _check_gone(guest, checks, "after release", back)


def _make_memory_dirty(oracle: Oracle) -> set[int]:
    """Fill blocks of memory, free them and return their frames: the next refill takes some."""
    oracle.hold(DIRTY_BLOCKS, PMD_ORDER)
    oracle.control(f"fill {WORD:#x}")
    dirty = {page.pfn for page in oracle.held()}
    oracle.control("release")
    return dirty


def _shrink(guest: Guest, oracle: Oracle, pfns: Sequence[int]) -> list[int]:
    """Have the cache's shrinker give back blocks of 2M until some of `pfns` are among them.

    Return those. No more than that: drop_caches would empty the cache and change what later
    testcases find.
    """
    scan = "/sys/kernel/debug/shrinker/*unmapped*/scan"
    for _ in range(MOST_SCANS):
        must(guest, f"for file in {scan}; do echo 0 0 {PMD_PAGES} > $file || exit 1; done")
        if back := [page.pfn for page in oracle.frames(pfns) if page.present]:
            return back
    return []


def _check_zero(
    guest: Guest, checks: Checks, oracle: Oracle, when: str, pfns: Sequence[int]
) -> None:
    inside = oracle.contents()
    wrong = [pfn for pfn in pfns if inside[pfn] != "0x0"]
    checks.check(f"zero {when}: read by the kernel", bool(pfns) and not wrong, some(wrong))
    zero = set(full_of(outside_contents(guest, pfns), ZERO))
    rest = [pfn for pfn in pfns if pfn not in zero]
    checks.check(f"zero {when}: read from outside", bool(pfns) and not rest, some(rest))


def _check_gone(guest: Guest, checks: Checks, when: str, pfns: Sequence[int]) -> None:
    left = holding(outside_contents(guest, pfns), SECRET)
    checks.check(f"secret gone {when}: read from outside", bool(pfns) and not left, some(left))
