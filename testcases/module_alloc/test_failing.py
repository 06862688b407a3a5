# SPDX-License-Identifier: GPL-2.0-or-later
"""M6: modules that do not get as far as being loaded."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.account import account, check_account
from harness.testing.alias import check_given_back
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge, holding, outside_contents, some
from harness.testing.oracle import Oracle, must
from harness.testing.testcase import testcase

NAME = "patchbed_marked"
FILE = f"/patchbed/modules/{NAME}.ko"
CONFIG = ["MODULES", "MODULE_UNLOAD", "STRICT_MODULE_RWX", "DEBUG_FS"]
ROUNDS = 6
PAGES = 55
WORD = 0xFA11_EDFA_11ED_FA11
MARK = WORD.to_bytes(8, "little")
CUT = f"/tmp/{NAME}.ko"  # noqa: S108  the guest's own
# How a load can fail, the later the more has been set up: the file ends too early, init refuses in
# one way and another, a parameter is wrong once all permissions are set.
WAYS = {
    "a file that is cut": f"head -c 3000 {FILE} > {CUT}; insmod {CUT}",
    "a wrong parameter": f"insmod {FILE} error=much",
    "init: ENOMEM": f"insmod {FILE} word={WORD:#x} error=12",
    "init: EBUSY": f"insmod {FILE} word={WORD:#x} error=16",
}


@testcase("M6-failing-init", config=CONFIG)
def test_failing_init(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
    feature: bool,
) -> None:
    """If this failed, a module whose init fails would take memory with it, or leave it read-only.

    Loads fail in every way, again and again. No module is left; the frames of all sections are
    ordinary memory again, or free in a cache and then without what they held. At last the module
    loads and unloads as if nothing had been.
    """
    # The first load of all may need memory that stays.
    must(guest, f"insmod {FILE} && rmmod {NAME}")
    oracle.control("settle")
    before = account(counters(), outside())
    for way, command in WAYS.items():
        script = f"for i in $(seq {ROUNDS}); do ! {{ {command} 2> /dev/null; }} || exit 1; done"
        done = guest.run(script, timeout=60)
        checks.check(f"{way}: the load fails", done.status == 0, "it was loaded")
    oracle.control("settle")
    pfns = _logged(must(guest, f"dmesg | grep {shlex.quote(f'{NAME}: page')} | tail -n {PAGES}"))
    view, after = outside(), counters()
    checks.check("init said where it was", len(pfns) == PAGES, f"{len(pfns)} pages of {PAGES}")
    frames = oracle.frames(pfns)
    check_given_back(judge, checks, view, "given back", frames, after.cache.get("Free"))
    if feature:
        absent = [page.pfn for page in frames if not page.present]
        left = holding(outside_contents(guest, absent), MARK)
        checks.check("free in the cache: no mark is left, from outside", not left, some(left))
    check_account(checks, before, account(after, view))

    left_over = guest.run(f"grep {NAME} /proc/modules; ls -d /sys/module/{NAME}").stdout.decode()
    checks.check("no module is left", not left_over.strip(), left_over)
    use = must(guest, f"insmod {FILE} && grep {NAME} /proc/modules && rmmod {NAME}").split()
    checks.check("it loads and unloads after all, unused", use[2:3] == ["0"], " ".join(use))


def _logged(text: str) -> list[int]:
    """Return the frames in lines of the kernel's log, "patchbed_marked: page KIND PFN"."""
    return [int(line.split()[-1], 16) for line in text.splitlines()]
