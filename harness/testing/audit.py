# SPDX-License-Identifier: GPL-2.0-or-later
"""Auditing a cache of unmapped pages: what it says it has against what the direct map lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.measure.cache import parse_orders
from harness.measure.directmap import OutsideView
from harness.measure.page_tables import LEAF_BYTES
from harness.testing.counters import Counters
from harness.testing.oracle import PAGE_SIZE, Oracle, must

if TYPE_CHECKING:
    from harness.guest.guest import Guest
    from harness.testing.checks import Checks

# What a series may count in vmstat: all pages of the cache, and the free ones of them.
VMSTAT_PAGES = "nr_unmapped_pages"
VMSTAT_FREE = "nr_unmapped_free"
_PAGES = {label: size // PAGE_SIZE for label, size in LEAF_BYTES.items()}
# Each CPU keeps a part of vmstat to itself until somebody asks for all of it.
_FOLD_VMSTAT = "echo 1 > /proc/sys/vm/stat_refresh"
_SCAN = "/sys/kernel/debug/shrinker/*unmapped*/scan"
_CACHE = "/sys/kernel/debug/unmapped_alloc"
_HELD_AT_ONCE = 512
_MOST_HOLDS = 24
# Far more than a guest has.
EVERYTHING = 1 << 30


@dataclass(frozen=True)
class CacheState:
    """The state of a cache at one moment, all in pages.

    `free`, `cached` and `released` are the rows of debugfs `unmapped_alloc`. `dumped` is how much
    the direct map maps by the kernel's own dump, `outside` the same from outside. `vmstat_pages`
    and `vmstat_free` are None where vmstat does not count the cache. `free_memory` is MemFree.
    """

    free: int
    cached: int
    released: int
    dumped: int
    outside: int
    vmstat_pages: int | None
    vmstat_free: int | None
    free_memory: int

    @property
    def belonging(self) -> int:
        """What belongs to the cache, free or in use."""
        return self.cached - self.released

    @property
    def used(self) -> int:
        """What is in use, if the account is right."""
        return self.belonging - self.free


def mapped_pages(leaves: Mapping[str, int]) -> int:
    """Return how many pages `leaves` map: numbers of mappings by size ("4K", "2M", "1G")."""
    return sum(count * _PAGES[label] for label, count in leaves.items())


def make_state(counters: Counters, view: OutsideView) -> CacheState:
    """Return the state that `counters` and `view`, taken at one moment, tell."""
    return CacheState(
        free=counters.cache["Free"],
        cached=counters.cache["Cached"],
        released=counters.cache["Released"],
        dumped=mapped_pages(counters.leaves),
        outside=mapped_pages(view.count_leaves()),
        vmstat_pages=counters.vmstat.get(VMSTAT_PAGES),
        vmstat_free=counters.vmstat.get(VMSTAT_FREE),
        free_memory=counters.vmstat["nr_free_pages"],
    )


def faults(first: CacheState, now: CacheState, used: int) -> dict[str, str]:
    """Return what is wrong in `now`, by the name of the check: "" where it is right.

    `used` is how many pages more than at `first` are in use.
    """
    wanted = first.used + used
    left = now.belonging - first.belonging
    found = {
        "Free + used = Cached - Released": _differ(
            f"Free {now.free} + used {wanted}", now.free + wanted, now.belonging
        ),
        "as much is missing from page_tables": _differ("missing", first.dumped - now.dumped, left),
        "as much is missing from outside": _differ("missing", first.outside - now.outside, left),
    }
    if now.vmstat_pages is not None:
        found[f"{VMSTAT_PAGES} agrees"] = _differ(VMSTAT_PAGES, now.vmstat_pages, now.belonging)
    if now.vmstat_free is not None:
        found[f"{VMSTAT_FREE} agrees"] = _differ(VMSTAT_FREE, now.vmstat_free, now.free)
    return found


def _differ(what: str, got: int, wanted: int) -> str:
    return "" if got == wanted else f"{what}: {got} pages where {wanted} are due"


class Auditor:
    """Checks a cache's account step by step against what it was when this was made.

    From then on nobody but the testcase takes unmapped pages or gives them back.
    """

    def __init__(
        self,
        guest: Guest,
        checks: Checks,
        counters: Callable[[], Counters],
        outside: Callable[[], OutsideView],
    ) -> None:
        self._guest = guest
        self._checks = checks
        self._counters = counters
        self._outside = outside
        self.first = self.read()

    def read(self) -> CacheState:
        """Return the state of now."""
        must(self._guest, _FOLD_VMSTAT)
        return make_state(self._counters(), self._outside())

    def check(self, step: str, used: int, *, most: int | None = None) -> CacheState:
        """Record whether the account is right with `used` pages more in use than at first.

        With `most`, no more than so many pages may be free in the cache.
        """
        now = self.read()
        found = faults(self.first, now, used)
        if any(found.values()):
            # Where memory is short the kernel itself gives back what is free, perhaps between two
            # of the readings. What is wrong stays wrong.
            now = self.read()
            found = faults(self.first, now, used)
        for name, fault in found.items():
            self._checks.check(f"{step}: account: {name}", not fault, fault)
        if most is not None:
            name = f"no more than {most} pages are free" if most else "nothing is free"
            self._checks.check(f"{step}: account: {name}", now.free <= most, f"{now.free} pages")
        return now


def shrink(guest: Guest, pages: int) -> None:
    """Have the cache's shrinker give back `pages` or, by one block, more: as many as are free.

    Raises:
        CommandFailed: there is no such shrinker, or it can't be asked.
    """
    must(guest, f"for file in {_SCAN}; do echo 0 0 {pages} > $file || exit 1; done")


def hold_pieces(guest: Guest, oracle: Oracle, below: int) -> dict[int, int]:
    """Hold single unmapped pages until a refill was of an order smaller than `below`.

    Return the number of refills by order. On fragmented memory the first ones may still be whole
    blocks, which compaction made.

    Raises:
        CommandFailed: the kernel does not give the pages.
    """
    before = _cached_by_order(guest)
    refills: dict[int, int] = {}
    for _ in range(_MOST_HOLDS):
        oracle.hold(_HELD_AT_ONCE, 0, "unmapped")
        after = _cached_by_order(guest)
        refills = {of: now - before[of] for of, now in enumerate(after) if now != before[of]}
        if min(refills, default=below) < below:
            break
    return refills


def _cached_by_order(guest: Guest) -> list[int]:
    return parse_orders(must(guest, f"cat {_CACHE}"))["Cached"]
