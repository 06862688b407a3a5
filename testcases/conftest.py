# SPDX-License-Identifier: GPL-2.0-or-later
"""What the testcases share: the in-guest oracle module, and a judge that asks every oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from harness.testing.judging import Judge
from harness.testing.oracle import MODULE, ONE_CPU, SETTLE, Oracle, must

if TYPE_CHECKING:
    from harness.guest.guest import Guest
    from harness.measure.directmap import OutsideView
    from harness.testing.checks import Checks


@pytest.fixture
def oracle(guest: Guest) -> Iterator[Oracle]:
    """The oracle module, loaded for one testcase; what it holds is freed at the end."""
    must(guest, f"{ONE_CPU} insmod /patchbed/modules/{MODULE}.ko && {SETTLE}")
    yield Oracle(guest)
    if guest.death is None:
        must(guest, f"rmmod {MODULE}")


@pytest.fixture
def judge(checks: Checks, outside: Callable[[], OutsideView]) -> Judge:
    """Judges whether pages are in the direct map, by every oracle."""
    return Judge(checks, outside)
