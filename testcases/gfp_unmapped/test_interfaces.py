# SPDX-License-Identifier: GPL-2.0-or-later
"""U6: the interfaces around the allocator and __GFP_UNMAPPED: bulk, slab, compound, accounted."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.cgroup import Cgroup
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import PAGE_SIZE, CommandFailed, Oracle
from harness.testing.testcase import testcase

COMPOUND_ORDERS = (1, 4, 9)
ACCOUNTED_PAGES = 1024
ACCOUNTED = ACCOUNTED_PAGES * PAGE_SIZE
# Chunks this large leave the shell that asks some room when the next one does not fit.
LIMITED_ORDER = 9
LIMIT = 5 << 20
LIMITED_CHUNKS = 4
# What the shell that asks is charged itself: its stack, page tables, open files.
SLACK = ACCOUNTED // 4


@testcase("U6-bulk-and-slab", needs_feature=True, config=["DEBUG_FS", "KUNIT"])
def test_bulk_and_slab(checks: Checks, oracle: Oracle) -> None:
    """If this failed, who asks for unmapped memory would silently get what the kernel can read.

    The bulk allocator hands out no mapped page; slabs, and all that returns an address, refuse.
    Both oracles of the kernel look at what is handed out nevertheless.
    """
    checks.module("patchbed_interfaces_kunit")


@testcase("U6-compound", needs_feature=True, config=["DEBUG_FS", "KUNIT"])
def test_compound(
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
) -> None:
    """If this failed, a compound unmapped page would be refused, mapped, or freed only in part.

    What is held is absent; once it is freed, the cache has all of its pages back.
    """
    checks.module("patchbed_compound_kunit")
    for order in COMPOUND_ORDERS:
        name = f"order {order}"
        try:
            oracle.hold(1, order, "unmapped", "comp")
        except CommandFailed as error:
            checks.check(f"{name}: served", False, str(error))
            continue
        judge.absent(name, oracle.held(), view=outside())
        held = counters().cache["Free"]
        oracle.control("release")
        back = counters().cache["Free"] - held
        checks.check(f"{name}: all of it comes back", back == 1 << order, f"{back} pages do")


@testcase("U6-account", needs_feature=True, config=["DEBUG_FS", "MEMCG"])
def test_account(guest: Guest, checks: Checks, oracle: Oracle, judge: Judge) -> None:
    """If this failed, a container could take unmapped memory beyond its limit, charged to nobody.

    Pages asked for with __GFP_ACCOUNT are charged to the group of who asks, the charge goes with
    them, and a limit holds. Ordinary pages show that the group counts.
    """
    with Cgroup(guest, "memory") as group:
        _hold(group, f"hold {ACCOUNTED_PAGES} 0 account")
        charged = _charge(group)
        oracle.control("release")
        reason = f"{charged} bytes for {ACCOUNTED}"
        checks.check("ordinary pages are charged", _close(charged, ACCOUNTED), reason)

        _hold(group, f"hold {ACCOUNTED_PAGES} 0 unmapped account")
        charged = _charge(group)
        reason = f"{charged} bytes for {ACCOUNTED}"
        checks.check("unmapped pages are charged", _close(charged, ACCOUNTED), reason)
        judge.absent("charged pages", oracle.held())
        oracle.control("release")
        left = _charge(group)
        checks.check("the charge goes with the pages", _close(left, 0), f"{left} bytes stay")

        _check_limit(group, checks, oracle)


def _check_limit(group: Cgroup, checks: Checks, oracle: Oracle) -> None:
    group.write("memory.max", str(LIMIT))
    status = group.ask(f"hold {LIMITED_CHUNKS} {LIMITED_ORDER} unmapped account noretry")
    got = len(oracle.held()) * PAGE_SIZE
    oracle.control("release")
    reason = f"{got} bytes with a limit of {LIMIT}"
    checks.check("a limit holds", status != 0 and got <= LIMIT, reason)


def _hold(group: Cgroup, command: str) -> None:
    status = group.ask(command)
    if status != 0:
        raise CommandFailed(f"{command!r} in a memory cgroup: status {status}")


def _charge(group: Cgroup) -> int:
    """Return what the kernel has charged to the group for itself, in bytes."""
    (line,) = (one for one in group.read("memory.stat").splitlines() if one.startswith("kernel "))
    return int(line.removeprefix("kernel "))


def _close(charged: int, expected: int) -> bool:
    return abs(charged - expected) <= SLACK
