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

    now = _Now(outside, counters)
    for order in ORDERS:
        name = f"order {order}"
        before = _drained(oracle, now)
        tried = _fail_every_nth(oracle, now, order)
        tried.record(checks, name)
        check_account(checks, before.account, now.look().account, name=name)
        judge.absent(f"{name}: what was handed out", oracle.held())
        if tried.refused:
            _check_leak(guest, checks, oracle, now, name, order, tried.refused[-1])
        oracle.control("release", "gather")

    before = now.look()
    oracle.hold(NEIGHBOURS, PMD_ORDER - 1)
    oracle.control("release")
    used = now.look().used - before.used
    reason = f"the cache lends {used} pages more than before"
    checks.check("ordinary memory stays out of the cache", used == 0, reason)


@dataclass(frozen=True)
class _State:
    """The direct map, and how many pages the cache has lent and has free."""

    account: Account
    used: int
    free: int


class _Now:
    """Looks at the state of the guest's memory."""

    def __init__(
        self, outside: Callable[[], OutsideView], counters: Callable[[], Counters]
    ) -> None:
        self._outside, self._counters = outside, counters

    def free(self) -> int:
        return self._counters().cache["Free"]

    def look(self) -> _State:
        counters = self._counters()
        cache = counters.cache
        used = cache["Cached"] - cache["Released"] - cache["Free"]
        return _State(account(counters, self._outside()), used, cache["Free"])


@dataclass
class _Tried:
    """What became of a request when its nth allocation failed, and what was wrong then."""

    refused: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    faults: int = 0
    ended: bool = False

    def record(self, checks: Checks, name: str) -> None:
        reason = f"{self.faults} failures, {len(self.refused)} of them refused the request"
        checks.check(f"{name}: failures had to be rolled back", len(self.refused) >= 2, reason)
        checks.check(f"{name}: served once nothing fails", self.ended, f"not after {MOST}")
        text = "; ".join(self.wrong[:4])
        checks.check(f"{name}: each failure leaves the account right", not self.wrong, text)


def _drained(oracle: Oracle, now: _Now) -> _State:
    """Hold what is free in the cache, and return the state then."""
    if free := now.free():
        oracle.hold(free, 0, "unmapped")
    return now.look()


def _fail_every_nth(oracle: Oracle, now: _Now, order: int) -> _Tried:
    """Ask for a chunk of 2^`order` pages with its nth allocation failing, for each n there is."""
    tried = _Tried()
    for nth in range(1, MOST + 1):
        oracle.control(f"whole 1 {max(order, PMD_ORDER)}")
        before = _drained(oracle, now)
        try:
            oracle.hold(1, order, "unmapped", f"nth={nth}")
            got = 1 << order
        except CommandFailed:
            got = 0
        faults = oracle.faults()
        after = now.look()
        tried.faults += faults
        if not got:
            tried.refused.append(nth)
        if after.used - before.used != got:
            lent = after.used - before.used
            tried.wrong.append(f"failure {nth}: {got} pages handed out, {lent} by the account")
        known = before.account.mapped + before.account.cached
        if (found := after.account.mapped + after.account.cached) != known:
            tried.wrong.append(
                f"failure {nth}: {known - found} bytes are neither mapped nor cached"
            )
        if not faults:
            tried.ended = bool(got)
            break
    return tried


def _check_leak(
    guest: Guest, checks: Checks, oracle: Oracle, now: _Now, name: str, order: int, nth: int
) -> None:
    """Repeat the last failure that refused the request: no memory may be lost."""
    oracle.control(f"whole 1 {max(order, PMD_ORDER)}")
    _drained(oracle, now)
    before = _memory_free(guest)
    refused = 0
    for _ in range(REPEATS):
        try:
            oracle.hold(1, order, "unmapped", f"nth={nth}")
        except CommandFailed:
            refused += 1
    lost = before - _memory_free(guest)
    reason = f"{lost} kB less are free after {refused} refusals"
    checks.check(
        f"{name}: no memory is lost", refused == REPEATS and lost < LEAST_LEAK_KB // 2, reason
    )


def _memory_free(guest: Guest) -> int:
    return int(must(guest, "sed -n 's/^MemFree: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))
