# SPDX-License-Identifier: GPL-2.0-or-later
"""Pieces of Markdown that take whatever a kernel, a compiler or a path says as it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_TICKS = re.compile(r"`+")


def code(text: str) -> str:
    """Return `text` as code within a line; its backticks and ends of lines do not end it."""
    line = " ".join(text.split())
    ticks = "`" * (_longest(line) + 1)
    # A tick at an end would else be taken for one of the marks.
    room = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{ticks}{room}{line}{room}{ticks}"


def fenced(lines: Sequence[str]) -> list[str]:
    """Return `lines` as a block of code."""
    fence = "`" * max(3, max(map(_longest, lines), default=0) + 1)
    return [fence, *lines, fence]


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> list[str]:
    """Return a table; the columns in `right`, counted from 0, stand at the right."""
    marks = ["---:" if place in right else "---" for place in range(len(head))]
    return [_row(head), "| " + " | ".join(marks) + " |", *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _longest(text: str) -> int:
    return max(map(len, _TICKS.findall(text)), default=0)
