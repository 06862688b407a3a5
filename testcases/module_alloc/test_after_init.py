# SPDX-License-Identifier: GPL-2.0-or-later
"""M8: module data that is read-only after init."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.alias import check_alias, check_no_alias, check_own
from harness.testing.checks import Checks
from harness.testing.judging import Judge
from harness.testing.oracle import SETTLE, Oracle, must
from harness.testing.testcase import testcase

NAME = "patchbed_after_init"
DEBUGFS = "/sys/kernel/debug"


@testcase("M8-ro-after-init", config=["MODULES", "STRICT_MODULE_RWX", "DEBUG_FS"])
def test_ro_after_init(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    feature: bool,
) -> None:
    """If this failed, what a module fixes at its start could be changed later, or not be set.

    Writable while init runs, by the page table and by a write; afterwards a write faults, at the
    module's own address, and the direct map has the frames read-only, or with a series not at all.
    """
    load = f"insmod /patchbed/modules/{NAME}.ko && {SETTLE} && cat {DEBUGFS}/{NAME}_at"
    address, count = must(guest, load).split()
    checks.lines(must(guest, f"cat {DEBUGFS}/{NAME}"))
    own = oracle.addresses([(int(address, 16), int(count))])
    alias, view = oracle.frames(page.pfn for page in own), outside()
    check_own(checks, "after init", own, view, writable=False, executable=False)
    if feature:
        check_no_alias(judge, view, "after init", own, alias)
    else:
        check_alias(judge, view, "after init", alias, writable=False)
    must(guest, f"rmmod {NAME}")
