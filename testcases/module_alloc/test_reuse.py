# SPDX-License-Identifier: GPL-2.0-or-later
"""M7: memory that goes from modules to secretmem, and back."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.alias import check_alias, check_no_alias
from harness.testing.checks import Checks
from harness.testing.judging import Judge, full_of, holding, outside_contents, some
from harness.testing.oracle import ONE_CPU, Oracle, Page, must
from harness.testing.secretmem import secret_pages
from harness.testing.testcase import testcase

NAME = "patchbed_marked"
FILE = f"/patchbed/modules/{NAME}.ko"
CONFIG = ["MODULES", "MODULE_UNLOAD", "STRICT_MODULE_RWX", "DEBUG_FS", "SECRETMEM"]
FIRST, SECRET, SECOND = 0x0DD1_F1E5_0DD1_F1E5, 0x5EC2_E75E_C2E7_5EC2, 0x0DD2_F2E5_0DD2_F2E5
# More than the module has, so that some of its frames are among them.
PAGES = 128
WRITABLE = {"text": False, "rodata": False, "data": True, "bss": True}


@testcase("M7-reuse", config=[*CONFIG, "PROC_PAGE_MONITOR"])
def test_reuse(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    feature: bool,
) -> None:
    """If this failed, memory would keep, in its next life, what it held or allowed in the last.

    A module's frames become secretmem: absent, and zero when handed out. Those of secretmem
    become a module's: without the secret, text and rodata as read-only, or as absent, as any
    module's.
    """
    pages = _load(guest, oracle, FIRST)
    marked = [page.pfn for page in pages["bss"]]
    found = full_of(outside_contents(guest, marked), _bytes(FIRST))
    checks.check("QEMU read the module's mark", len(found) == len(marked), f"{len(found)} pages")

    module = {page.pfn for kind in pages.values() for page in kind}
    with secret_pages(guest, PAGES, first=f"rmmod {NAME}") as held:
        secret = {page.pfn for page in held}
        shared = sorted(module & secret)
        checks.check("secretmem gets frames of the module", bool(shared), "it got others")
        judge.absent("as secretmem", oracle.frames(shared))
        dirty = [page.pfn for page in held if not page.zero]
        checks.check("as secretmem: zero: read by the process", not dirty, some(dirty))
        left = holding(outside_contents(guest, secret), _bytes(FIRST))
        checks.check("as secretmem: no mark: read from outside", not left, some(left))

    with secret_pages(guest, PAGES, SECRET) as held:
        secret = {page.pfn for page in held}
        found = full_of(outside_contents(guest, secret), _bytes(SECRET))
    checks.check("QEMU read the secret", len(found) == PAGES, f"{len(found)} of {PAGES} pages")
    pages = _load(guest, oracle, SECOND)
    module = {page.pfn for kind in pages.values() for page in kind}
    checks.check("a module gets frames of secretmem", bool(module & secret), "it got others")
    left = holding(outside_contents(guest, module), _bytes(SECRET))
    checks.check("as a module: no secret is left, from outside", not left, some(left))
    _check_module(judge, outside(), oracle, pages, feature=feature)
    must(guest, f"rmmod {NAME}")


def _load(guest: Guest, oracle: Oracle, word: int) -> dict[str, list[Page]]:
    """Load the module and return its pages, at their own addresses, by kind of section."""
    load = f"{ONE_CPU} insmod {FILE} word={word:#x} && cat /sys/kernel/debug/{NAME}"
    rows = [line.split() for line in must(guest, load).splitlines()]
    return {
        kind: oracle.addresses([(int(address, 16), int(count))]) for kind, address, count in rows
    }


def _check_module(
    judge: Judge, view: OutsideView, oracle: Oracle, pages: dict[str, list[Page]], *, feature: bool
) -> None:
    for kind, own in pages.items():
        alias = oracle.frames(page.pfn for page in own)
        if feature:
            check_no_alias(judge, view, f"as a module's {kind}", own, alias)
        else:
            writable = WRITABLE[kind]
            check_alias(judge, view, f"as a module's {kind}", alias, writable=writable)


def _bytes(word: int) -> bytes:
    return word.to_bytes(8, "little")
