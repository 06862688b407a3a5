# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ParseError
from harness.guest.framing import LONGEST, Frame, encode
from harness.measure.map_cells import Cell, direct_map_cells
from harness.measure.page_tables import DIRECT_MAP, LEAF_BYTES, Range, parse_page_tables
from harness.measure.workload import AFTER, BEFORE, END
from harness.outcomes import Outcome
from harness.results.direct_maps import read_boot_maps, read_maps
from harness.results.measurements import Boot, BootRecord, CompareFolder

DATA = Path(__file__).parent / "data"
BASE = 0xFFFF888000000000
LEVELS = {"4K": "pte", "2M": "pmd", "1G": "pud"}
PATH = "/sys/kernel/debug/page_tables/kernel"
WORKLOAD = "secretmem-idle"


def ranges(*parts: tuple[str, int, str]) -> list[Range]:
    """Return a direct map of (size of an entry, how many, flags), one after the other."""
    made: list[Range] = []
    start = BASE
    for size, count, flags in parts:
        end = start + count * LEAF_BYTES[size]
        words = frozenset(flags.split())
        made.append(Range(start, end, "", words, DIRECT_MAP, LEVELS[size]))
        start = end
    return made


def test_a_cell_is_what_its_entries_are() -> None:
    found = direct_map_cells(
        ranges(
            ("4K", 512, "RW NX"),
            ("4K", 1, "RW NX"),
            ("4K", 1, ""),
            ("4K", 510, "ro NX"),
            ("4K", 512, ""),
            ("2M", 1, "RW PSE NX"),
            ("2M", 2, "ro PSE NX"),
            ("2M", 506, ""),
            ("1G", 1, "RW PSE NX"),
            ("1G", 8, ""),
        )
    )
    assert found[:7] == [
        Cell("4K"),
        Cell("4K", holes=True, read_only=True),
        Cell(""),
        Cell("2M"),
        Cell("2M", read_only=True),
        Cell("2M", read_only=True),
        Cell(""),
    ]
    assert found[511:] == [Cell(""), *[Cell("1G")] * 512]


def test_a_range_may_be_longer_than_a_cell() -> None:
    """The kernel prints neighbours of the same flags as one, across 2M."""
    found = direct_map_cells(ranges(("4K", 700, "RW"), ("4K", 600, ""), ("4K", 236, "RW")))
    assert found == [Cell("4K"), Cell("4K", holes=True), Cell("4K", holes=True)]


def test_a_recorded_page_table() -> None:
    tables = parse_page_tables((DATA / "page-tables-after.txt").read_text())
    cells = direct_map_cells(tables)
    large = sum(
        one.entries
        for one in tables
        if one.section == DIRECT_MAP and one.present and one.leaf == "2M"
    )
    assert sum(cell.size == "2M" for cell in cells) == large > 0
    assert any(cell.size == "4K" for cell in cells)
    assert cells[-1].size


def test_no_direct_map_is_told() -> None:
    with pytest.raises(ParseError, match="no section"):
        direct_map_cells([])


FLAGS = st.sampled_from(["", "RW", "ro"])
LARGE = st.builds(lambda count, flags: [("2M", count, flags)], st.integers(1, 9), FLAGS)
SMALL = st.builds(
    lambda cut, a, b: [("4K", cut, a), ("4K", 1024 - cut, b)], st.integers(1, 1023), FLAGS, FLAGS
)


@settings(max_examples=50)
@given(st.lists(st.one_of(LARGE, SMALL), min_size=1, max_size=20))
def test_there_is_a_cell_for_all_that_is_mapped(parts: list[list[tuple[str, int, str]]]) -> None:
    made = ranges(*(one for part in parts for one in part))
    cells = direct_map_cells(made)
    for one in made:
        for address in (one.start, one.end - 1):
            place = (address - BASE) // LEAF_BYTES["2M"]
            if one.present:
                assert cells[place].size
            else:
                assert place >= len(cells) or cells[place].holes or not cells[place].size
    assert not cells or cells[-1].size


def results(pulls: dict[str, str]) -> bytes:
    """Return a batch's frames with a page table for each of `pulls`, cut as the guest cuts them."""
    parts: list[tuple[str, bytes]] = [("hello", b"1")]
    for name, table in pulls.items():
        data = table.encode()
        parts += [("begin", name.encode()), ("file", b"/proc/vmstat"), ("data", b"x 1\n")]
        parts += [("whole", b""), ("file", PATH.encode())]
        parts += [("data", data[at : at + 8192]) for at in range(0, len(data), 8192)]
        parts += [("whole", b""), ("exit", b"0")]
    assert all(len(payload) <= LONGEST for _, payload in parts)
    frames = [Frame(number, *part[:1], 1, part[1]) for number, part in enumerate(parts)]
    return b"".join(map(encode, frames))


def put(folder: CompareFolder, boot: Boot, *, damage: bool = False) -> BootRecord:
    path = folder.boot_folder(boot)
    path.mkdir(parents=True)
    before, after = ((DATA / f"page-tables-{name}.txt").read_text() for name in ("before", "after"))
    data = results({"scatter": "", BEFORE: before, AFTER: after, END: before})
    (path / "results.raw").write_bytes(data.replace(b"pmd", b"pxd") if damage else data)
    return BootRecord(boot, Outcome.PASS)


def test_maps_are_read_from_what_a_boot_left(tmp_path: Path) -> None:
    folder = CompareFolder(tmp_path)
    record = put(folder, Boot("debian-6.1", WORKLOAD, 1))
    [maps] = read_maps(folder, [record], WORKLOAD, ["debian-6.1"])
    tables = {
        name: direct_map_cells(parse_page_tables((DATA / f"page-tables-{name}.txt").read_text()))
        for name in ("before", "after")
    }
    assert (maps.before, maps.after) == (tables["before"], tables["after"])
    assert maps.before != maps.after


def test_what_is_damaged_or_missing_is_left_out(tmp_path: Path) -> None:
    folder = CompareFolder(tmp_path)
    broken = put(folder, Boot("debian-6.1", WORKLOAD, 1), damage=True)
    gone = BootRecord(Boot("v2", WORKLOAD, 1), Outcome.PASS)
    assert read_maps(folder, [broken, gone], WORKLOAD, ["debian-6.1", "v2"]) == []
    assert read_boot_maps(tmp_path / "nothing") == {}


def test_the_first_world_that_all_came_through_is_shown(tmp_path: Path) -> None:
    folder = CompareFolder(tmp_path)
    records = [
        BootRecord(Boot("debian-6.1", WORKLOAD, 1), Outcome.KERNEL_PANIC),
        put(folder, Boot("v2", WORKLOAD, 1)),
        put(folder, Boot("v2", WORKLOAD, 2)),
        put(folder, Boot("debian-6.1", WORKLOAD, 2)),
        BootRecord(Boot("debian-6.1", "idle-boot", 1), Outcome.PASS),
    ]
    found = read_maps(folder, records, WORKLOAD, ["debian-6.1", "v2"])
    assert [one.boot for one in found] == [
        Boot("debian-6.1", WORKLOAD, 2),
        Boot("v2", WORKLOAD, 2),
    ]
