# SPDX-License-Identifier: GPL-2.0-or-later
"""S3 and S4: what a mapping of secretmem may be, and how much of it one may have."""

from __future__ import annotations

from harness.testing.checks import Checks
from harness.testing.testcase import testcase


@testcase("S3-mapping", config=["SECRETMEM"])
def test_mapping(checks: Checks) -> None:
    """If this failed, secretmem could be copied on write, run as code, or change its size.

    MAP_PRIVATE and PROT_EXEC are refused, the latter by mmap and by mprotect; so is every
    ftruncate after the first; beyond the size there is SIGBUS; a child shares the pages.
    """
    checks.program("secretmem_map")


@testcase("S4-limit", config=["SECRETMEM", "MULTIUSER"])
def test_limit(checks: Checks) -> None:
    """If this failed, a user could take more memory out of reach than RLIMIT_MEMLOCK allows.

    Kernels that charge a user when a fault brings a page must send SIGBUS beyond the limit and
    count all of the user's files and processes; older ones, which charge a process, refuse the
    mapping. Which one it is becomes a check's name.
    """
    said = checks.program("secretmem_limit").stdout.decode(errors="replace")
    kinds = [line[2:] for line in said.splitlines() if line.startswith("# charged per ")]
    name = kinds[0] if len(kinds) == 1 else "it is known how the kernel charges"
    checks.check(name, len(kinds) == 1, f"{len(kinds)} answers")
