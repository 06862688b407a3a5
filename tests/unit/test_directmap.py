# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ParseError
from harness.measure.directmap import GIB_1, KIB_4, MIB_2, Leaf, OutsideView, parse_info_tlb
from harness.measure.page_tables import count_leaves, parse_page_tables

DATA = Path(__file__).parent / "data"
FIXED_BASE = 0xFFFF_8880_0000_0000
RANDOM_BASE = 0xFF12_40C7_4000_0000


def never(address: int) -> int | None:
    raise AssertionError(f"nothing was ambiguous, but {address:#x} was asked for")


def sample(name: str, base: int) -> tuple[list[Leaf], list[int]]:
    asked: list[int] = []

    def translate(address: int) -> int | None:
        asked.append(address)
        return address - base if address >= base else None

    return parse_info_tlb((DATA / name).read_text(), translate), asked


def line(leaf: Leaf) -> str:
    flags = [
        "-" if leaf.executable else "X",
        "G",
        "-" if leaf.size == KIB_4 else "P",
        "DA--",
        "U" if leaf.user else "-",
        "W" if leaf.writable else "-",
    ]
    return f"{leaf.virtual:016x}: {leaf.physical:016x} {''.join(flags)}\r\n"


def large(virtual: int, physical: int, size: int) -> Leaf:
    return Leaf(virtual, physical, size, True, False, False)


def test_sizes_of_a_real_guest() -> None:
    leaves, asked = sample("info-tlb-4-levels.txt", FIXED_BASE)
    sizes = {leaf.virtual - FIXED_BASE: leaf.size for leaf in leaves}
    assert sizes[0x140000000] == GIB_1
    # Aligned to 1G as well, but split: the next entry is 2M further on.
    assert sizes[0x40000000] == MIB_2
    assert sizes[0x100000000] == MIB_2
    assert sizes[0x90000] == KIB_4
    assert asked == [FIXED_BASE + 0x140000000 + MIB_2]


@pytest.mark.parametrize(
    ("name", "base", "absent", "present"),
    [
        ("info-tlb-4-levels.txt", FIXED_BASE, [0x100A74, 0x100A14, 0x100A7B], [0x100A11, 0x90]),
        (
            "info-tlb-5-levels-randomised.txt",
            RANDOM_BASE,
            [0x100B0B, 0x100AB1, 0x100B19],
            [0x90, 0x200],
        ),
    ],
)
def test_direct_map_of_a_real_guest(
    name: str, base: int, absent: list[int], present: list[int]
) -> None:
    """The absent frames are a process's secretmem pages, by its own /proc/self/pagemap."""
    view = OutsideView(sample(name, base)[0])
    assert view.direct_map_base == base
    for pfn in absent:
        assert not view.in_direct_map(pfn)
        assert view.mappings_of(pfn << 12) == []
    for pfn in present:
        assert view.in_direct_map(pfn)


def test_kernel_text_is_mapped_twice_and_executable_once() -> None:
    view = OutsideView(sample("info-tlb-4-levels.txt", FIXED_BASE)[0])
    text = 0x0100_0000
    alias = view.leaf_at(0xFFFF_FFFF_8100_0000)
    assert alias is not None
    assert (alias.physical, alias.executable, alias.writable) == (text, True, False)
    assert alias in view.mappings_of(text + 0x1234)


def test_view_counts_what_the_kernel_counts() -> None:
    """From outside and from inside, over the part of the map that both samples have whole."""
    dump = parse_page_tables((DATA / "page-tables-after.txt").read_text())
    whole = [each for each in dump if each.start >= FIXED_BASE + 0x13FC00000]
    view = OutsideView(
        leaf
        for leaf in sample("info-tlb-4-levels.txt", FIXED_BASE)[0]
        if leaf.virtual >= FIXED_BASE + 0x140000000
    )
    assert count_leaves(whole) == view.count_leaves() == {"4K": 0, "2M": 0, "1G": 1}


def test_user_half_is_no_mapping_of_the_kernel() -> None:
    leaves = [large(0x400000, 0x200000, MIB_2), large(FIXED_BASE, 0, MIB_2)]
    view = OutsideView(leaves)
    assert view.mappings_of(0x200000) == []
    assert view.mappings_of(0x1FFFFF) == [leaves[1]]


def test_ambiguous_entry_is_asked_for() -> None:
    text = line(large(FIXED_BASE, 0, MIB_2)) + line(large(FIXED_BASE + 2 * GIB_1, GIB_1, MIB_2))
    asked: list[int] = []

    def translate(address: int) -> int | None:
        asked.append(address)
        return None if address < FIXED_BASE + GIB_1 else address - FIXED_BASE - GIB_1

    assert [leaf.size for leaf in parse_info_tlb(text, translate)] == [MIB_2, GIB_1]
    assert asked == [FIXED_BASE + MIB_2, FIXED_BASE + 2 * GIB_1 + MIB_2]


