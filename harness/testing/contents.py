# SPDX-License-Identifier: GPL-2.0-or-later
"""What unmapped pages contain, and having the cache give them back, for several testcases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.testing.judging import full_of, holding, outside_contents, some
from harness.testing.oracle import ONE_CPU, Oracle, must

if TYPE_CHECKING:
    from harness.guest.guest import Guest
    from harness.testing.checks import Checks

PMD_ORDER = 9
PMD_PAGES = 1 << PMD_ORDER
WORD = 0x5EC2_E75E_C2E7_5EC2
SECRET = WORD.to_bytes(8, "little")
ZERO = bytes(8)

_SCAN = "/sys/kernel/debug/shrinker/*unmapped*/scan"
_DIRTY_BLOCKS = 64


def make_memory_dirty(oracle: Oracle) -> set[int]:
    """Fill blocks of ordinary memory with the secret, free them and return their frames.

    The next refill takes some of them.
    """
    oracle.hold(_DIRTY_BLOCKS, PMD_ORDER)
    oracle.control(f"fill {WORD:#x}")
    dirty = {page.pfn for page in oracle.held()}
    oracle.control("release")
    return dirty


def shrink(guest: Guest, pages: int) -> None:
    """Have the cache's shrinker give back at least `pages` of node 0, if it has that many.

    It does so on the CPU where the oracle module allocates, for some stay with the CPU.

    Raises:
        CommandFailed: there is no such shrinker.
    """
    scan = f"for file in {_SCAN}; do echo 0 0 {pages} > $file || exit 1; done"
    must(guest, f"{ONE_CPU} sh -c '{scan}'")


def check_zero(
    guest: Guest, checks: Checks, oracle: Oracle, when: str, pfns: Sequence[int]
) -> None:
    """Record whether the held single pages `pfns` are zero, inside and from outside."""
    inside = oracle.contents()
    wrong = [pfn for pfn in pfns if inside[pfn] != "0x0"]
    checks.check(f"zero {when}: read by the kernel", bool(pfns) and not wrong, some(wrong))
    zero = set(full_of(outside_contents(guest, pfns), ZERO))
    rest = [pfn for pfn in pfns if pfn not in zero]
    checks.check(f"zero {when}: read from outside", bool(pfns) and not rest, some(rest))


def check_gone(guest: Guest, checks: Checks, when: str, pfns: Sequence[int]) -> None:
    """Record whether none of the frames `pfns` holds the secret, read from outside."""
    left = holding(outside_contents(guest, pfns), SECRET)
    checks.check(f"secret gone {when}: read from outside", bool(pfns) and not left, some(left))
