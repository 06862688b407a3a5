# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes of /proc/meminfo."""

from __future__ import annotations

import re

from harness.errors import ParseError

# What the direct map is made of, by page size (arch/x86/mm/pat/set_memory.c). Only differences
# mean something: at boot some ranges are counted twice.
DIRECT_MAP = ("DirectMap4k", "DirectMap2M", "DirectMap1G")

_LINE = re.compile(r"^([A-Za-z][A-Za-z0-9_()]*): +([0-9]{1,20})( kB)?$", re.ASCII)


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the rows of a /proc/meminfo by name, in kB (HugePages_*: in huge pages).

    Raises:
        ParseError: a line is not a name and a size, or a name comes twice.
    """
    sizes: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            continue
        match = _LINE.match(line)
        if match is None or match[1] in sizes:
            raise ParseError("/proc/meminfo", number, f"not a new size: {line[:80]!r}")
        sizes[match[1]] = int(match[2])
    return sizes
