# SPDX-License-Identifier: GPL-2.0-or-later
"""U11: the cache's account is right at every step."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.audit import EVERYTHING, Auditor, CacheState, shrink
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.oracle import Oracle
from harness.testing.testcase import testcase

PMD_ORDER = 9
PMD_PAGES = 1 << PMD_ORDER
BLOCKS = 16
# What else the kernel takes and frees meanwhile, in pages; BLOCKS are four times as much.
SLACK = 2048
USED = 24
ORDINARY = 4 * PMD_PAGES


@testcase("U11-accounting", needs_feature=True, config=["DEBUG_FS", "SHRINKER_DEBUG"])
def test_accounting(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, pages of the cache would get lost, or be counted that are none.

    What is free in the cache and what is in use is what came in less what was given back, and
    that much is missing from the direct map, whatever is held, freed or given back.
    """
    auditor = Auditor(guest, checks, counters, outside)
    oracle.hold(600, 0, "unmapped")
    auditor.check("single pages", 600)
    oracle.hold(5, 3, "unmapped")
    oracle.hold(2, PMD_ORDER, "unmapped")
    auditor.check("larger ones", 600 + 5 * 8 + 2 * PMD_PAGES)
    oracle.control("drop 100 400")
    auditor.check("some freed", 200 + 5 * 8 + 2 * PMD_PAGES)
    oracle.control("release")
    auditor.check("all freed", 0)

    oracle.hold(BLOCKS, PMD_ORDER, "unmapped")
    held = auditor.check("whole blocks", BLOCKS * PMD_PAGES)
    oracle.control("release")
    auditor.check("whole blocks freed", 0)
    # No more than what is whole: the rest of a block whose pages are in use is U12's matter.
    shrink(guest, BLOCKS // 2 * PMD_PAGES)
    end = auditor.check("whole blocks given back", 0)
    _check_memory(checks, held, end)


@testcase(
    "U11-accounting-after-shrinker",
    needs_feature=True,
    config=["DEBUG_FS", "SHRINKER_DEBUG"],
    clean=True,
)
def test_accounting_after_shrinker(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, a cache that gave back a part of a block would no longer know what it has.

    As U11-accounting, with blocks given back around pages in use, and ordinary users of what was
    given back.
    """
    auditor = Auditor(guest, checks, counters, outside)
    oracle.hold(BLOCKS * PMD_PAGES, 0, "unmapped")
    oracle.control(f"drop 0 {BLOCKS * PMD_PAGES - USED}")
    held = auditor.check("few pages in use", USED)
    shrink(guest, EVERYTHING)
    given = auditor.check("the rest given back", USED, most=0)
    _check_memory(checks, held, given)

    oracle.hold(ORDINARY, 0)
    auditor.check("ordinary pages held", USED)
    oracle.control(f"drop {USED} {ORDINARY}")
    auditor.check("ordinary pages freed", USED)
    oracle.control("release")
    auditor.check("all freed", 0)
    shrink(guest, EVERYTHING)
    auditor.check("all given back", 0)


def _check_memory(checks: Checks, before: CacheState, after: CacheState) -> None:
    """Record whether MemFree grew by what the cache gave back."""
    given = before.belonging - after.belonging
    checks.check("the shrinker gave pages back", given > SLACK, f"{given} pages")
    grown = after.free_memory - before.free_memory
    reason = f"it grew by {grown} pages, and {given} were given back"
    checks.check("MemFree comes back", abs(grown - given) <= SLACK, reason)
