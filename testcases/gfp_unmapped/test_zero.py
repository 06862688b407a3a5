# SPDX-License-Identifier: GPL-2.0-or-later
"""U10: no data of one owner reaches the next through the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import full_of, holding, outside_contents, some
from harness.testing.oracle import Oracle, must
from harness.testing.testcase import testcase

BLOCKS = 64
PMD_ORDER = 9
PAGES = 64
WORD = 0x5EC2_E75E_C2E7_5EC2
SECRET = WORD.to_bytes(8, "little")
ZERO = bytes(8)


@testcase("U10-zero", needs_feature=True, config=["DEBUG_FS"])
def test_zero(
    guest: Guest, checks: Checks, oracle: Oracle, counters: Callable[[], Counters]
) -> None:
    """If this failed, what one owner of an unmapped page wrote could be read by the next.

    Zero when the cache had to be refilled from dirty memory, when a page is used again, once it
    is free in the cache, and after the cache gave it back.
    """
    dirty = _make_memory_dirty(oracle)
    free = counters().cache["Free"]
    oracle.hold(free + PAGES, 0, "unmapped", "zero")
    first = [page.pfn for page in oracle.held()]
    checks.check("the refill took dirty memory", bool(dirty & set(first)), "none of it was")
    _check_zero(guest, checks, oracle, "on alloc", first)

    oracle.control(f"fill {WORD:#x}", "release")
    _check_gone(guest, checks, "once free in the cache", first)
    oracle.hold(free + PAGES, 0, "unmapped", "zero")
    second = [page.pfn for page in oracle.held()]
    again = set(first) & set(second)
    checks.check("pages are used again", bool(again), "other frames were handed out")
    _check_zero(guest, checks, oracle, "on reuse", second)

    oracle.control(f"fill {WORD:#x}", "release")
    must(guest, "echo 2 > /proc/sys/vm/drop_caches")
    back = [page.pfn for page in oracle.frames(second) if page.present]
    if back:
        _check_gone(guest, checks, "after release", back)
    else:
        checks.skip("zero after release", "drop_caches gave none of the pages back")


def _make_memory_dirty(oracle: Oracle) -> set[int]:
    """Fill blocks of memory, free them and return their frames: the next refill takes some."""
    oracle.hold(BLOCKS, PMD_ORDER)
    oracle.control(f"fill {WORD:#x}")
    dirty = {page.pfn for page in oracle.held()}
    oracle.control("release")
    return dirty


def _check_zero(
    guest: Guest, checks: Checks, oracle: Oracle, when: str, pfns: Sequence[int]
) -> None:
    inside = oracle.contents()
    checks.check(f"zero {when}: read by the kernel", inside == {"0x0"}, f"contents {inside}")
    zero = set(full_of(outside_contents(guest, pfns), ZERO))
    rest = [pfn for pfn in pfns if pfn not in zero]
    checks.check(f"zero {when}: read from outside", not rest, some(rest))


def _check_gone(guest: Guest, checks: Checks, when: str, pfns: Sequence[int]) -> None:
    left = holding(outside_contents(guest, pfns), SECRET)
    checks.check(f"secret gone {when}: read from outside", not left, some(left))
