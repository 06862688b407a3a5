# SPDX-License-Identifier: GPL-2.0-or-later
"""S9: faults of secretmem against truncation."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.account import account, check_account
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.oracle import Oracle
from harness.testing.testcase import testcase

ROUNDS = 40


@testcase("S9-fault-truncate", config=["SECRETMEM", "DEBUG_FS"], machine="smp-4")
def test_fault_truncate(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
    stress: float,
) -> None:
    """If this failed, a fault that meets a truncation would lose a page, or the machine.

    Three threads fault all pages of a file while two give it different sizes, one within a page;
    of those one is refused. Afterwards every frame is mapped as before, but for those that a
    cache says it holds.
    """
    before = account(counters(), outside())
    rounds = max(1, round(ROUNDS * stress))
    checks.program(f"secretmem_race {rounds}", timeout=120 * max(1.0, stress))
    oracle.control("settle")
    check_account(checks, before, account(counters(), outside()))
