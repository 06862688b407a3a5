# SPDX-License-Identifier: GPL-2.0-or-later
"""M1 and M2: what a module's pages allow, where it runs and in the direct map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.checks import Checks
from harness.testing.judging import Judge
from harness.testing.oracle import PAGE_SIZE, SETTLE, Oracle, Page, must
from harness.testing.testcase import testcase

NAME = "patchbed_sections"
# What a page of each kind of section allows: whether it may be written, and executed.
ALLOWED = {
    "text": (False, True),
    "rodata": (False, False),
    "ro_after_init": (False, False),
    "data": (True, False),
    "bss": (True, False),
}
CONFIG = ["MODULES", "STRICT_MODULE_RWX", "DEBUG_FS"]


@pytest.fixture
def sections(guest: Guest, oracle: Oracle) -> Iterator[dict[str, list[Page]]]:
    """The pages of a loaded module by kind of section, at its own addresses."""
    load = f"insmod /patchbed/modules/{NAME}.ko && {SETTLE} && cat /sys/kernel/debug/{NAME}"
    rows = [line.split() for line in must(guest, load).splitlines()]
    pages = iter(oracle.addresses((int(address, 16), int(count)) for _, address, count in rows))
    areas = {kind: list(islice(pages, int(count))) for kind, _, count in rows}
    yield areas
    if guest.death is None:
        must(guest, f"rmmod {NAME}")


@testcase("M1-permissions", config=CONFIG)
def test_permissions(
    checks: Checks, sections: dict[str, list[Page]], outside: Callable[[], OutsideView]
) -> None:
    """If this failed, a module's code could be written, or its data executed.

    At the module's own addresses: text RX, rodata and what is read-only after init R NX, data
    and bss RW NX.
    """
    view = outside()
    for kind, allowed in ALLOWED.items():
        pages = sections[kind]
        within = [(page.writable, page.executable) for page in pages if page.present]
        _check_allowed(checks, f"{kind}: by lookup_address", within, allowed, len(pages))
        leaves = [view.leaf_at(page.address) for page in pages]
        without = [(leaf.writable, leaf.executable) for leaf in leaves if leaf]
        _check_allowed(checks, f"{kind}: from outside", without, allowed, len(pages))
        # A section's first symbol need not begin its page: functions may have padding in front.
        frames = [
            leaf.physical + (page.address & -PAGE_SIZE) - leaf.virtual if leaf else None
            for leaf, page in zip(leaves, pages, strict=True)
        ]
        same = within == without and frames == [page.physical for page in pages]
        checks.check(f"{kind}: oracles agree", same, f"{within} within, {without} from outside")


def _check_allowed(
    checks: Checks,
    name: str,
    seen: list[tuple[bool, bool]],
    allowed: tuple[bool, bool],
    pages: int,
) -> None:
    good = pages > 0 and seen == [allowed] * pages
    checks.check(name, good, f"(write, execute) of {pages} pages: {seen}, expected {allowed}")


@testcase("M2-alias", config=CONFIG)
def test_alias(
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    sections: dict[str, list[Page]],
    outside: Callable[[], OutsideView],
    patched: bool,
) -> None:
    """If this failed, a module's code could be written through another address.

    Without a series the direct map has the module's frames, text and rodata read-only. With one
    it has none of them, and nothing else in the kernel's half maps them but the module itself.
    """
    view = outside()
    frames = oracle.frames(page.pfn for pages in sections.values() for page in pages)
    aliases = {page.pfn: page for page in frames}
    for kind, pages in sections.items():
        alias = [aliases[page.pfn] for page in pages]
        if patched:
            _check_no_alias(checks, judge, view, kind, pages, alias)
        else:
            _check_alias(checks, judge, view, kind, alias)


def _check_alias(
    checks: Checks, judge: Judge, view: OutsideView, kind: str, alias: list[Page]
) -> None:
    judge.present(kind, alias, view=view)
    writable = ALLOWED[kind][0]
    word = "writable" if writable else "read-only"
    within = [page.pfn for page in alias if page.writable is not writable]
    judge.frames(f"{kind}: alias {word} by lookup_address", alias, within)
    leaves = {page.pfn: view.mappings_of(page.physical) for page in alias}
    wrong = [
        pfn
        for pfn, found in leaves.items()
        if (direct := view.direct_map_leaf(pfn)) is None
        or direct.writable is not writable
        or any(leaf.writable is not writable for leaf in found)
    ]
    judge.frames(f"{kind}: every alias {word} from outside", alias, wrong)
    executable = [
        pfn for pfn in leaves if (direct := view.direct_map_leaf(pfn)) and direct.executable
    ]
    judge.frames(f"{kind}: alias never executable", alias, executable)


def _check_no_alias(
    checks: Checks,
    judge: Judge,
    view: OutsideView,
    kind: str,
    pages: list[Page],
    alias: list[Page],
) -> None:
    present = [page.pfn for page in alias if page.present]
    readable = [page.pfn for page in alias if page.readable]
    other = [
        page.pfn
        for page in pages
        if [leaf.virtual for leaf in view.mappings_of(page.physical)] != [page.address]
    ]
    judge.frames(f"{kind}: absent by lookup_address", alias, present)
    judge.frames(f"{kind}: absent by a read", alias, readable)
    judge.frames(f"{kind}: mapped by the module alone, from outside", pages, other)
    judge.agree(kind, alias, view)
