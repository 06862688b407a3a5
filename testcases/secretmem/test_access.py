# SPDX-License-Identifier: GPL-2.0-or-later
"""S1 and S2: nobody but its owner reads secretmem, not even the kernel for its owner."""

from __future__ import annotations

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.testcase import testcase

# Takes O_DIRECT, on a machine that has one.
DISK = "/dev/vda"


@testcase("S1-access", config=["SECRETMEM", "CROSS_MEMORY_ATTACH"])
def test_access(checks: Checks) -> None:
    """If this failed, another process, or a file operation, could read secretmem.

    process_vm_readv and _writev, ptrace, /proc/pid/mem, and read and write on the fd; each way
    is shown to work on ordinary memory.
    """
    checks.program("secretmem_access")


@testcase("S2-pin", config=["SECRETMEM", "NET"])
def test_pin(checks: Checks) -> None:
    """If this failed, the kernel could be made to take hold of secretmem and pass it on.

    vmsplice and MSG_ZEROCOPY, each on ordinary memory first, then on pages never touched,
    touched just now and touched before: the kernel's fast way to a page sees all three apart.
    """
    checks.program("secretmem_pin memory")


@testcase("S2-pin-io-uring", config=["SECRETMEM", "IO_URING"], profile="wide")
def test_pin_io_uring(checks: Checks) -> None:
    """If this failed, io_uring could read secretmem as one of its fixed buffers.

    Otherwise as S2-pin.
    """
    checks.program("secretmem_pin io_uring")


@testcase(
    "S2-pin-direct",
    config=["SECRETMEM", "VIRTIO_BLK"],
    profile="wide",
    machine="disk",
)
def test_pin_direct(checks: Checks, guest: Guest) -> None:
    """If this failed, a disk could be made to read secretmem, or to write into it.

    O_DIRECT, both ways, on the disk itself; otherwise as S2-pin.
    """
    there = guest.run(f"test -b {DISK}").status == 0
    checks.check("the machine has a disk", there, f"no {DISK}")
    if there:
        checks.program(f"secretmem_pin {DISK}")
