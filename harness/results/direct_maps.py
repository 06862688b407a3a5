# SPDX-License-Identifier: GPL-2.0-or-later
"""The page tables that a boot of a comparison left in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ParseError
from harness.guest.framing import Decoder, Frame
from harness.measure.map_cells import Cell, direct_map_cells
from harness.measure.page_tables import parse_page_tables
from harness.measure.workload import AFTER, BEFORE, END
from harness.outcomes import Outcome
from harness.results.measurements import Boot, BootRecord, CompareFolder

RESULTS = "results.raw"
_PAGE_TABLES = "/sys/kernel/debug/page_tables/kernel"
_PULLS = (BEFORE, AFTER, END)


@dataclass(frozen=True)
class BootMaps:
    """The direct map of one boot before the work, and after it where there was work."""

    boot: Boot
    before: Sequence[Cell]
    after: Sequence[Cell] | None


def read_boot_maps(folder: Path) -> dict[str, list[Cell]]:
    """Return the direct maps that a boot's results hold, by the pull's name.

    What is missing or damaged is left out.
    """
    try:
        data = (folder / RESULTS).read_bytes()
    except OSError:
        return {}
    maps: dict[str, list[Cell]] = {}
    for name, table in _page_tables(data).items():
        try:
            maps[name] = direct_map_cells(parse_page_tables(table.decode(errors="replace")))
        except ParseError:
            continue
    return maps


def _page_tables(data: bytes) -> dict[str, bytes]:
    """Return the page tables in a batch's frames by the name of the step that pulled them."""
    decoder = Decoder()
    tables: dict[str, bytes] = {}
    step, path, content = "", "", bytearray()
    for item in [*decoder.feed(data), *decoder.close()]:
        if not isinstance(item, Frame):
            continue
        if item.kind == "begin":
            step = item.payload.decode(errors="replace")
        elif item.kind == "file":
            path, content = item.payload.decode(errors="replace"), bytearray()
        elif item.kind == "data":
            content += item.payload
        elif item.kind == "whole" and path == _PAGE_TABLES and step in _PULLS:
            tables[step] = bytes(content)
    return tables


def read_maps(
    folder: CompareFolder, records: Sequence[BootRecord], workload: str, variants: Sequence[str]
) -> list[BootMaps]:
    """Return the direct maps of a workload in the first block that all `variants` came through.

    A variant that none of its boots came through is left out, and so is one without raw files.
    """
    found: list[BootMaps] = []
    for record in _chosen(records, workload, variants).values():
        maps = read_boot_maps(folder.boot_folder(record.boot, record.attempt))
        if BEFORE in maps:
            found.append(BootMaps(record.boot, maps[BEFORE], maps.get(AFTER, maps.get(END))))
    return found


def _chosen(
    records: Sequence[BootRecord], workload: str, variants: Sequence[str]
) -> Mapping[str, BootRecord]:
    by_block: dict[int, dict[str, BootRecord]] = {}
    for record in records:
        boot = record.boot
        if boot.workload == workload and boot.variant in variants and not boot.repetition:
            mine = by_block.setdefault(boot.block, {})
            if record.outcome is Outcome.PASS:
                mine[boot.variant] = record
    most = max(map(len, by_block.values()), default=0)
    first = min((block for block, mine in by_block.items() if len(mine) == most), default=None)
    chosen = by_block[first] if first is not None else {}
    return {variant: chosen[variant] for variant in variants if variant in chosen}
