# SPDX-License-Identifier: GPL-2.0-or-later
"""S6 to S8: the pages of secretmem and the direct map."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge, full_of, holding, outside_contents, some
from harness.testing.oracle import Oracle, scatter
from harness.testing.secretmem import secret_pages
from harness.testing.splits import check_few, check_many, level2_splits, refills
from harness.testing.testcase import testcase

PAGES = 32
WORD = 0x5EC2_E75E_C2E7_5EC2
SECRET = WORD.to_bytes(8, "little")
# Holes in blocks that are whole, and the pages that are to come from them. What else the kernel
# frees meanwhile is handed out before them, so that not every page splits a block.
HOLES = 128
SPLIT_PAGES = 64
LEAST_SPLITS = SPLIT_PAGES // 4
CONFIG = ["SECRETMEM", "DEBUG_FS", "PROC_PAGE_MONITOR"]


@testcase("S6-absent-while-held", config=CONFIG)
def test_absent_while_held(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
    feature: bool,
) -> None:
    """If this failed, the kernel could read secretmem, or would lose the pages for good.

    Absent while a process holds them; present once closed, but for those that a cache says are
    free in it. What they held is gone either way.
    """
    with secret_pages(guest, PAGES, WORD) as pages:
        pfns = [page.pfn for page in pages]
        judge.absent("held", oracle.frames(pfns))
        found = full_of(outside_contents(guest, pfns), SECRET)
        held = counters()
    closed = counters()
    checks.check("QEMU read the secret", len(found) == PAGES, f"{len(found)} of {PAGES} pages")
    left = holding(outside_contents(guest, pfns), SECRET)
    checks.check("no secret is left once closed", not left, some(left))

    pages_now = oracle.frames(pfns)
    if not feature:
        judge.present("closed", pages_now)
        return
    absent = sum(not page.present for page in pages_now)
    back = closed.cache["Free"] - held.cache["Free"]
    reason = f"{absent} pages stay absent, the cache got {back} back"
    checks.check("closed: what stays absent is free in the cache", absent <= back, reason)
    judge.agree("closed", pages_now, outside())


@testcase("S7-zero", config=CONFIG)
def test_zero(guest: Guest, checks: Checks) -> None:
    """If this failed, a process could read what another left in secretmem.

    The second holder gets frames of the first, and finds every page zero.
    """
    with secret_pages(guest, PAGES, WORD) as pages:
        first = {page.pfn for page in pages}
    with secret_pages(guest, 2 * PAGES) as pages:
        second = {page.pfn for page in pages}
        dirty = [page.pfn for page in pages if not page.zero]
        left = holding(outside_contents(guest, second), SECRET)
    checks.check("frames are used again", bool(first & second), "the second got other frames")
    checks.check("zero when handed out: read by the process", not dirty, some(dirty))
    checks.check("no secret of the first: read from outside", not left, some(left))


@testcase("S8-splits", config=[*CONFIG, "VM_EVENT_COUNTERS"])
def test_splits(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    feature: bool,
) -> None:
    """If this failed, a cache of unmapped pages would not spare the direct map secretmem's splits.

    With the blocks that are split already out of the way, 64 pages split about as many blocks
    on a kernel without a cache (or the test would prove nothing), and with one no more than its
    refills explain.
    """
    before = counters()
    with secret_pages(guest, SPLIT_PAGES, first=scatter(HOLES)) as pages:
        after = counters()
        judge.absent("held", oracle.frames(page.pfn for page in pages))
    closed = counters()
    oracle.control("gather")

    splits = level2_splits(after) - level2_splits(before)
    if feature:
        check_few(checks, f"{SPLIT_PAGES} pages", splits, refills(before, after))
    else:
        check_many(checks, f"{SPLIT_PAGES} pages", splits, LEAST_SPLITS)
    closing = level2_splits(closed) - level2_splits(after)
    checks.check("closing splits nothing", closing == 0, f"{closing} splits")