def test_another_mapping_behind_a_2m_leaf_does_not_make_it_1g() -> None:
    text = line(large(FIXED_BASE, 0, MIB_2))
    [leaf] = parse_info_tlb(text, lambda address: 0x7000_0000)
    assert leaf.size == MIB_2


def test_alias_outside_the_direct_map_is_found() -> None:
    alias = Leaf(0xFFFF_C900_0000_1000, 0x5000, KIB_4, True, False, False)
    view = OutsideView([large(FIXED_BASE + MIB_2, MIB_2, MIB_2), alias])
    assert not view.in_direct_map(5)
    assert view.mappings_of(0x5FFF) == [alias]


@pytest.mark.parametrize("virtual", [0xFFFF_FFFF_8100_0000, 0xFFFF_EA00_0020_0000])
def test_neither_the_image_nor_the_memory_map_is_the_direct_map(virtual: int) -> None:
    """Both are larger here, and each is at one distance from its frames."""
    others = [
        large(virtual + index * MIB_2, 0x0100_0000 + index * MIB_2, MIB_2) for index in range(4)
    ]
    view = OutsideView([large(FIXED_BASE, 0, MIB_2), *others])
    assert view.direct_map_base == FIXED_BASE


def test_no_direct_map_is_an_error() -> None:
    with pytest.raises(ParseError, match="no direct map"):
        _ = OutsideView([large(0x400000, 0x200000, MIB_2)]).direct_map_base


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("PG disabled\n", "line 1: not an entry"),
        (line(large(FIXED_BASE, 0, MIB_2)) + "oops\n", "line 2: not an entry"),
        (line(large(FIXED_BASE, 0x1000, MIB_2)), "not aligned"),
        (
            line(large(FIXED_BASE + MIB_2, MIB_2, MIB_2)) + line(large(FIXED_BASE, MIB_2, MIB_2)),
            "comes after",
        ),
    ],
)
def test_what_is_not_qemus_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ParseError, match=problem):
        parse_info_tlb(text, never)


def test_a_whole_guest_is_read() -> None:
    text = "".join(
        line(Leaf(FIXED_BASE + index * KIB_4, index * KIB_4, KIB_4, True, False, False))
        for index in range(10_000)
    )
    assert len(text) > 350_000
    view = OutsideView(parse_info_tlb(text, never))
    assert view.in_direct_map(9_999)
    assert not view.in_direct_map(10_000)


@st.composite
def page_tables(draw: st.DrawFn) -> list[Leaf]:
    """Leaves in order, with gaps, whose sizes agree with what `translate` will be told."""
    leaves: list[Leaf] = []
    virtual = FIXED_BASE
    for size in draw(st.lists(st.sampled_from([KIB_4, MIB_2, GIB_1]), max_size=12)):
        virtual = -(-virtual // size) * size + draw(st.integers(0, 3)) * size
        physical = draw(st.integers(0, 1 << 12)) * size
        flags = [draw(st.booleans()) for _ in range(3)]
        leaves.append(Leaf(virtual, physical, size, *flags))
        virtual += size
    return leaves


@given(page_tables())
def test_round_trip(leaves: list[Leaf]) -> None:
    view = OutsideView(leaves)

    def translate(address: int) -> int | None:
        leaf = view.leaf_at(address)
        return None if leaf is None else leaf.physical + address - leaf.virtual

    assert parse_info_tlb("".join(map(line, leaves)), translate) == leaves


@given(page_tables(), st.integers(0, 1 << 43))
def test_mappings_are_all_and_only_those_that_hold_the_address(
    leaves: list[Leaf], physical: int
) -> None:
    expected = [leaf for leaf in leaves if 0 <= physical - leaf.physical < leaf.size]
    found = OutsideView(leaves).mappings_of(physical)
    assert sorted(found, key=lambda leaf: leaf.virtual) == expected


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.from_regex(r"[0-9a-f]{16}: [0-9a-f]{16} [X-]G[P-]DA--[U-][W-]", fullmatch=True),
        )
    )
)
def test_any_text_is_parsed_or_refused(lines: list[str]) -> None:
    try:
        leaves = parse_info_tlb("\n".join(lines), lambda address: None)
    except ParseError:
        return
    assert all(leaf.size in (KIB_4, MIB_2) for leaf in leaves)
