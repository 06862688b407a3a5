# SPDX-License-Identifier: GPL-2.0-or-later
"""K1 and K9: programs of the kernel's own selftests, from the variant's own source."""

from __future__ import annotations

import pytest

from harness.guest.guest import Guest
from harness.kernel.selftests import Selftest, Selftests
from harness.outcomes import Outcome
from harness.testing.checks import Checks
from harness.testing.selftest import huge_pages, run_selftest
from harness.testing.testcase import testcase


@testcase("K1-memfd-secret", config=["SECRETMEM", "CROSS_MEMORY_ATTACH"])
def test_memfd_secret(guest: Guest, checks: Checks, selftests: Selftests) -> None:
    """If this failed, secretmem would not do what its authors promise (memfd_secret.c)."""
    program = selftests.find("memfd_secret")
    if program.reason:
        pytest.skip(program.reason)
    for result in run_selftest(guest, selftests, program):
        checks.result(result)


@testcase("K9-kselftest")
def test_kselftest(
    guest: Guest, checks: Checks, kselftests: Selftests, kselftest: Selftest
) -> None:
    """If this failed, a program of the collection that was asked for would not pass."""
    if kselftest.reason:
        pytest.skip(kselftest.reason)
    with huge_pages(guest):
        results = list(run_selftest(guest, kselftests, kselftest))
    for result in results:
        checks.result(result)
    if all(result.outcome is Outcome.SKIP for result in results):
        pytest.skip(results[0].reason)
