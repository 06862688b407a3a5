# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts that each CPU took: /proc/interrupts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ParseError

# Each flush of another CPU's TLB is a function call. Those of a process's pages are counted as
# shootdowns as well, those of the kernel's own mappings are not (arch/x86/mm/tlb.c).
BETWEEN_CPUS = ("CAL", "TLB", "RES")

_WHAT = "/proc/interrupts"
_HEADING = re.compile(r"[ \t]*CPU[0-9]+(?:[ \t]+CPU[0-9]+)*[ \t]*", re.ASCII)
_ROW = re.compile(r"[ \t]*([A-Za-z0-9_]+):((?:[ \t]+[0-9]{1,20}(?![^ \t]))*)", re.ASCII)


@dataclass(frozen=True)
class Interrupts:
    """How many CPUs there are, and what each took of every interrupt, by its row: "21", "CAL".

    A count that is no CPU's own (ERR, MIS) is the only one of its row.
    """

    cpus: int
    rows: Mapping[str, Sequence[int]]

    def between_cpus(self) -> dict[str, int]:
        """Return how many there are of those that CPUs send each other, by row: CAL, TLB, RES.

        Empty where there is one CPU: nothing could be sent, which is not to say that nothing
        would be.
        """
        if self.cpus == 1:
            return {}
        return {name: sum(self.rows[name]) for name in BETWEEN_CPUS if name in self.rows}


def parse_interrupts(text: str) -> Interrupts:
    """Return what a /proc/interrupts says.

    Raises:
        ParseError: the CPUs are not named first; a row has no count for each, or comes twice.
    """
    heading, *lines = text.split("\n")
    if _HEADING.fullmatch(heading) is None:
        raise ParseError(_WHAT, 1, f"not a row of CPUs: {heading[:80]!r}")
    cpus = len(heading.split())
    rows: dict[str, Sequence[int]] = {}
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        match = _ROW.match(line)
        if match is None or match[1] in rows:
            raise ParseError(_WHAT, number, f"not a new row: {line[:80]!r}")
        # Words follow, and one of them may be a number.
        counts = [int(count) for count in match[2].split()[:cpus]]
        if len(counts) not in (1, cpus):
            raise ParseError(_WHAT, number, f"{len(counts)} counts, {cpus} CPUs: {line[:80]!r}")
        rows[match[1]] = counts
    return Interrupts(cpus, rows)
