# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ParseError
from harness.measure.nodes import Span, node_of, parse_mtree, parse_zoneinfo, zone_of

# /proc/zoneinfo of 6.1 on the machine numa-2, shortened: DMA of node 1 has no memory.
ZONEINFO = """\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 0
      nr_unmapped_pages 512
  pages free     3840
        boost    0
        min      63
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 1955, 1955, 1955)
  pagesets
    cpu: 0
              count: 0
  node_unreclaimable:  0
  start_pfn:           1
Node 0, zone    DMA32
  pages free     491520
        spanned  520192
        present  520160
  start_pfn:           4096
Node 1, zone      DMA
  pages free     0
        spanned  0
        present  0
Node 1, zone   Normal
  pages free     500000
        spanned  524288
        present  524288
  start_pfn:           1048576
"""
# QEMU 7.2's info mtree -f, shortened.
MTREE = """\
FlatView #0
 AS "cpu-smm-0", root: memory
 Root memory region: memory
  0000000000000000-00000000000bffff (prio 0, ram): memory0
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom
  0000000000100000-000000007fffffff (prio 0, ram): memory0 @0000000000100000
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
  0000000100000000-000000017fffffff (prio 0, ram): memory1

FlatView #3
 AS "memory", root: system
 Root memory region: system
  0000000000000000-00000000000bffff (prio 0, ram): memory0
  0000000000100000-000000007fffffff (prio 0, ram): memory0 @0000000000100000
  00000000b0000000-00000000bfffffff (prio 0, i/o): pcie-mmcfg-mmio
  0000000100000000-000000017fffffff (prio 0, ram): memory1
"""


def test_zones_with_memory_are_found() -> None:
    assert parse_zoneinfo(ZONEINFO) == [
        Span(0, "DMA", 1, 4095),
        Span(0, "DMA32", 4096, 520192),
        Span(1, "Normal", 1 << 20, 524288),
    ]


def test_memory_is_found_once_though_each_cpu_sees_it() -> None:
    assert parse_mtree(MTREE) == [
        Span(0, "", 0, 0xC0),
        Span(0, "", 0x100, 0x7FF00),
        Span(1, "", 1 << 20, 1 << 19),
    ]
    assert parse_mtree(MTREE.replace("\n", "\r\n")) == parse_mtree(MTREE)


def test_both_agree_on_a_frame() -> None:
    for pfn, node, zone in (
        (0x200, 0, "DMA"),
        (0x1000, 0, "DMA32"),
        (0x100000, 1, "Normal"),
        (0x17FFFF, 1, "Normal"),
    ):
        assert node_of(parse_zoneinfo(ZONEINFO), pfn) == node
        assert node_of(parse_mtree(MTREE), pfn) == node
        assert zone_of(parse_zoneinfo(ZONEINFO), pfn) == zone


def test_what_is_no_memory_is_of_no_node() -> None:
    assert node_of(parse_mtree(MTREE), 0xC5) is None
    assert node_of(parse_mtree(MTREE), 0x180000) is None
    assert zone_of(parse_zoneinfo(ZONEINFO), 0) == ""


def test_a_machine_with_one_node_is_refused() -> None:
    with pytest.raises(ParseError, match="no memory of a node"):
        parse_mtree(MTREE.replace("memory0", "pc.ram").replace("memory1", "pc.ram"))


def test_what_is_no_zoneinfo_is_refused() -> None:
    with pytest.raises(ParseError, match="no zone has memory"):
        parse_zoneinfo("nothing\n")
    with pytest.raises(ParseError, match=r"line 1.*a field of no zone"):
        parse_zoneinfo("        spanned  4095\n" + ZONEINFO)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 1 << 30), st.integers(1, 1 << 20))))
def test_zoneinfo_as_it_was_written(zones: list[tuple[int, int, int]]) -> None:
    text = "".join(
        f"Node {node}, zone   Normal\n        spanned  {pages}\n  start_pfn:           {first}\n"
        for node, first, pages in zones
    )
    if zones:
        spans = parse_zoneinfo(text)
        assert [(span.node, span.first, span.pages) for span in spans] == zones


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse in (parse_zoneinfo, parse_mtree):
        with contextlib.suppress(ParseError):
            assert parse(text)
