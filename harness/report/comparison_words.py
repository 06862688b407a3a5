# SPDX-License-Identifier: GPL-2.0-or-later
"""How the numbers and verdicts of a comparison are put into lines and columns."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.comparison import Finding
from harness.measure.verdicts import Verdict

_SHORT = {Verdict.INCONCLUSIVE: "INCONCL.", Verdict.EQUIVALENT: "EQUIV."}


def wrap(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width`, those after the first further in."""
    import textwrap

    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(text, width, subsequent_indent=indent) or [""]


def number(value: float) -> str:
    """Return a number for people: three or four digits that matter, thousands marked."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(value: float | None, *, narrow: bool) -> str:
    """Return a number for a column, "-" where there is none; large ones are short if `narrow`."""
    if value is None:
        return "-"
    if abs(value) >= (1e6 if narrow else 1e9):
        return f"{value:.3g}".replace("e+0", "e").replace("e+", "e")
    return number(value)


def verdict_word(finding: Finding, *, narrow: bool) -> str:
    """Return the verdict; where there is none and room, with how many blocks it would take."""
    word = _SHORT.get(finding.verdict, finding.verdict.value)
    needed = finding.judgement.needed
    if narrow or finding.verdict is not Verdict.INCONCLUSIVE or not needed:
        return word
    return f"{word} {'>999' if needed > 999 else needed}"


def aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the rows as lines; the first column is cut to what `width` leaves of it."""
    columns = max(len(row) for row in rows)
    widths = [max(len(row[column]) for row in rows) for column in range(columns)]
    room = width - sum(widths[1:]) - 2 * (columns - 1)
    widths[0] = max(8, min(widths[0], room))
    lines: list[str] = []
    for row in rows:
        first, rest = (
            row[0],
            [text.rjust(size) for text, size in zip(row[1:], widths[1:], strict=True)],
        )
        if len(first) > widths[0]:
            # Without its unit, the name may fit.
            first = first.partition(" (")[0][: widths[0]]
        lines.append("  ".join([first.ljust(widths[0]), *rest]))
    return lines
