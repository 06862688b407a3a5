# SPDX-License-Identifier: GPL-2.0-or-later
"""U15: the cache is refilled where no block of 2M is free."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.audit import Auditor, hold_pieces
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import CommandFailed, Oracle, must
from harness.testing.testcase import testcase

PMD_ORDER = 9
# By the order of the pieces: blocks of which every second piece is free. There is half of that,
# more than is asked for; where single pages are all there is, more than the 50 MiB that 4 GiB want
# free before they kill for memory.
FRAGMENTED = {8: 64, 4: 64, 0: 128}
LARGER = 8
# More than is held.
ALL = 1 << 20
# For a process the kernel wants slabs of several pages each, which are not to be had where single
# pages are all there is: it would kill for them. Slabs of processes that have ended stay.
PROCESSES = 64
START_AND_END = f"i=0; while [ $i -lt {PROCESSES} ]; do sleep 1 & i=$((i + 1)); done; wait"
# Requests above this order give up where they can't be served; smaller ones kill for memory.
COSTLY_ORDER = 4


@testcase("U15-fragmented", needs_feature=True, config=["DEBUG_FS"], clean=True)
def test_fragmented(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, the cache would serve nobody, or hand out mapped pages, on old machines.

    With nothing larger free than pieces of 2^order pages it takes those, after the last larger
    ones, among them what boot has freed of the kernel's image: that is mapped at the image's own
    addresses, too. Every page that it hands out is absent, and what it can't get in one piece it
    refuses.
    """
    # Or each zone keeps 50 MiB more to itself once its blocks are mixed, and kills for memory.
    must(guest, "echo 0 > /proc/sys/vm/watermark_boost_factor")
    free = counters().cache["Free"]
    if free:
        oracle.hold(free, 0, "unmapped")
    auditor = Auditor(guest, checks, counters, outside)
    for order, blocks in FRAGMENTED.items():
        must(guest, START_AND_END)
        oracle.control(f"fragment {blocks} {order}")
        _check_pieces(guest, checks, oracle, judge, auditor, order)
        oracle.control("gather", f"drop {free} {ALL}")
        auditor.check(f"order {order}, memory is free again", 0)


def _check_pieces(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, auditor: Auditor, order: int
) -> None:
    """Take single unmapped pages, and larger ones, while pieces of `order` are all there is."""
    name = f"order {order}"
    free = auditor.read().free
    first = len(oracle.held())
    if free:
        oracle.hold(free, 0, "unmapped")
    refills = hold_pieces(guest, oracle, order + 1)
    small = min(refills, default=PMD_ORDER) < PMD_ORDER
    checks.check(f"{name}: served from smaller pieces", small, f"refills by order: {refills}")
    pages = oracle.held()[first:]
    judge.absent(f"{name}: single pages", pages)
    auditor.check(f"{name}: single pages", len(pages))

    single = len(oracle.held())
    # Refused or absent, either is right: there may be such a piece.
    with suppress(CommandFailed):
        oracle.hold(LARGER, max(order + 1, COSTLY_ORDER), "unmapped")
    larger = oracle.held()[single:]
    if larger:
        judge.absent(f"{name}: larger pieces", larger)
    auditor.check(f"{name}: larger pieces", len(pages) + len(larger))
