# SPDX-License-Identifier: GPL-2.0-or-later
"""U3: what is freed goes back to the cache, and becomes as large there as it was."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.cache import parse_orders
from harness.measure.directmap import OutsideView
from harness.testing.audit import Auditor
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import Oracle, must
from harness.testing.splits import level2_splits
from harness.testing.testcase import testcase

PMD_ORDER = 9
PMD_PAGES = 1 << PMD_ORDER


@testcase("U3-free-and-coalesce", needs_feature=True, config=["DEBUG_FS", "KUNIT"])
def test_free_and_coalesce(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, the cache would crumble, and split a block of the direct map again and again.

    In whatever order the pieces of a block are freed, it can be had whole again; pieces in use
    stay with who has them. Freed pages stay absent, and using them again splits nothing.
    """
    checks.module("patchbed_coalesce_kunit")
    free = counters().cache["Free"]
    if free:
        oracle.hold(free, 0, "unmapped")
    auditor = Auditor(guest, checks, counters, outside)
    emptied = auditor.first.free
    checks.check("the cache is empty", emptied == 0, f"{emptied} pages are free")

    oracle.hold(PMD_PAGES, 0, "unmapped")
    freed = oracle.held()[free:]
    auditor.check("held", PMD_PAGES)
    before = counters()
    oracle.control(f"drop {free} {PMD_PAGES}")
    auditor.check("freed", 0)
    whole = _whole(guest)
    checks.check("512 single pages are one block again", whole == PMD_PAGES, f"{whole} pages are")
    judge.absent("freed", oracle.frames(page.pfn for page in freed))

    oracle.hold(1, PMD_ORDER, "unmapped")
    again = oracle.held()[free:]
    same = {page.pfn for page in again} == {page.pfn for page in freed}
    checks.check("the block is handed out again", same, "other frames were handed out")
    judge.absent("handed out again", again)
    auditor.check("handed out again", PMD_PAGES)
    splits = level2_splits(counters()) - level2_splits(before)
    checks.check("using pages again splits nothing", splits == 0, f"{splits} splits")


def _whole(guest: Guest) -> int:
    """Return how many pages lie in blocks of 2M and more that are free in the cache."""
    rows = parse_orders(must(guest, "cat /sys/kernel/debug/unmapped_alloc"))
    return sum(count << order for order, count in enumerate(rows["Free"]) if order >= PMD_ORDER)
