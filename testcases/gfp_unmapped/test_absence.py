# SPDX-License-Identifier: GPL-2.0-or-later
"""U1 and U2: what __GFP_UNMAPPED hands out is not in the direct map, and comes from few blocks."""

from __future__ import annotations

from collections.abc import Callable

from harness.measure.directmap import OutsideView
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import CommandFailed, Oracle
from harness.testing.testcase import testcase

PMD_ORDER = 9
PMD_PAGES = 1 << PMD_ORDER
LAST_ORDER = 10
CHUNKS = 2


@testcase("U1-absence", needs_feature=True, config=["DEBUG_FS", "KUNIT"])
def test_absence(
    checks: Checks, oracle: Oracle, judge: Judge, outside: Callable[[], OutsideView]
) -> None:
    """If this failed, a page asked for with __GFP_UNMAPPED could be read through the direct map.

    Every subpage of every order that the cache serves, seen from within and from outside.
    """
    checks.module("patchbed_absence_kunit")
    for order in range(PMD_ORDER + 1):
        try:
            oracle.hold(CHUNKS, order, "unmapped")
        except CommandFailed as error:
            checks.check(f"order {order}: served", False, str(error))
            oracle.control("release")
            continue
        pages = oracle.held()
        judge.absent(f"order {order}", pages, view=outside())
        oracle.control("release")
    _try_the_last_order(checks, oracle, judge)


def _try_the_last_order(checks: Checks, oracle: Oracle, judge: Judge) -> None:
    name = f"order {LAST_ORDER}"
    try:
        oracle.hold(1, LAST_ORDER, "unmapped")
    except CommandFailed:
        checks.skip(name, "larger than a refill, and refused")
        return
    judge.absent(name, oracle.held())


@testcase("U2-one-pmd", needs_feature=True, config=["DEBUG_FS", "VM_EVENT_COUNTERS"])
def test_one_pmd(
    checks: Checks, oracle: Oracle, judge: Judge, counters: Callable[[], Counters]
) -> None:
    """If this failed, the cache would split as many blocks of the direct map as it was to save.

    Once the cache is empty, 512 single pages come from one block of 2M and one refill.
    """
    free = counters().cache["Free"]
    if free:
        oracle.hold(free, 0, "unmapped")
    before = counters()
    checks.check("the cache is empty", before.cache["Free"] == 0, f"{before.cache}")
    oracle.hold(PMD_PAGES, 0, "unmapped")
    after = counters()

    pages = oracle.held()[free:]
    blocks = {page.pfn // PMD_PAGES for page in pages}
    checks.check("512 pages share one block of 2M", len(blocks) == 1, f"{len(blocks)} blocks")
    refilled = after.cache["Cached"] - before.cache["Cached"]
    checks.check("one refill", refilled == PMD_PAGES, f"{refilled} pages came in")
    splits = _splits(after) - _splits(before)
    checks.check("one split at most", splits <= 1, f"{splits} splits")
    judge.absent("the 512 pages", pages)


def _splits(counters: Counters) -> int:
    return counters.vmstat["direct_map_level2_splits"]
