# SPDX-License-Identifier: GPL-2.0-or-later
"""S5: secretmem and hibernation."""

from __future__ import annotations

from collections.abc import Callable

from harness.measure.directmap import OutsideView
from harness.testing.account import account, check_account
from harness.testing.alias import check_given_back
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import Oracle
from harness.testing.testcase import testcase

PAGES = 16


@testcase(
    "S5-hibernation",
    config=["SECRETMEM", "HIBERNATION", "PM_SLEEP_DEBUG"],
    profile="hibernate",
)
def test_hibernation(checks: Checks) -> None:
    """If this failed, hibernation would write what is secret to a disk.

    An open file forbids it, with and without a page; without one, and afterwards, it is allowed
    and begins. It goes only as far as stopping all processes.
    """
    checks.program("secretmem_hibernate", timeout=120)


@testcase(
    "S5-image",
    config=["SECRETMEM", "HIBERNATION_SNAPSHOT_DEV", "DEBUG_FS", "PROC_PAGE_MONITOR"],
    profile="hibernate",
)
def test_image(
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
) -> None:
    """If this failed, hibernation would write what has been secret, or leave it reachable.

    Pages that were secretmem, and are free now, perhaps in a cache, are not in the image; nor
    does making the image put into the direct map what is free in a cache.
    """
    before = account(counters(), outside())
    said = checks.program(f"secretmem_image {PAGES}", timeout=180).stdout.decode(errors="replace")
    rows = [line.split() for line in said.splitlines() if line.startswith("# page 0x")]
    pfns = [int(row[2], 16) for row in rows]
    checks.check("the frames are known", len(pfns) == PAGES and all(pfns), f"{len(pfns)} frames")
    view, now = outside(), counters()
    frames, free = oracle.frames(pfns), now.cache.get("Free")
    check_given_back(judge, checks, view, "after the image", frames, free)
    # A page that a cache has, and that is mapped all the same, would be counted twice.
    check_account(checks, before, account(now, view))
