# SPDX-License-Identifier: GPL-2.0-or-later
"""U9: every allocation that a refill makes is made to fail, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.account import Account, account, check_account
from harness.testing.checks import Checks
from harness.testing.contents import PMD_ORDER
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import CommandFailed, Oracle, must
from harness.testing.testcase import testcase

INJECTION = "/sys/kernel/debug/fail_page_alloc"
# Of two blocks of 2M the second may fail to be split, with the first taken out already.
ORDERS = (0, PMD_ORDER, PMD_ORDER + 1)
MOST = 16
REPEATS = 8
# A refill that a failure loses is 2 MiB at least.
LEAST_LEAK_KB = REPEATS * 2048
NEIGHBOURS = 16


@testcase(
    "U9-fault-injection",
    needs_feature=True,
    clean=True,
    config=["DEBUG_FS", "FAULT_INJECTION_DEBUG_FS", "FAIL_PAGE_ALLOC"],
    profile="fault",
)
def test_fault_injection(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
) -> None:
    """If this failed, a refill that fails half way would lose memory, or leave it mapped or not.

    For requests of several sizes, the first, the second, ... allocation on the way fails, until
    none is left: of the chunk, of the page tables that splitting a block takes. Each time every
    frame is in the direct map or in the cache, and the cache knows who has what.
    """
    # All allocations count, not only large ones that may be retried.
    settings = ("min-order 0", "ignore-gfp-wait N", "ignore-gfp-highmem N")
    writes = [f"echo {value} > {name}" for name, value in map(str.split, settings)]
    must(guest, f"cd {INJECTION} && {' && '.join(writes)}")

    cell = _Cell(guest, checks, oracle, outside, counters)
    for order in ORDERS:
        name = f"order {order}"
        cell.drain()
        before = cell.account()
        tried = _fail_every_nth(cell, order)
        tried.record(checks, name)
        check_account(checks, before, cell.account(), name=name)
        judge.absent(f"{name}: what was handed out", oracle.held())
        if tried.refused:
            _check_leak(cell, name, order, tried.refused[-1])
        oracle.control("release", "gather")

    before_lent = cell.lent()
    oracle.hold(NEIGHBOURS, PMD_ORDER - 1)
    oracle.control("release")
    lent = cell.lent() - before_lent
    reason = f"the cache lends {lent} pages more than before"
    checks.check("ordinary memory stays out of the cache", lent == 0, reason)


@dataclass(frozen=True)
class _Cell:
    """The guest, and what asks it."""

    guest: Guest
    checks: Checks
    oracle: Oracle
    outside: Callable[[], OutsideView]
    counters: Callable[[], Counters]

    def account(self) -> Account:
        return account(self.counters(), self.outside())

    def lent(self) -> int:
        """Return how many pages somebody has of the cache, by its own account."""
        cache = self.counters().cache
        return cache["Cached"] - cache["Released"] - cache["Free"]

    def drain(self) -> int:
        """Hold what is free in the cache, and return how many pages are lent then."""
        cache = self.counters().cache
        if cache["Free"]:
            self.oracle.hold(cache["Free"], 0, "unmapped")
        return cache["Cached"] - cache["Released"]

    def refused(self, order: int, nth: int) -> bool:
        """Return whether a chunk is refused when the nth allocation on the way to it fails."""
        try:
            self.oracle.hold(1, order, "unmapped", f"nth={nth}")
        except CommandFailed:
            return True
        return False

    def next_is_whole(self, order: int) -> None:
        """See to it that the next refill has to split a block."""
        self.oracle.control(f"whole 1 {max(order, PMD_ORDER)}")


@dataclass
class _Tried:
    """What became of a request when its nth allocation failed, and what was wrong then."""

    refused: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    faults: int = 0
    ended: bool = False

    def record(self, checks: Checks, name: str) -> None:
        reason = f"{self.faults} failures, {len(self.refused)} of them refused the request"
        checks.check(f"{name}: a failure had to be rolled back", bool(self.refused), reason)
        checks.check(f"{name}: served once nothing fails", self.ended, f"not after {MOST}")
        text = "; ".join(self.wrong[:4])
        checks.check(f"{name}: each failure leaves the account right", not self.wrong, text)


def _fail_every_nth(cell: _Cell, order: int) -> _Tried:
    """Ask for a chunk of 2^`order` pages with its nth allocation failing, for each n there is."""
    tried = _Tried()
    first = cell.account()
    known = first.mapped + first.cached
    for nth in range(1, MOST + 1):
        cell.next_is_whole(order)
        before = cell.drain()
        got = 1 << order
        if cell.refused(order, nth):
            tried.refused.append(nth)
            got = 0
        faults = cell.oracle.faults()
        tried.faults += faults
        if (lent := cell.lent() - before) != got:
            tried.wrong.append(f"failure {nth}: {got} pages handed out, {lent} by the account")
        now = cell.account()
        if (found := now.mapped + now.cached) != known:
            tried.wrong.append(f"failure {nth}: {known - found} bytes neither mapped nor cached")
        if not faults:
            tried.ended = bool(got)
            break
    return tried


def _check_leak(cell: _Cell, name: str, order: int, nth: int) -> None:
    """Repeat the last failure that refused the request: no memory may be lost."""
    cell.drain()
    cell.oracle.control("gather")
    before = _memory_free(cell.guest)
    refused = 0
    for _ in range(REPEATS):
        cell.next_is_whole(order)
        refused += cell.refused(order, nth)
    cell.oracle.control("gather")
    lost = before - _memory_free(cell.guest)
    reason = f"{lost} kB less are free after {refused} refusals"
    kept = refused == REPEATS and lost < LEAST_LEAK_KB // 2
    cell.checks.check(f"{name}: no memory is lost", kept, reason)


def _memory_free(guest: Guest) -> int:
    """Return how much memory nobody has, in kB."""
    return int(must(guest, "sed -n 's/^MemFree: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
