# SPDX-License-Identifier: GPL-2.0-or-later
"""U13: unmapped memory that goes bad."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.contents import PMD_PAGES, WORD, check_zero, shrink
from harness.testing.counters import Counters
from harness.testing.judging import Judge, some
from harness.testing.oracle import Oracle, must
from harness.testing.secretmem import secret_pages
from harness.testing.testcase import testcase

POISON = "/sys/kernel/debug/hwpoison"
CONFIG = ["DEBUG_FS", "MEMORY_FAILURE", "HWPOISON_INJECT", "PROC_PAGE_MONITOR", "SHRINKER_DEBUG"]
# include/uapi/linux/kernel-page-flags.h
KPF_BUDDY = 10
KPF_HWPOISON = 19
CHUNK_ORDER = 3
CHUNKS = 4
SECRET_PAGES = 8


@testcase("U13-poison-free", needs_feature=True, clean=True, config=CONFIG, profile="hwpoison")
def test_poison_free(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
) -> None:
    """If this failed, a page that went bad while it was free in the cache would be handed out.

    It leaves the cache, stays absent, comes back neither from the cache nor from the shrinker,
    and, once it is declared sound again, is free in the cache, clear.
    """
    oracle.hold(PMD_PAGES, 0, "unmapped")
    pfns = [page.pfn for page in oracle.held()]
    oracle.control("release")
    bad = [pfns[0], pfns[PMD_PAGES // 2 + 3], pfns[-1]]
    before = counters()
    _poison(guest, checks, bad)
    gone = before.cache["Free"] - counters().cache["Free"]
    checks.check("the cache lets go of them", gone == len(bad), f"{gone} pages less are free")
    judge.absent("once poisoned", oracle.frames(bad))

    _hold_all(oracle, counters)
    checks.check("not handed out", *_none_of(bad, oracle))
    again, rest = bad[0], bad[1:]
    must(guest, f"echo {again:#x} > {POISON}/unpoison-pfn")
    free = counters().cache["Free"]
    oracle.hold(free, 0, "unmapped", "zero")
    held = {page.pfn for page in oracle.held()}
    checks.check("handed out again once unpoisoned", again in held, f"{again:#x} is not")
    if again in held:
        check_zero(guest, checks, oracle, "once unpoisoned", [again])
    oracle.control("release")
    _check_after_shrinking(guest, checks, oracle, judge, rest)


@testcase("U13-poison-used", needs_feature=True, clean=True, config=CONFIG, profile="hwpoison")
def test_poison_used(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
) -> None:
    """If this failed, a page that went bad while it was in use would be handed out again.

    A single page, one in the middle of a larger chunk, and one of secretmem: when they are
    freed, the others come back to the cache and they don't.
    """
    oracle.hold(CHUNKS, 0, "unmapped")
    oracle.hold(CHUNKS, CHUNK_ORDER, "unmapped")
    pages = [page.pfn for page in oracle.held()]
    bad = [pages[1], pages[-3]]
    held = counters()
    _poison(guest, checks, bad)
    judge.absent("once poisoned", oracle.frames(bad))
    oracle.control("release")
    back = counters().cache["Free"] - held.cache["Free"]
    reason = f"{back} of {len(pages)} pages, {len(bad)} of them poisoned"
    checks.check("the others come back", back == len(pages) - len(bad), reason)
    judge.absent("once freed", oracle.frames(bad))

    with secret_pages(guest, SECRET_PAGES, WORD) as secrets:
        secret = secrets[3].pfn
        _poison(guest, checks, [secret], name="secretmem")
    bad.append(secret)
    _hold_all(oracle, counters)
    checks.check("not handed out", *_none_of(bad, oracle))
    oracle.control("release")
    _check_after_shrinking(guest, checks, oracle, judge, bad)


@testcase(
    "U13-poison-late",
    needs_feature=True,
    clean=True,
    config=["KUNIT", "MEMORY_FAILURE"],
    profile="hwpoison",
)
def test_poison_late(checks: Checks) -> None:
    """If this failed, a page would be handed out between the error and its being taken off.

    A page that is free in the cache, alone or in a block, is marked as poisoned and no more: it
    stays behind, and what is beside it is handed out. Nor does the shrinker give it back.
    """
    checks.module("patchbed_poison_kunit")


def _poison(guest: Guest, checks: Checks, pfns: Sequence[int], name: str = "the kernel") -> None:
    """Tell the kernel that frames `pfns` went bad, and record whether it took note.

    What it says of a page that it can't do anything about is no failure: it is marked.
    """
    for pfn in pfns:
        guest.run(f"echo {pfn:#x} > {POISON}/corrupt-pfn")
    unmarked = [pfn for pfn in pfns if not _flags(guest, pfn) >> KPF_HWPOISON & 1]
    checks.check(f"{name} took note", not unmarked, some(unmarked))


def _flags(guest: Guest, pfn: int) -> int:
    """Return what /proc/kpageflags says of a frame."""
    size = struct.calcsize("Q")
    done = guest.run(f"dd if=/proc/kpageflags bs={size} skip={pfn} count=1 2>/dev/null")
    flags: int = struct.unpack("=Q", done.stdout)[0]
    return flags


def _hold_all(oracle: Oracle, counters: Callable[[], Counters]) -> None:
    """Hold all that is free in the cache, and a refill more."""
    oracle.hold(counters().cache["Free"] + PMD_PAGES, 0, "unmapped")


def _none_of(pfns: Sequence[int], oracle: Oracle) -> tuple[bool, str]:
    """Return whether none of `pfns` is held, and which are."""
    held = {page.pfn for page in oracle.held()}
    found = [pfn for pfn in pfns if pfn in held]
    return not found, some(found)


def _check_after_shrinking(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, bad: Sequence[int]
) -> None:
    """Have the cache give back all it has: the poisoned pages must not be among it."""
    shrink(guest, 1 << 20)
    judge.absent("after shrinking", oracle.frames(bad))
    free = [pfn for pfn in bad if _flags(guest, pfn) >> KPF_BUDDY & 1]
    checks.check("not given to the page allocator", not free, some(free))
