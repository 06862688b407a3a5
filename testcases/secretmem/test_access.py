# SPDX-License-Identifier: GPL-2.0-or-later
"""S1: nobody but its owner reads secretmem."""

from __future__ import annotations

from harness.testing.checks import Checks
from harness.testing.testcase import testcase


@testcase("S1-access", config=["SECRETMEM", "CROSS_MEMORY_ATTACH"])
def test_access(checks: Checks) -> None:
    """If this failed, another process, or a file operation, could read secretmem.

    process_vm_readv and _writev, ptrace, /proc/pid/mem, and read and write on the fd; each way
    is shown to work on ordinary memory.
    """
    checks.program("secretmem_access")
