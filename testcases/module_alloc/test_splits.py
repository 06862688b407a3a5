# SPDX-License-Identifier: GPL-2.0-or-later
"""M3 and M4: what loading and unloading modules does to the direct map."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.account import account, check_account
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.oracle import ONE_CPU, SETTLE, Oracle, must, scatter
from harness.testing.splits import check_few, check_many, refills, splits_outside
from harness.testing.testcase import testcase

MODULES = "/patchbed/modules"
CONFIG = ["MODULES", "MODULE_UNLOAD", "STRICT_MODULE_RWX", "DEBUG_FS", "VM_EVENT_COUNTERS"]
# Holes in blocks that are whole: enough for the module, its file, and the shell that loads it.
HOLES = 128
# patchbed_sections has 11 pages that loading makes read-only, and 8 more that unloading takes out
# of the direct map for a moment; each lies in a block of its own, unless a hole was taken before.
LEAST_PER_LOAD = 5
LEAST_PER_UNLOAD = 4
STORM = ("patchbed_small", "patchbed_medium", "patchbed_large", "patchbed_sections")
ROUNDS = 4


@testcase("M3-splits", config=CONFIG)
def test_splits(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
    feature: bool,
) -> None:
    """If this failed, a cache of unmapped pages would not spare the direct map modules' splits.

    With the blocks that are split already out of the way, a load and an unload split blocks on a
    kernel without a cache (or the test would prove nothing), and with one no more than its
    refills explain.
    """
    before, outside_before = counters(), outside()
    loading, unloading = _splits_of_one_module(guest)
    after, outside_after = counters(), outside()
    oracle.control("gather")
    if feature:
        check_few(checks, "load", loading, refills(before, after))
        check_few(checks, "unload", unloading, 0)
        return
    check_many(checks, "load", loading, LEAST_PER_LOAD)
    check_many(checks, "unload", unloading, LEAST_PER_UNLOAD)
    counted = after.vmstat["direct_map_level2_splits"] - before.vmstat["direct_map_level2_splits"]
    seen = splits_outside(outside_before, outside_after)
    reason = f"{counted} by vmstat, {seen} from outside"
    checks.check("vmstat and the outside count the same splits", counted == seen, reason)


def _splits_of_one_module(guest: Guest) -> tuple[int, int]:
    """Return the splits of one load and of one unload, on scattered memory.

    One shell does it all: what else runs in between would take the holes.
    """
    splits = "sed -n s/direct_map_level2_splits.//p /proc/vmstat"
    script = " && ".join(
        [
            scatter(HOLES),
            splits,
            f"insmod {MODULES}/patchbed_sections.ko",
            SETTLE,
            splits,
            "rmmod patchbed_sections",
            splits,
        ]
    )
    before, loaded, unloaded = map(int, must(guest, f"{ONE_CPU} sh -c '{script}'").split())
    return loaded - before, unloaded - loaded


@testcase("M4-storm", config=CONFIG, machine="smp-4")
def test_storm(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
    stress: float,
) -> None:
    """If this failed, unloaded modules would leave holes or read-only pages in the direct map.

    Modules of several sizes come and go, all at once; afterwards every frame is mapped as
    before, but for those that the cache says it holds. A kernel without PTDUMP_DEBUGFS has no
    page_tables to say so too.
    """
    before = account(counters(), outside())
    must(guest, _storm(max(1, round(ROUNDS * stress))), timeout=120 * max(1.0, stress))
    oracle.control("settle")
    after = account(counters(), outside())

    loaded = must(guest, "cat /proc/modules")
    left = [name for name in STORM if name in loaded]
    checks.check("all modules are gone", not left, ", ".join(left))
    check_account(checks, before, after)


def _storm(rounds: int) -> str:
    """Return a shell command: each module is loaded and unloaded by a shell of its own."""
    once = f"insmod {MODULES}/%s.ko && rmmod %s || exit 1"
    shells = [
        f"(for i in $(seq {rounds}); do {once % (name, name)}; done) & p{number}=$!;"
        for number, name in enumerate(STORM)
    ]
    waits = " && ".join(f"wait $p{number}" for number in range(len(STORM)))
    return f"{' '.join(shells)} {waits}"
