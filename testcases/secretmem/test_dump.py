# SPDX-License-Identifier: GPL-2.0-or-later
"""S10: secretmem and core dumps."""

from __future__ import annotations

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.oracle import must
from harness.testing.testcase import testcase

FOLDER = "/tmp/patchbed-core"  # noqa: S108  the guest's own
PATTERN = "/proc/sys/kernel/core_pattern"
WITH_PID = "/proc/sys/kernel/core_uses_pid"
# The patterns as testcases/secretmem/programs/secretmem_dump.c makes them: kind 1 is in secretmem,
# 2 and 3 in ordinary memory. The core that stays is that of the second look, whose kinds are 4 on.
SEED, KINDS = 0x5E, 4
SECRET, PRIVATE, SHARED = 1, 2, 3


def word(kind: int) -> bytes:
    """Return the 64-bit word that a kind of memory is full of."""
    value = (SEED + KINDS + kind) * 0x0101_0101_0101_0101 ^ 0x0123_4567_89AB_CDEF
    return value.to_bytes(8, "little")


@testcase("S10-core-dump", config=["SECRETMEM", "COREDUMP", "ELF_CORE"])
def test_core_dump(guest: Guest, checks: Checks) -> None:
    """If this failed, a crash would write what is secret to a file.

    With all kinds of memory to be dumped, ordinary patterns are in the core and the secret is
    not, and not with MADV_DODUMP either. The last core is looked at out here as well.
    """
    must(
        guest,
        f"mkdir -p {FOLDER} && cat {PATTERN} > {FOLDER}/pattern && cat {WITH_PID} > {FOLDER}/pid"
        f" && echo core > {PATTERN} && echo 0 > {WITH_PID}",
    )
    try:
        checks.program(f"secretmem_dump {FOLDER}")
        core = guest.get(f"{FOLDER}/core")
    finally:
        if guest.death is None:
            guest.run(f"cat {FOLDER}/pattern > {PATTERN}; cat {FOLDER}/pid > {WITH_PID}")
            guest.run(f"rm -r {FOLDER}")
    for name, kind in (("private", PRIVATE), ("shared", SHARED)):
        found = core.count(word(kind))
        checks.check(f"{name} memory is in the core: read out here", found > 0, "not a word of it")
    found = core.count(word(SECRET))
    checks.check("secretmem is not in the core: read out here", found == 0, f"{found} words")
