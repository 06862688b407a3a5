# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's page table as QEMU sees it: which frames the kernel maps, where and how."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from harness.errors import ParseError

PAGE_SHIFT = 12
KIB_4 = 1 << PAGE_SHIFT
MIB_2 = 1 << 21
GIB_1 = 1 << 30
LABELS = {KIB_4: "4K", MIB_2: "2M", GIB_1: "1G"}

_KERNEL_HALF = 1 << 63
# Documentation/x86/x86_64/mm.rst: the kernel's image and the modules, with 4 and with 5 levels.
_KERNEL_IMAGE = 0xFFFF_FFFF_8000_0000
_WHAT = "QEMU's info tlb"

# QEMU prints the flags as "XGPDACTUW", "-" for one that is not set: X is the no-execute bit, P
# the page-size bit (never shown for 4K, where that bit means something else).
_LINE = re.compile(
    r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([X-])[G-]([P-])[D-][A-][C-][T-]([U-])([W-])\r?$",
    re.MULTILINE,
)
_BLANK = re.compile(r"^[ \t\r]*$")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One present entry at the end of a walk, of `size` bytes (4K, 2M or 1G).

    The permissions are the entry's own; the kernel's upper levels allow everything.
    """

    virtual: int
    physical: int
    size: int
    writable: bool
    executable: bool
    user: bool

    def __str__(self) -> str:
        bits = ("W" if self.writable else "-", "X" if self.executable else "-")
        user = "U" if self.user else "-"
        return (
            f"{self.virtual:#018x} -> {self.physical:#x} "
            f"{LABELS.get(self.size, self.size)} {''.join(bits)}{user}"
        )


def parse_info_tlb(text: str, translate: Callable[[int], int | None]) -> list[Leaf]:
    """Return the leaves that QEMU's monitor command "info tlb" printed, by virtual address.

    2M and 1G leaves print alike. An entry is 2M unless both its addresses are aligned to 1G and
    the next entry leaves room; where that decides nothing, `translate` is asked: it takes a
    virtual address of the same guest, stopped, and returns the physical one, or None ("gva2gpa").

    Raises:
        ParseError: a line is none of QEMU's, is not aligned to its size, or is out of order.
    """
    rows = _LINE.findall(text)
    lines = text.count("\n") + (not text.endswith("\n"))
    if len(rows) != lines:
        _refuse_strange_lines(text)
    virtuals = [int(row[0], 16) for row in rows]
    leaves: list[Leaf] = []
    last = len(rows) - 1
    for index, (_, frame, no_execute, large, user, write) in enumerate(rows):
        virtual, physical = virtuals[index], int(frame, 16)
        size = KIB_4
        if large == "P":
            room = virtuals[index + 1] - virtual if index < last else GIB_1
            size = _large_size(virtual, physical, room, translate)
        if (virtual | physical) & (size - 1):
            raise ParseError(_WHAT, 0, f"{virtual:#x} -> {physical:#x} is not aligned")
        leaves.append(Leaf(virtual, physical, size, write == "W", no_execute == "-", user == "U"))
    _refuse_disorder(leaves)
    return leaves


def _large_size(
    virtual: int, physical: int, room: int, translate: Callable[[int], int | None]
) -> int:
    if (virtual | physical) & (GIB_1 - 1) or room < GIB_1:
        return MIB_2
    return GIB_1 if translate(virtual + MIB_2) == physical + MIB_2 else MIB_2


def _refuse_strange_lines(text: str) -> None:
    for number, line in enumerate(text.split("\n"), start=1):
        if not _BLANK.match(line) and not _LINE.match(line):
            raise ParseError(
                _WHAT, number, f"not an entry: {line[:80]!r}", hint="is the guest's paging on?"
            )


def _refuse_disorder(leaves: Sequence[Leaf]) -> None:
    for before, after in pairwise(leaves):
        if before.virtual + before.size > after.virtual:
            raise ParseError(_WHAT, 0, f"{after.virtual:#x} comes after {before.virtual:#x}")


class OutsideView:
    """The kernel's half of a page table, by physical frame and by virtual address.

    `leaves` are those of a whole page table; what is in the user's half is left out.
    """

    def __init__(self, leaves: Iterable[Leaf]) -> None:
        self.leaves: tuple[Leaf, ...] = tuple(
            sorted(
                (leaf for leaf in leaves if leaf.virtual >= _KERNEL_HALF),
                key=lambda leaf: leaf.virtual,
            )
        )
        self._virtuals = [leaf.virtual for leaf in self.leaves]

    @cached_property
    def _by_frame(self) -> dict[tuple[int, int], list[Leaf]]:
        found: dict[tuple[int, int], list[Leaf]] = defaultdict(list)
        for leaf in self.leaves:
            found[leaf.size, leaf.physical].append(leaf)
        return dict(found)

    def mappings_of(self, physical: int) -> list[Leaf]:
        """Return every leaf of the kernel's half that maps physical address `physical`."""
        found: list[Leaf] = []
        for size in LABELS:
            found += self._by_frame.get((size, physical & -size), [])
        return found

    def leaf_at(self, virtual: int) -> Leaf | None:
        """Return the leaf that maps virtual address `virtual`, if one does."""
        index = bisect_right(self._virtuals, virtual) - 1
        if index < 0:
            return None
        leaf = self.leaves[index]
        return leaf if virtual < leaf.virtual + leaf.size else None

    @cached_property
    def direct_map_base(self) -> int:
        """Return the virtual address at which the direct map has physical address 0.

        It is the distance between virtual and physical that covers most bytes below the
        kernel's image. With RANDOMIZE_MEMORY it is any multiple of 1G
        (arch/x86/mm/kaslr.c, kernel_randomize_memory), so it has to be found.

        Raises:
            ParseError: nothing looks like a direct map.
        """
        votes: dict[int, int] = defaultdict(int)
        for leaf in self.leaves:
            distance = leaf.virtual - leaf.physical
            if leaf.virtual < _KERNEL_IMAGE and not distance % GIB_1:
                votes[distance] += leaf.size
        if not votes:
            raise ParseError(
                _WHAT,
                0,
                "no direct map in the kernel's half",
                hint="with page-table isolation, look while the CPU is in the kernel",
            )
        return max(votes, key=lambda distance: votes[distance])

    @cached_property
    def direct_map(self) -> tuple[Leaf, ...]:
        """Return the direct map's leaves."""
        base = self.direct_map_base
        return tuple(leaf for leaf in self.leaves if leaf.virtual - leaf.physical == base)

    def direct_map_leaf(self, pfn: int) -> Leaf | None:
        """Return the direct map's leaf for frame `pfn`, None where it is absent."""
        physical = pfn << PAGE_SHIFT
        leaf = self.leaf_at(self.direct_map_base + physical)
        return leaf if leaf and leaf.virtual - leaf.physical == self.direct_map_base else None

    def in_direct_map(self, pfn: int) -> bool:
        """Return whether the direct map has frame `pfn` at its usual address."""
        return self.direct_map_leaf(pfn) is not None

    def count_leaves(self) -> dict[str, int]:
        """Return the number of the direct map's leaves by size ("4K", "2M", "1G")."""
        counts = dict.fromkeys(LABELS.values(), 0)
        for leaf in self.direct_map:
            counts[LABELS[leaf.size]] += 1
        return counts
