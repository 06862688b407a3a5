# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's page table as it sees itself: debugfs `page_tables/kernel`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import ParseError

# Names of sections (arch/x86/mm/dump_pagetables.c).
DIRECT_MAP = "Low Kernel Mapping"
KERNEL_IMAGE = "High Kernel Mapping"
MODULES = "Modules"

LEAF_BYTES = {"4K": 1 << 12, "2M": 1 << 21, "1G": 1 << 30}
_LEAF_OF_LEVEL = {"pte": "4K", "pmd": "2M", "pud": "1G"}
_WHAT = "debugfs page_tables/kernel"
_SECTION = re.compile(r"^---\[ (.+) \]---$")
_SKIPPED = re.compile(r"^\.\.\. [0-9]+ entr(?:y|ies) skipped \.\.\. *$")
_RANGE = re.compile(
    r"^0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16}) +([0-9]+[KMGTPE])((?: +[A-Za-z]+)*)"
    r" +(pgd|p4d|pud|pmd|pte) *$",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses from `start` up to `end` whose entries, at one `level`, have the same flags.

    `size_label` is the range's size as printed; `flags` is empty where nothing is mapped.
    """

    start: int
    end: int
    size_label: str
    flags: frozenset[str]
    section: str
    level: str

    @property
    def present(self) -> bool:
        return bool(self.flags)

    @property
    def writable(self) -> bool:
        return "RW" in self.flags

    @property
    def executable(self) -> bool:
        return "x" in self.flags

    @property
    def leaf(self) -> str:
        """The size of one entry: "4K", "2M", "1G"; "" where entries are larger."""
        return _LEAF_OF_LEVEL.get(self.level, "")

    @property
    def entries(self) -> int:
        """How many entries the range has; 0 where entries are larger than 1G."""
        return (self.end - self.start) // LEAF_BYTES[self.leaf] if self.leaf else 0


def parse_page_tables(text: str) -> list[Range]:
    """Return the ranges of a `page_tables/kernel`, in the order of their addresses.

    Raises:
        ParseError: a line is no range and no heading, or a range is empty.
    """
    ranges: list[Range] = []
    section = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if heading := _SECTION.match(line):
            section = heading[1]
        elif found := _RANGE.match(line):
            # The last range ends where 64 bits do, and the kernel prints that as 0.
            start, end = int(found[1], 16), int(found[2], 16) or 1 << 64
            if start >= end:
                raise ParseError(_WHAT, number, f"an empty range: {line[:80]!r}")
            flags = frozenset(found[4].split())
            ranges.append(Range(start, end, found[3], flags, section, found[5]))
        elif line.strip() and not _SKIPPED.match(line):
            raise ParseError(_WHAT, number, f"not a range: {line[:80]!r}")
    return ranges


def count_leaves(ranges: Iterable[Range], section: str = DIRECT_MAP) -> dict[str, int]:
    """Return how many entries map something in `section`, by size ("4K", "2M", "1G")."""
    return _count(ranges, section, present=True)


def count_absent(ranges: Iterable[Range], section: str = DIRECT_MAP) -> dict[str, int]:
    """Return how many entries of `section` map nothing, by size.

    Absent 4K entries were taken out of a split mapping, or lie at the edge of memory. Absent 2M
    and 1G entries also stand for what has never been memory.
    """
    return _count(ranges, section, present=False)


def _count(ranges: Iterable[Range], section: str, *, present: bool) -> dict[str, int]:
    counts = dict.fromkeys(LEAF_BYTES, 0)
    for found in ranges:
        if found.section == section and found.leaf and found.present is present:
            counts[found.leaf] += found.entries
    return counts


def direct_map_start(ranges: Sequence[Range]) -> int:
    """Return the address of physical address 0 in the direct map.

    Raises:
        ParseError: there is no section "Low Kernel Mapping".
    """
    for found in ranges:
        if found.section == DIRECT_MAP:
            return found.start
    raise ParseError(_WHAT, 0, f"no section {DIRECT_MAP!r}")


def range_at(ranges: Iterable[Range], address: int) -> Range | None:
    """Return the range that holds `address`, if one does."""
    for found in ranges:
        if found.start <= address < found.end:
            return found
    return None
