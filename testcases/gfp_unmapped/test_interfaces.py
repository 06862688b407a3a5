# SPDX-License-Identifier: GPL-2.0-or-later
"""U6: the interfaces around the allocator and __GFP_UNMAPPED: bulk, slab, compound, accounted."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import FOLDER, ONE_CPU, PAGE_SIZE, CommandFailed, Oracle, must
from harness.testing.testcase import testcase

COMPOUND_ORDERS = (1, 4, 9)
GROUP_ROOT = "/dev/patchbed-cgroup"
GROUP = f"{GROUP_ROOT}/patchbed"
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
    with _group(guest):
        _hold_in_group(guest, f"hold {ACCOUNTED_PAGES} 0 account")
        charged = _charge(guest)
        oracle.control("release")
        reason = f"{charged} bytes for {ACCOUNTED}"
        checks.check("ordinary pages are charged", _close(charged, ACCOUNTED), reason)

        _hold_in_group(guest, f"hold {ACCOUNTED_PAGES} 0 unmapped account")
        charged = _charge(guest)
        reason = f"{charged} bytes for {ACCOUNTED}"
        checks.check("unmapped pages are charged", _close(charged, ACCOUNTED), reason)
        judge.absent("charged pages", oracle.held())
        oracle.control("release")
        left = _charge(guest)
        checks.check("the charge goes with the pages", _close(left, 0), f"{left} bytes stay")

        _check_limit(guest, checks, oracle)


def _check_limit(guest: Guest, checks: Checks, oracle: Oracle) -> None:
    must(guest, f"echo {LIMIT} > {GROUP}/memory.max")
    command = f"hold {LIMITED_CHUNKS} {LIMITED_ORDER} unmapped account noretry"
    status = _ask_in_group(guest, command)
    got = len(oracle.held()) * PAGE_SIZE
    oracle.control("release")
    reason = f"{got} bytes with a limit of {LIMIT}"
    checks.check("a limit holds", status != 0 and got <= LIMIT, reason)


@contextmanager
def _group(guest: Guest) -> Iterator[None]:
    """Have a memory cgroup GROUP meanwhile."""
    must(
        guest,
        f"mkdir -p {GROUP_ROOT} && mount -t cgroup2 none {GROUP_ROOT} && "
        f"echo +memory > {GROUP_ROOT}/cgroup.subtree_control && mkdir {GROUP}",
    )
    try:
        yield
    finally:
        if guest.death is None:
            must(guest, f"rmdir {GROUP}; umount {GROUP_ROOT}")


def _ask_in_group(guest: Guest, command: str) -> int:
    """Give the oracle module `command` from within the group; return the status."""
    script = f"echo $$ > {GROUP}/cgroup.procs && echo {command} > {FOLDER}/control"
    return guest.run(f"{ONE_CPU} sh -c {shlex.quote(script)}").status


def _hold_in_group(guest: Guest, command: str) -> None:
    status = _ask_in_group(guest, command)
    if status != 0:
        raise CommandFailed(f"{command!r} in a memory cgroup: status {status}")


def _charge(guest: Guest) -> int:
    """Return what the kernel has charged to the group for itself, in bytes."""
    return int(must(guest, f"sed -n 's/^kernel //p' {GROUP}/memory.stat"))


def _close(charged: int, expected: int) -> bool:
    return abs(charged - expected) <= SLACK
