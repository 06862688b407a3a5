# SPDX-License-Identifier: GPL-2.0-or-later
"""M1 and M2: what a module's pages allow, where it runs and in the direct map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.alias import check_alias, check_no_alias, check_own
from harness.testing.checks import Checks
from harness.testing.judging import Judge
from harness.testing.oracle import SETTLE, Oracle, Page, must
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
        check_own(checks, kind, sections[kind], view, writable=allowed[0], executable=allowed[1])


@testcase("M2-alias", config=CONFIG)
def test_alias(
    oracle: Oracle,
    judge: Judge,
    sections: dict[str, list[Page]],
    outside: Callable[[], OutsideView],
    feature: bool,
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
        if feature:
            check_no_alias(judge, view, kind, pages, alias)
        else:
            check_alias(judge, view, kind, alias, writable=ALLOWED[kind][0])
