# SPDX-License-Identifier: GPL-2.0-or-later
"""U0: the oracles can tell a page that is in the direct map from one that is not."""

from __future__ import annotations

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.judging import Judge, full_of, outside_contents
from harness.testing.oracle import Oracle
from harness.testing.secretmem import secret_pages
from harness.testing.testcase import testcase

PAGES = 4
WORD = 0x5EC2_E75E_C2E7_5EC2


@testcase("U0-controls", config=["SECRETMEM", "DEBUG_FS"])
def test_controls(guest: Guest, checks: Checks, oracle: Oracle, judge: Judge) -> None:
    """If this failed, no other testcase's verdict on presence would mean anything.

    An ordinary page is present, a page of secretmem is absent, and QEMU reads both at the frame
    that the kernel names.
    """
    secret = WORD.to_bytes(8, "little")
    oracle.hold(PAGES, 0)
    oracle.control(f"fill {WORD:#x}")
    ordinary = oracle.held()
    judge.present("an ordinary page", ordinary)
    found = full_of(outside_contents(guest, [page.pfn for page in ordinary]), secret)
    checks.check("QEMU reads the ordinary pages", len(found) == PAGES, f"{len(found)} of {PAGES}")

    with secret_pages(guest, PAGES, WORD) as pages:
        pfns = [page.pfn for page in pages]
        judge.absent("a secretmem page", oracle.frames(pfns))
        found = full_of(outside_contents(guest, pfns), secret)
    checks.check("QEMU reads the secretmem pages", len(found) == PAGES, f"{len(found)} of {PAGES}")
