# SPDX-License-Identifier: GPL-2.0-or-later
"""The unmapped-page cache's own account: debugfs `unmapped_alloc`."""

from __future__ import annotations

import re

from harness.errors import ParseError

ROWS = ("Free", "Cached", "Released")
_WHAT = "debugfs unmapped_alloc"
_ROW = re.compile(r"^(Free|Cached|Released):?((?:[ \t]+[0-9]{1,20})+)[ \t]*$", re.ASCII)
_INDENTED_NUMBERS = re.compile(r"^[ \t]*[0-9][0-9 \t]*$", re.ASCII)


def parse_orders(text: str) -> dict[str, list[int]]:
    """Return the number of blocks of each order (from 0) by row: Free, Cached, Released.

    A line that starts with none of the rows' names is a heading.

    Raises:
        ParseError: a row has no counts, comes twice or is missing; a line is numbers only.
    """
    rows: dict[str, list[int]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        match = _ROW.match(line)
        if match is not None and match[1] not in rows:
            rows[match[1]] = [int(count) for count in match[2].split()]
        elif line.startswith(ROWS) or _INDENTED_NUMBERS.match(line):
            raise ParseError(_WHAT, number, f"not a row of counts: {line[:80]!r}")
    missing = [row for row in ROWS if row not in rows]
    if missing:
        raise ParseError(_WHAT, 0, f"no row {', '.join(missing)}")
    return rows


def parse_unmapped_alloc(text: str) -> dict[str, int]:
    """Return the pages of each row: Free, Cached, Released.

    Raises:
        ParseError: see `parse_orders`.
    """
    return {
        row: sum(count << order for order, count in enumerate(counts))
        for row, counts in parse_orders(text).items()
    }
