# SPDX-License-Identifier: GPL-2.0-or-later
"""What the columns of a table are called where there is little room."""

from __future__ import annotations

from collections.abc import Sequence

from harness.results.counters import column_names
from harness.results.schema import CellResult


def short_variants(variants: Sequence[str]) -> dict[str, str]:
    """Return a short name for each variant that no other of `variants` has.

    A patched one is called by its version, or by its series and version; else in full.
    """
    shorter = [
        {variant: variant.rpartition("+")[2].rpartition("@")[2] for variant in variants},
        {variant: variant.rpartition("+")[2] for variant in variants},
    ]
    for names in shorter:
        if len(set(names.values())) == len(set(variants)):
            return names
    return {variant: variant for variant in variants}


def column_heads(cells: Sequence[CellResult], room: int) -> tuple[dict[str, str], list[str]]:
    """Return each cell's head over a column, and lines that explain the heads.

    The names in full where they fit into `room` characters side by side; else the variant's short
    name, with the profile on lines of its own.
    """
    full = column_names(cells)
    if sum(len(name) + 3 for name in full.values()) <= room:
        return full, []
    short = short_variants(list(dict.fromkeys(cell.variant for cell in cells)))
    several = len({cell.profile for cell in cells}) > 1
    heads = {
        cell.cell: "\n".join(
            [short[cell.variant], *([cell.profile.replace(",", ",\n")] if several else [])]
        )
        for cell in cells
    }
    if len(set(heads.values())) < len(cells):
        return full, []
    explained = [f"{name}: {variant}" for variant, name in short.items() if name != variant]
    return heads, explained
