# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from harness.measure.directmap import MIB_2, Leaf, OutsideView
from harness.measure.page_tables import parse_page_tables
from harness.measure.presence import Presence, Source, disagreement, seen_in_dump, seen_outside

BASE = 0xFFFF888000000000
DUMP = parse_page_tables(
    "---[ Low Kernel Mapping ]---\n"
    "0xffff888000000000-0xffff888000200000           2M     RW         PSE     GLB NX pmd\n"
    "0xffff888000200000-0xffff888000201000           4K                               pte\n"
)
VIEW = OutsideView([Leaf(BASE, 0, MIB_2, True, False, False)])


def test_inside_and_outside_agree() -> None:
    for pfn, present in ((0x1FF, True), (0x200, False)):
        seen = [seen_outside(VIEW, pfn), seen_in_dump(DUMP, pfn)]
        assert [presence.present for presence in seen] == [present, present]
        assert disagreement(seen) == ""


def test_a_kernel_that_lies_is_told() -> None:
    seen = [seen_outside(VIEW, 5), Presence(Source.WALK, 5, False)]
    assert disagreement(seen) == (
        "frame 0x5: QEMU's info tlb: present, writable, not executable; lookup_address: absent"
    )


def test_permissions_count_where_both_tell_them() -> None:
    outside = seen_outside(VIEW, 5)
    assert disagreement([outside, Presence(Source.READ, 5, True)]) == ""
    assert "read-only" in disagreement([outside, Presence(Source.WALK, 5, True, writable=False)])


def test_one_source_is_no_agreement() -> None:
    assert "one source only" in disagreement([seen_outside(VIEW, 5), seen_outside(VIEW, 5)])


def test_different_frames_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="one frame"):
        disagreement([seen_outside(VIEW, 5), seen_outside(VIEW, 6)])
