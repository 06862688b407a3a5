# SPDX-License-Identifier: GPL-2.0-or-later
"""The direct map as cells, one for each 2M of physical memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.measure.page_tables import DIRECT_MAP, LEAF_BYTES, Range, direct_map_start

CELL_BYTES = LEAF_BYTES["2M"]
# 256 GiB: what is above is left out.
_MOST = 1 << 17

_PRESENT, _ABSENT, _LARGE, _HUGE, _READ_ONLY = (1 << bit for bit in range(5))


@dataclass(frozen=True, slots=True)
class Cell:
    """How 2M of memory are mapped.

    `size` is "1G", "2M" or "4K", or "" where nothing is mapped. `holes` tells that some 4K pages
    of it are absent, `read_only` that some of it can't be written.
    """

    size: str
    holes: bool = False
    read_only: bool = False


def _cell(bits: int) -> Cell:
    read_only = bool(bits & _READ_ONLY)
    if bits & _HUGE:
        return Cell("1G", read_only=read_only)
    if bits & _LARGE:
        return Cell("2M", read_only=read_only)
    if bits & _PRESENT:
        return Cell("4K", bool(bits & _ABSENT), read_only)
    return Cell("")


_CELLS = tuple(map(_cell, range(32)))


def direct_map_cells(ranges: Sequence[Range]) -> list[Cell]:
    """Return the direct map's cells, from physical address 0 up to the last that is mapped.

    Raises:
        ParseError: the page table has no direct map.
    """
    base = direct_map_start(ranges)
    mine = [one for one in ranges if one.section == DIRECT_MAP]
    end = max((one.end for one in mine if one.present), default=base)
    bits = bytearray(min(_MOST, -(-(end - base) // CELL_BYTES)))
    for one in mine:
        first = (one.start - base) // CELL_BYTES
        last = min(len(bits), -(-(one.end - base) // CELL_BYTES))
        if first < last:
            mark = _mark(one)
            bits[first:last] = bytes(known | mark for known in bits[first:last])
    return [_CELLS[one] for one in bits]


def _mark(found: Range) -> int:
    if not found.present:
        return _ABSENT if found.leaf == "4K" else 0
    size = {"4K": _PRESENT, "2M": _LARGE, "1G": _HUGE}.get(found.leaf, 0)
    return size if found.writable else size | _READ_ONLY
