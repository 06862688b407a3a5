# SPDX-License-Identifier: GPL-2.0-or-later
"""U8: __GFP_UNMAPPED where nobody may sleep."""

from __future__ import annotations

from collections.abc import Callable

from harness.measure.directmap import OutsideView
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import CommandFailed, Oracle
from harness.testing.testcase import testcase

CACHED_ORDER = 3
# What the kernel says where it slept, or took a lock, that it must not have.
COMPLAINTS = (
    "BUG: sleeping function",
    "BUG: scheduling while atomic",
    "BUG: Invalid wait context",
    "inconsistent lock state",
    "possible irq lock inversion",
    "possible circular locking",
    "WARNING: CPU",
)


@testcase("U8-atomic", needs_feature=True, config=["DEBUG_FS", "KUNIT"], profile="debug")
def test_atomic(
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
) -> None:
    """If this failed, an atomic request would sleep, or get a page that is in the direct map.

    GFP_ATOMIC and GFP_NOWAIT, with a spinlock held, with interrupts off and in interrupts: from
    an empty cache nothing, or an absent page; from a filled one the same. The profile debug
    complains where the allocator sleeps.
    """
    log = checks.module("patchbed_atomic_kunit")
    _no_complaint(checks, "the suite", log)

    oracle.hold(1, CACHED_ORDER, "unmapped")
    oracle.control("release")
    _judge_what_is_served(checks, oracle, judge, "filled cache")
    free = counters().cache["Free"]
    oracle.hold(free, 0, "unmapped")
    _judge_what_is_served(checks, oracle, judge, "empty cache")


def _judge_what_is_served(checks: Checks, oracle: Oracle, judge: Judge, name: str) -> None:
    """Ask for a page with a spinlock held; judge it if there is one."""
    try:
        oracle.hold(1, 0, "unmapped", "atomic")
    except CommandFailed:
        checks.check(f"{name}: refused or absent", True)
        return
    judge.absent(name, oracle.held())


def _no_complaint(checks: Checks, name: str, log: str) -> None:
    lines = [line for line in log.splitlines() if any(word in line for word in COMPLAINTS)]
    checks.check(f"{name}: the kernel does not complain", not lines, "; ".join(lines[:3]))
