# SPDX-License-Identifier: GPL-2.0-or-later
"""S5: secretmem and hibernation."""

from __future__ import annotations

from harness.testing.checks import Checks
from harness.testing.testcase import testcase


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
