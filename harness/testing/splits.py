# SPDX-License-Identifier: GPL-2.0-or-later
"""Counting splits of the direct map around what happens in a guest."""

from __future__ import annotations

from harness.measure.directmap import OutsideView
from harness.testing.checks import Checks
from harness.testing.counters import Counters

PMD_PAGES = 512
# Every refill of a cache may split one block; one more for what else the kernel does meanwhile.
_SLACK = 1


def level2_splits(counters: Counters) -> int:
    """Return how many blocks of 2M have been split into pages since the system runs."""
    return counters.vmstat["direct_map_level2_splits"]


def refills(before: Counters, after: Counters) -> int:
    """Return how many refills of 2M the cache had in between, the last perhaps a part of one."""
    pages = after.cache.get("Cached", 0) - before.cache.get("Cached", 0)
    return -(-pages // PMD_PAGES)


def splits_outside(before: OutsideView, after: OutsideView) -> int:
    """Return how many blocks of 2M of the direct map were split, as seen from outside.

    A split of 1G makes 512 blocks of 2M, a split of 2M takes one away. It says nothing where
    whole blocks left the direct map in between.
    """
    first, last = before.count_leaves(), after.count_leaves()
    made = PMD_PAGES * (first["1G"] - last["1G"])
    return made - (last["2M"] - first["2M"])


def check_few(checks: Checks, name: str, splits: int, refilled: int) -> None:
    """Record whether a cache that was refilled `refilled` times explains `splits`."""
    most = refilled + _SLACK
    reason = f"{splits} splits, and {refilled} refills explain {most} at most"
    checks.check(f"{name}: no more splits than refills", splits <= most, reason)


def check_many(checks: Checks, name: str, splits: int, least: int) -> None:
    """Record whether there were at least `least` splits: else nothing was put to the test."""
    reason = f"{splits} splits where {least} were to be expected at least"
    checks.check(f"{name}: splits happen without a cache", splits >= least, reason)
