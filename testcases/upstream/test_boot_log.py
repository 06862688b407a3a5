# SPDX-License-Identifier: GPL-2.0-or-later
"""K7 and K8: what the kernel finds of itself when it boots."""

from __future__ import annotations

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.testcase import testcase

CHECK_WX = "/sys/kernel/debug/check_wx_pages"
RODATA_GOOD = "rodata_test: all tests were successful"
# Each begins with the same words, and says "passed" or how many pages are wrong.
WX_CHECKED = "x86/mm: Checked W+X mappings: "


def boot_log(guest: Guest) -> str:
    """Return what the kernel said since it booted: its console's, or its buffer, whichever has it.

    A guest that was restored has a console that begins then; a long boot's buffer forgets.
    """
    console = (guest.folder / "console.log").read_text(errors="replace")
    return console + guest.run("dmesg").stdout.decode(errors="replace")


@testcase("K7-rodata-test", config=["DEBUG_RODATA_TEST"], profile="upstream")
def test_rodata(guest: Guest, checks: Checks) -> None:
    """If this failed, the kernel's constants could be written to (mm/rodata_test.c)."""
    said = [line for line in boot_log(guest).splitlines() if "rodata_test: " in line]
    good = any(RODATA_GOOD in line for line in said)
    checks.check("all tests were successful", good, "; ".join(said) or "the log has none of it")


@testcase("K8-debug-wx", config=["DEBUG_WX"], profile="upstream")
def test_debug_wx(guest: Guest, checks: Checks) -> None:
    """If this failed, some kernel memory would be both writable and executable.

    The kernel looks once it has booted; later ones also when asked, with modules loaded.
    """
    said = [line for line in boot_log(guest).splitlines() if WX_CHECKED in line]
    good = bool(said) and all(f"{WX_CHECKED}passed" in line for line in said)
    checks.check("at boot", good, "; ".join(said) or "the log has none of it")
    asked = guest.run(f"modprobe test_vmalloc run_test_mask=0 2>/dev/null; cat {CHECK_WX}")
    if asked.status != 0:
        checks.skip("when asked", f"{CHECK_WX} came with 6.9")
        return
    answer = asked.stdout.decode(errors="replace").strip()
    checks.check("when asked", answer == "SUCCESS", answer)
