# SPDX-License-Identifier: GPL-2.0-or-later
"""V: the kernel's counters of the direct map say the same as its page tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.measure.meminfo import DIRECT_MAP as SIZES
from harness.measure.meminfo import parse_meminfo
from harness.measure.page_tables import (
    DIRECT_MAP,
    KERNEL_IMAGE,
    count_absent,
    count_leaves,
    parse_page_tables,
)
from harness.measure.pull import PULL_COMMAND, split_pull
from harness.measure.vmstat import deltas, parse_vmstat
from harness.testing.checks import Checks
from harness.testing.oracle import Oracle, scatter
from harness.testing.secretmem import secret_pages
from harness.testing.testcase import testcase

KB_4, KB_2M, KB_1G = 4, 2048, 1 << 20
HOLES = 128
PAGES = 32
# Events, which are only ever counted up (mm/vmstat.c).
EVENTS = (
    "pgalloc_normal",
    "pgfree",
    "pgfault",
    "direct_map_level2_splits",
    "direct_map_level3_splits",
)


@dataclass(frozen=True)
class Sample:
    """The counters of one moment: events, sizes in kB, the page table's slots by size."""

    vmstat: dict[str, int]
    meminfo: dict[str, int]
    slots: dict[str, int]
    leaves: dict[str, int]


@testcase("V-consistency", config=["VM_EVENT_COUNTERS", "PTDUMP_DEBUGFS", "SECRETMEM", "DEBUG_FS"])
def test_consistency(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    outside: Callable[[], OutsideView],
    feature: bool,
) -> None:
    """If this failed, the numbers by which variants are compared would not be true.

    Over a few splits: events never fall, DirectMap4k/2M/1G follow the counted splits to the
    kilobyte, and both follow what the page table says, inside and out.
    """
    before = _sample(guest)
    with secret_pages(guest, PAGES, first=scatter(HOLES)):
        during = _sample(guest)
        _check_outside(checks, outside(), during)
    after = _sample(guest)
    oracle.control("gather")

    for name, first, last in (("holding", before, during), ("closing", during, after)):
        events = deltas(first.vmstat, last.vmstat)
        fallen = [event for event in EVENTS if events.get(event, 0) < 0]
        checks.check(f"{name}: events never fall", not fallen, ", ".join(fallen))
        _check_sizes(checks, name, events, deltas(first.meminfo, last.meminfo))
        _check_slots(
            checks, name, deltas(first.slots, last.slots), deltas(first.meminfo, last.meminfo)
        )
    if not feature:
        splits = deltas(before.vmstat, during.vmstat)["direct_map_level2_splits"]
        checks.check("something was split", splits > 0, "or nothing was put to the test")


def _sample(guest: Guest) -> Sample:
    parts = split_pull(guest.run(PULL_COMMAND).stdout)
    text = {name: part.decode() for name, part in parts.items()}
    ranges = parse_page_tables(text["page_tables"])
    leaves = count_leaves(ranges)
    # A 4K slot whose page is absent came from a split all the same, and split_page_count() in
    # arch/x86/mm/pat/set_memory.c counts splits of the kernel image's mapping as well.
    image, image_absent = count_leaves(ranges, KERNEL_IMAGE), count_absent(ranges, KERNEL_IMAGE)
    slots = {size: leaves[size] + image[size] for size in leaves}
    slots["4K"] += count_absent(ranges, DIRECT_MAP)["4K"] + image_absent["4K"]
    return Sample(parse_vmstat(text["vmstat"]), parse_meminfo(text["meminfo"]), slots, leaves)


def _check_sizes(
    checks: Checks, name: str, events: Mapping[str, int], sizes: Mapping[str, int]
) -> None:
    level2 = events["direct_map_level2_splits"] - events.get("direct_map_level2_collapses", 0)
    level3 = events["direct_map_level3_splits"] - events.get("direct_map_level3_collapses", 0)
    expected = (level2 * KB_2M, level3 * KB_1G - level2 * KB_2M, -level3 * KB_1G)
    for size, change in zip(SIZES, expected, strict=True):
        reason = f"{size} changed by {sizes.get(size, 0)} kB, the splits explain {change} kB"
        checks.check(f"{name}: {size} follows the splits", sizes.get(size, 0) == change, reason)


def _check_slots(
    checks: Checks, name: str, slots: Mapping[str, int], sizes: Mapping[str, int]
) -> None:
    for (slot, kilobytes), size in zip(
        {"4K": KB_4, "2M": KB_2M, "1G": KB_1G}.items(), SIZES, strict=True
    ):
        change = slots[slot] * kilobytes
        reason = f"{size} changed by {sizes.get(size, 0)} kB, page_tables by {change} kB"
        checks.check(f"{name}: {size} follows page_tables", sizes.get(size, 0) == change, reason)


def _check_outside(checks: Checks, view: OutsideView, sample: Sample) -> None:
    seen = view.count_leaves()
    reason = f"page_tables counts {sample.leaves}, the outside {seen}"
    checks.check("page_tables and the outside count the same", seen == sample.leaves, reason)
