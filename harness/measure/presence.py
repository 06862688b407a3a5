# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a page is in the direct map, as several sources say, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.measure.directmap import PAGE_SHIFT, OutsideView
from harness.measure.page_tables import Range, direct_map_start, range_at


class Source(StrEnum):
    """Who says it. All but OUTSIDE trust the kernel under test."""

    WALK = "lookup_address"
    READ = "copy_from_kernel_nofault"
    KCORE = "/proc/kcore"
    DUMP = "page_tables/kernel"
    OUTSIDE = "QEMU's info tlb"


@dataclass(frozen=True, slots=True)
class Presence:
    """What one source says of frame `pfn`'s usual place in the direct map.

    `writable` and `executable` are None where the source can't tell, or nothing is mapped.
    """

    source: Source
    pfn: int
    present: bool
    writable: bool | None = None
    executable: bool | None = None

    def __str__(self) -> str:
        if not self.present:
            return f"{self.source}: absent"
        words = ["present"]
        if self.writable is not None:
            words.append("writable" if self.writable else "read-only")
        if self.executable is not None:
            words.append("executable" if self.executable else "not executable")
        return f"{self.source}: {', '.join(words)}"


def seen_outside(view: OutsideView, pfn: int) -> Presence:
    """Return what `view` says of frame `pfn`.

    Raises:
        ParseError: the view has no direct map at all.
    """
    leaf = view.direct_map_leaf(pfn)
    if leaf is None:
        return Presence(Source.OUTSIDE, pfn, False)
    return Presence(Source.OUTSIDE, pfn, True, leaf.writable, leaf.executable)


def seen_in_dump(ranges: Sequence[Range], pfn: int) -> Presence:
    """Return what the kernel's own dump says of frame `pfn`.

    Raises:
        ParseError: the dump has no direct map.
    """
    found = range_at(ranges, direct_map_start(ranges) + (pfn << PAGE_SHIFT))
    if found is None or not found.present:
        return Presence(Source.DUMP, pfn, False)
    return Presence(Source.DUMP, pfn, True, found.writable, found.executable)


def disagreement(seen: Sequence[Presence]) -> str:
    """Return "" where the sources agree, else one line that says who says what.

    They agree when all say the same of the page's presence, and those that tell a permission
    tell the same one. One source alone is no agreement: it is reported as well.

    Raises:
        ValueError: they speak of different frames, or there are none.
    """
    if len({presence.pfn for presence in seen}) != 1:
        raise ValueError("one frame, please")
    said = "; ".join(str(presence) for presence in seen)
    if len({presence.source for presence in seen}) < 2:
        return f"frame {seen[0].pfn:#x} has one source only: {said}"
    told = (
        {presence.present for presence in seen},
        {presence.writable for presence in seen} - {None},
        {presence.executable for presence in seen} - {None},
    )
    if all(len(answers) <= 1 for answers in told):
        return ""
    return f"frame {seen[0].pfn:#x}: {said}"
