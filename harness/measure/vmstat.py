# SPDX-License-Identifier: GPL-2.0-or-later
"""Counters of /proc/vmstat."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.errors import ParseError

LEVEL2_SPLITS = "direct_map_level2_splits"
LEVEL3_SPLITS = "direct_map_level3_splits"
# Since 6.15 the kernel also merges back (mm/vmstat.c).
LEVEL2_COLLAPSES = "direct_map_level2_collapses"
LEVEL3_COLLAPSES = "direct_map_level3_collapses"

_LINE = re.compile(r"^([a-z][a-z0-9_]*) (-?[0-9]{1,20})$", re.ASCII | re.IGNORECASE)


def parse_vmstat(text: str) -> dict[str, int]:
    """Return the counters of a /proc/vmstat by name, in the units that the kernel uses.

    Raises:
        ParseError: a line is not a name and a number, or a name comes twice.
    """
    counters: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        match = _LINE.match(line)
        if match is None or match[1] in counters:
            raise ParseError("/proc/vmstat", number, f"not a new counter: {line[:80]!r}")
        counters[match[1]] = int(match[2])
    return counters


def deltas(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return `after - before` for every name that both have."""
    return {name: after[name] - value for name, value in before.items() if name in after}
