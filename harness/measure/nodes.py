# SPDX-License-Identifier: GPL-2.0-or-later
"""Which memory node and zone a frame is of, as the kernel and as QEMU see it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import ParseError

_KERNEL = "/proc/zoneinfo"
_QEMU = "QEMU's info mtree -f"
_ZONE = re.compile(r"^Node +([0-9]{1,4}), zone +(\w+) *$", re.ASCII)
_FIELD = re.compile(r"^ +(spanned|start_pfn:) +([0-9]{1,19})$", re.ASCII)
# The names of the memory backends are ours: harness/guest/qemu.py.
_RAM = re.compile(
    r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?[0-9]+, ram\): memory([0-9]{1,4})"
    r"(?: @[0-9a-f]{16})?$",
    re.ASCII | re.MULTILINE,
)
_PAGE_SHIFT = 12


@dataclass(frozen=True, slots=True)
class Span:
    """Frames from `first` on, `pages` of them, that are of one `node`.

    `zone` is the kernel's name for them (DMA32, Normal), "" where only the node is known.
    """

    node: int
    zone: str
    first: int
    pages: int

    def __contains__(self, pfn: int) -> bool:
        return self.first <= pfn < self.first + self.pages


def parse_zoneinfo(text: str) -> list[Span]:
    """Return the zones that have memory (/proc/zoneinfo: mm/vmstat.c, zoneinfo_show_print).

    Raises:
        ParseError: there is none, or a zone's fields come before its name.
    """
    spans: list[Span] = []
    zone: tuple[int, str] | None = None
    pages = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if match := _ZONE.match(line):
            zone, pages = (int(match[1]), match[2]), 0
        elif match := _FIELD.match(line):
            if zone is None:
                raise ParseError(_KERNEL, number, f"a field of no zone: {line[:80]!r}")
            if match[1] == "spanned":
                pages = int(match[2])
            elif pages:
                spans.append(Span(*zone, int(match[2]), pages))
    if not spans:
        raise ParseError(_KERNEL, 0, "no zone has memory")
    return spans


def parse_mtree(text: str) -> list[Span]:
    """Return the guest's memory by node, from QEMU's monitor command "info mtree -f".

    Raises:
        ParseError: there is none: the machine has one node only, or its memory no number.
    """
    found = {
        (int(start, 16) >> _PAGE_SHIFT, (int(end, 16) + 1) >> _PAGE_SHIFT, int(node))
        for start, end, node in _RAM.findall(text.replace("\r\n", "\n"))
    }
    if not found:
        raise ParseError(_QEMU, 0, "no memory of a node", hint="is it a machine with nodes?")
    return [Span(node, "", start, end - start) for start, end, node in sorted(found)]


def node_of(spans: Iterable[Span], pfn: int) -> int | None:
    """Return the node of frame `pfn`, None where no span has it."""
    return next((span.node for span in spans if pfn in span), None)


def zone_of(spans: Iterable[Span], pfn: int) -> str:
    """Return the name of the zone of frame `pfn`, "" where no span has it."""
    return next((span.zone for span in spans if pfn in span), "")
