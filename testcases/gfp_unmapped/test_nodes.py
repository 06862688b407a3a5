# SPDX-License-Identifier: GPL-2.0-or-later
"""U7: unmapped pages are of the node and of the zone that were asked for."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.guest.guest import Guest
from harness.measure.nodes import Span, node_of, parse_mtree, parse_zoneinfo, zone_of
from harness.testing.cgroup import Cgroup
from harness.testing.checks import PROGRAMS, Checks
from harness.testing.judging import Judge, some
from harness.testing.oracle import FOLDER, Oracle, must
from harness.testing.testcase import testcase

PAGES = 64
# So many are free in the cache, of the node or zone that is not asked for.
OTHERS = 1024
FIRST_FRAME_ABOVE_4G = 1 << 20
CPU_OF_NODE_1 = "taskset 2"


@testcase("U7-zone", needs_feature=True, config=["DEBUG_FS", "ZONE_DMA32"])
def test_zone(guest: Guest, checks: Checks, oracle: Oracle, judge: Judge) -> None:
    """If this failed, a device that reaches 4 GiB would get unmapped memory beyond that.

    GFP_DMA32 gives pages below 4G, with nothing but pages above it in the cache.
    """
    oracle.hold(OTHERS, 0, "unmapped")
    others = [page.pfn for page in oracle.held()]
    oracle.control("release")
    if max(others) < FIRST_FRAME_ABOVE_4G:
        checks.skip("the cache has pages above 4G", "the machine has no memory there to speak of")

    oracle.hold(PAGES, 0, "unmapped", "dma32")
    pages = oracle.held()
    high = [page.pfn for page in pages if page.pfn >= FIRST_FRAME_ABOVE_4G]
    checks.check("GFP_DMA32: below 4G", bool(pages) and not high, some(high))
    spans = parse_zoneinfo(must(guest, "cat /proc/zoneinfo"))
    wrong = [page.pfn for page in pages if zone_of(spans, page.pfn) not in ("DMA", "DMA32")]
    checks.check("GFP_DMA32: of that zone, by zoneinfo", bool(pages) and not wrong, some(wrong))
    judge.absent("GFP_DMA32", pages)


@testcase(
    "U7-node",
    needs_feature=True,
    config=["DEBUG_FS", "NUMA"],
    profile="numa",
    machine="numa-2",
    clean=True,
)
def test_node(guest: Guest, checks: Checks, oracle: Oracle, judge: Judge) -> None:
    """If this failed, who asks for unmapped memory of a node would get another node's.

    With pages of the other node free in the cache, and none of that one: __GFP_THISNODE, a task
    that is bound to a node, and one that merely runs there.
    """
    placed = _Placed(guest, checks, oracle, judge)
    oracle.hold(OTHERS, 0, "unmapped", "node=0")
    placed.check("node 0 asked for", 0, count=OTHERS)
    oracle.hold(PAGES, 0, "unmapped", "node=1")
    placed.check("node 1 asked for", 1)
    oracle.hold(PAGES, 0, "unmapped", "node=0")
    placed.check("node 0 asked for, after pages of node 1", 0)

    hold = shlex.quote(f"echo hold {PAGES} 0 unmapped > {FOLDER}/control")
    must(guest, f"taskset 1 {PROGRAMS}/bind_node 1 sh -c {hold}")
    placed.check("bound to node 1", 1)
    must(guest, f"{CPU_OF_NODE_1} sh -c {hold}")
    placed.check("running on node 1", 1)


@testcase(
    "U7-full-node",
    needs_feature=True,
    config=["KUNIT", "NUMA"],
    profile="numa",
    machine="numa-2",
)
def test_full_node(checks: Checks) -> None:
    """If this failed, each page for a node that is full would split a mapping of another node.

    The memory of node 0 is all taken. What it asks for comes from other nodes, many pages from
    one chunk.
    """
    checks.module("patchbed_nodes_kunit", timeout=120)


@testcase(
    "U7-cpuset",
    needs_feature=True,
    config=["CPUSETS", "DEBUG_FS", "NUMA", "ZONE_DMA32"],
    profile="numa",
    machine="numa-2",
    clean=True,
)
def test_cpuset(guest: Guest, checks: Checks, oracle: Oracle, judge: Judge) -> None:
    """If this failed, a cpuset would not confine unmapped memory, or refuse what others get.

    A task whose cpuset has node 1 alone gets pages of node 1. What the node does not have, the
    kernel's own requests may take elsewhere: pages of the lowest 4 GiB, or of node 0 by name.
    Ordinary requests show that.
    """
    placed = _Placed(guest, checks, oracle, judge)
    oracle.hold(OTHERS, 0, "unmapped", "node=0")
    oracle.control("release")
    with Cgroup(guest, "cpuset") as group:
        group.write("cpuset.mems", "1")
        group.ask(f"hold {PAGES} 0")
        placed.check("an ordinary page", 1, mapped=True)
        group.ask(f"hold {PAGES} 0 unmapped")
        placed.check("an unmapped page", 1)
        for elsewhere in ("dma32", "node=0"):
            group.ask(f"hold {PAGES} 0 {elsewhere}")
            placed.check(f"{elsewhere}: an ordinary page", 0, mapped=True)
            group.ask(f"hold {PAGES} 0 unmapped {elsewhere}")
            placed.check(f"{elsewhere}: an unmapped page", 0)


class _Placed:
    """Judges which node the held pages are of, by the kernel and by QEMU, and lets them go."""

    def __init__(self, guest: Guest, checks: Checks, oracle: Oracle, judge: Judge) -> None:
        self._checks, self._oracle, self._judge = checks, oracle, judge
        self._ways: dict[str, Sequence[Span]] = {
            "by zoneinfo": parse_zoneinfo(must(guest, "cat /proc/zoneinfo")),
            "from outside": parse_mtree(guest.hmp("info mtree -f")),
        }

    def check(self, name: str, node: int, *, count: int = PAGES, mapped: bool = False) -> None:
        pages = self._oracle.held()
        got = f"{len(pages)} of {count} pages"
        self._checks.check(f"{name}: all are there", len(pages) == count, got)
        for way, spans in self._ways.items():
            wrong = [page.pfn for page in pages if node_of(spans, page.pfn) != node]
            self._checks.check(f"{name}: of it, {way}", not wrong, some(wrong))
        if not mapped:
            self._judge.absent(name, pages)
        self._oracle.control("release")
