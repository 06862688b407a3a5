# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ParseError
from harness.measure.page_tables import (
    KERNEL_IMAGE,
    Range,
    count_absent,
    count_leaves,
    direct_map_start,
    parse_page_tables,
    range_at,
)

DATA = Path(__file__).parent / "data"


def test_a_real_dump_before_and_after_600_secretmem_pages() -> None:
    before = parse_page_tables((DATA / "page-tables-before.txt").read_text())
    after = parse_page_tables((DATA / "page-tables-after.txt").read_text())
    assert count_leaves(before) == {"4K": 2528, "2M": 1019, "1G": 2}
    assert count_leaves(after) == {"4K": 3464, "2M": 1528, "1G": 1}
    assert count_absent(after)["4K"] - count_absent(before)["4K"] == 600
    assert count_leaves(after, KERNEL_IMAGE) == {"4K": 1536, "2M": 5, "1G": 0}
    assert direct_map_start(after) == 0xFFFF888000000000


def test_flags_of_a_range() -> None:
    ranges = parse_page_tables((DATA / "page-tables-after.txt").read_text())
    text = range_at(ranges, 0xFFFFFFFF81234567)
    assert text is not None
    assert (text.executable, text.writable, text.leaf, text.size_label) == (True, False, "2M", "6M")
    gap = range_at(ranges, 0xFFFF888100A74000)
    assert gap is not None
    assert not gap.present
    assert range_at(ranges, -1) is None


def test_the_last_range_ends_where_addresses_do() -> None:
    ranges = parse_page_tables((DATA / "page-tables-after.txt").read_text())
    assert ranges[-1].end == 1 << 64


def test_entries_that_were_skipped_are_no_error() -> None:
    assert parse_page_tables("... 131059 entries skipped ... \n... 1 entry skipped ...\n") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("---[ Low Kernel Mapping ]---\nrubbish\n", 2),
        ("0x2000-0x1000 4K RW pte\n", 1),
        ("0x1000-0x2000 4K RW pxe\n", 1),
    ],
)
def test_what_is_no_dump_is_refused(text: str, line: int) -> None:
    with pytest.raises(ParseError) as caught:
        parse_page_tables(text)
    assert caught.value.line == line


def test_no_direct_map() -> None:
    with pytest.raises(ParseError, match="Low Kernel Mapping"):
        direct_map_start([])


ranges_of_pages = st.builds(
    lambda start, pages, flags, level: Range(
        start << 12,
        (start + pages) << 12,
        f"{pages * 4}K",
        frozenset(flags),
        "Low Kernel Mapping",
        level,
    ),
    st.integers(0, 1 << 40),
    st.integers(1, 1 << 11),
    st.sets(st.sampled_from(["RW", "ro", "PSE", "GLB", "NX", "x", "USR", "PCD"])),
    st.sampled_from(["pgd", "p4d", "pud", "pmd", "pte"]),
)


@given(st.lists(ranges_of_pages))
def test_round_trip(ranges: list[Range]) -> None:
    lines = ["---[ Low Kernel Mapping ]---"]
    for each in ranges:
        flags = "".join(f" {flag:<4}" for flag in sorted(each.flags))
        lines.append(
            f"0x{each.start:016x}-0x{each.end:016x} {each.size_label:>12}{flags} {each.level}"
        )
    assert parse_page_tables("\n".join(lines) + "\n") == ranges


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_page_tables(text)
    except ParseError as error:
        assert error.line > 0
