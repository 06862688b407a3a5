# SPDX-License-Identifier: GPL-2.0-or-later
"""K2: the permissions of kernel memory, by LKDTM (drivers/misc/lkdtm/perms.c)."""

from __future__ import annotations

import re

import pytest

from harness.errors import GuestDied
from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.oracle import must
from harness.testing.testcase import testcase

TRIGGER = "/sys/kernel/debug/provoke-crash/DIRECT"
FAULT = r"BUG: unable to handle page fault for address: [0-9a-f]+"
# In what the kernel says of a fault: the access, then why it was refused.
WRITE = "supervisor write access in kernel mode"
READ = "supervisor read access in kernel mode"
FETCH = "supervisor instruction fetch in kernel mode"
REFUSED = "permissions violation"
# What LKDTM does, the access that must fault, and the CPU's feature that it takes.
CRASHES = [
    ("WRITE_RO", WRITE, ""),
    ("WRITE_RO_AFTER_INIT", WRITE, ""),
    ("WRITE_KERN", WRITE, ""),
    ("EXEC_DATA", FETCH, ""),
    ("EXEC_STACK", FETCH, ""),
    ("EXEC_KMALLOC", FETCH, ""),
    ("EXEC_VMALLOC", FETCH, ""),
    ("EXEC_RODATA", FETCH, ""),
    ("EXEC_USERSPACE", FETCH, "smep"),
    ("ACCESS_USERSPACE", READ, "smap"),
]
_ATTEMPT = re.compile(r"lkdtm: attempting bad .*? at (?P<address>[0-9a-f]+)\s*$", re.MULTILINE)
_FAULT = re.compile(r"page fault for address: (?P<address>[0-9a-f]+)")


@testcase("K2-lkdtm", config=["LKDTM", "DEBUG_FS"], profile="upstream", expects=FAULT)
@pytest.mark.parametrize(
    ("crash", "access", "feature"), CRASHES, ids=[crash for crash, _, _ in CRASHES]
)
def test_lkdtm(guest: Guest, checks: Checks, crash: str, access: str, feature: str) -> None:
    """If this failed, code or constants could be written, or data executed, in the kernel.

    Its pass is that the kernel dies of just this access, at the address that LKDTM named.
    """
    if feature and f" {feature} " not in f" {must(guest, 'grep -m 1 flags /proc/cpuinfo')} ":
        pytest.skip(f"needs a CPU with {feature}")
    must(guest, "modprobe lkdtm")
    try:
        guest.run(f"echo {crash} > {TRIGGER}")
    except GuestDied as death:
        console = (guest.folder / "console.log").read_text(errors="replace")
        tried = _ATTEMPT.findall(console)
        found = _FAULT.search(death.title)
        faulted = found["address"] if found else "none"
        same = bool(found) and tried[-1:] == [faulted]
        reason = f"the fault was at {faulted}, LKDTM named {tried[-1:]}"
        checks.check("it faults where it was about to", same, reason)
        report = "\n".join(death.lines)
        checks.check(f"of a {access}", access in report, report)
        checks.check("which the page table refuses", REFUSED in report, report)
        raise
    checks.check("it does not survive", False, f"{crash} did what it should not be able to do")
