# SPDX-License-Identifier: GPL-2.0-or-later
"""U5: the cache gives all that is free back when memory is wanted."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.audit import Auditor
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge, holding, outside_contents, some
from harness.testing.oracle import Oracle, must
from harness.testing.testcase import testcase

PMD_ORDER = 9
PMD_PAGES = 1 << PMD_ORDER
BLOCKS = 32
# Frames whose contents are read: the first ones.
READ = 8 * PMD_PAGES
# Blocks for what runs in the guest meanwhile: 4 GiB want 50 MiB free before they kill for memory.
LEFT = 96
# A request for a block of 2M does not get what is smaller. Little is asked for only where reclaim
# is desperate, and that for a costly order may end before: do_shrink_slab() of mm/vmscan.c (6.12:
# mm/shrinker.c), should_reclaim_retry() of mm/page_alloc.c.
LESS_THAN_A_BLOCK = PMD_PAGES - 1
ORDINARY = 4 * PMD_PAGES
UNMAPPED = PMD_PAGES
WORD = 0x5EC2_E75E_C2E7_5EC2
SECRET = WORD.to_bytes(8, "little")


@testcase("U5-drop-caches", needs_feature=True, config=["DEBUG_FS"], clean=True)
def test_drop_caches(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, the cache would keep memory from who needs it, or give it back unusable.

    After drop_caches nothing is free in the cache, and what was is in the direct map again,
    without what its last owner wrote. Later users of it stay out of the cache.
    """
    auditor = Auditor(guest, checks, counters, outside)
    freed = _fill_cache(oracle)
    auditor.check("free in the cache", 0)
    must(guest, "echo 2 > /proc/sys/vm/drop_caches")
    _check_given_back(guest, checks, oracle, judge, auditor, freed, most=0)
    _check_later_users(oracle, judge, auditor, most=0)


@testcase("U5-pressure", needs_feature=True, config=["DEBUG_FS"], clean=True)
def test_pressure(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, allocations would fail while the cache has free memory.

    As U5-drop-caches, but for want of blocks of 2M: who takes all that there are gets those of
    the cache, too.
    """
    auditor = Auditor(guest, checks, counters, outside)
    freed = _fill_cache(oracle)
    auditor.check("free in the cache", 0)
    oracle.control(f"squeeze {LEFT} {PMD_ORDER}")
    left = auditor.read().free_memory
    most = auditor.first.free_memory // 8
    checks.check("memory is taken", left < most, f"{left} pages are free")
    _check_given_back(guest, checks, oracle, judge, auditor, freed, most=LESS_THAN_A_BLOCK)
    oracle.control("release")
    auditor.check("memory is free again", 0)
    _check_later_users(oracle, judge, auditor, most=LESS_THAN_A_BLOCK)


def _fill_cache(oracle: Oracle) -> list[int]:
    """Leave blocks free in the cache that held a secret, and return their frames."""
    oracle.hold(BLOCKS, PMD_ORDER, "unmapped")
    oracle.control(f"fill {WORD:#x}")
    freed = [page.pfn for page in oracle.held()]
    oracle.control("release")
    return freed


def _check_given_back(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    auditor: Auditor,
    freed: list[int],
    *,
    most: int,
) -> None:
    auditor.check("given back", 0, most=most)
    judge.present("given back", oracle.frames(freed))
    left = holding(outside_contents(guest, freed[:READ]), SECRET)
    checks.check("secret gone: read from outside", not left, some(left))


def _check_later_users(oracle: Oracle, judge: Judge, auditor: Auditor, *, most: int) -> None:
    """Use memory as anybody does, and then the cache again."""
    oracle.hold(ORDINARY, 0)
    judge.present("ordinary pages", oracle.held())
    oracle.control("release")
    auditor.check("ordinary pages freed", 0, most=most)
    oracle.hold(UNMAPPED, 0, "unmapped")
    judge.absent("unmapped pages again", oracle.held())
    auditor.check("unmapped pages again", UNMAPPED)
