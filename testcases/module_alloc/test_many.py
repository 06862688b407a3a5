# SPDX-License-Identifier: GPL-2.0-or-later
"""M5: many small modules at once."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.account import account, check_account
from harness.testing.alias import check_alias, check_given_back, check_no_alias, check_own
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import ONE_CPU, SETTLE, Oracle, Page, must, scatter
from harness.testing.splits import check_few, check_many, refills
from harness.testing.testcase import testcase

NAME = "patchbed_tiny"
FILE = f"/patchbed/modules/{NAME}0000.ko"
MANY = "/patchbed/bin/module_many"
CONFIG = ["MODULES", "MODULE_UNLOAD", "STRICT_MODULE_RWX", "DEBUG_FS", "VM_EVENT_COUNTERS"]
COUNT = 32
# Each module has two pages that loading makes read-only, and some more that unloading takes out of
# the direct map for a moment. All come from blocks that are whole, until the holes are used up.
HOLES = 192
LEAST_LOADING = COUNT
# 25 and more were seen on 6.1.
LEAST_UNLOADING = COUNT // 2


@testcase("M5-many", config=CONFIG)
def test_many(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
    feature: bool,
) -> None:
    """If this failed, many small modules would cost as many blocks of the direct map.

    With the blocks that are split already out of the way, 32 of them split about a block each on a
    kernel without a cache (or the test would prove nothing), and with one no more than its
    refills explain. All run, each has its text right, and nothing is left of them.
    """
    before, view = counters(), outside()
    first = account(before, view)
    loading = _splits(guest, f"{scatter(HOLES)} && ", f"{MANY} load {FILE} {COUNT}")
    loaded, view = counters(), outside()
    texts = _texts(guest, oracle)
    checks.check("all are loaded", len(texts) == COUNT, f"{len(texts)} of {COUNT}")
    alias = oracle.frames(page.pfn for page in texts)
    check_own(checks, "text", texts, view, writable=False, executable=True)
    if feature:
        check_no_alias(judge, view, "text", texts, alias)
    else:
        check_alias(judge, view, "text", alias, writable=False)

    unloading = _splits(guest, "", f"{MANY} unload {NAME}0000 {COUNT}")
    if feature:
        check_few(checks, "load", loading, refills(before, loaded))
        check_few(checks, "unload", unloading, 0)
    else:
        check_many(checks, "load", loading, LEAST_LOADING)
        # Where execmem has the place of module_alloc(), loading has split most of what unloading
        # takes out: 1 to 16 were seen on 6.12, however many the holes.
        if not _has_execmem(guest):
            check_many(checks, "unload", unloading, LEAST_UNLOADING)
    oracle.control("gather", "settle")
    after, view = counters(), outside()
    checks.check("none is left", not _texts(guest, oracle), "in /proc/modules")
    again = oracle.frames(page.pfn for page in texts)
    check_given_back(judge, checks, view, "given back", again, after.cache.get("Free"))
    check_account(checks, first, account(after, view))


def _splits(guest: Guest, prepare: str, command: str) -> int:
    """Return the splits that `command` costs; `prepare` comes before, in the same shell."""
    splits = "sed -n s/direct_map_level2_splits.//p /proc/vmstat"
    script = f"{prepare}{splits} && {command} && {SETTLE} && {splits}"
    before, after = map(int, must(guest, f"{ONE_CPU} sh -c '{script}'", timeout=120).split())
    return after - before


def _has_execmem(guest: Guest) -> bool:
    """Return whether the kernel is of 6.10 or later (commit 12af2b83d0b1)."""
    return guest.run("grep -q ' execmem_alloc$' /proc/kallsyms", timeout=60).status == 0


def _texts(guest: Guest, oracle: Oracle) -> list[Page]:
    """Return the first page of text of each of the modules that are loaded."""
    rows = [line.split() for line in must(guest, "cat /proc/modules").splitlines()]
    return oracle.addresses((int(row[5], 16), 1) for row in rows if row[0].startswith(NAME))
