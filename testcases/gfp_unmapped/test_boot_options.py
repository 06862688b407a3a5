# SPDX-License-Identifier: GPL-2.0-or-later
"""U14: boot parameters that have the page allocator touch pages as they come and go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.contents import (
    PMD_ORDER,
    PMD_PAGES,
    SECRET,
    WORD,
    ZERO,
    check_gone,
    check_zero,
    make_memory_dirty,
    shrink,
)
from harness.testing.counters import Counters
from harness.testing.judging import Judge, full_of, outside_contents, some
from harness.testing.oracle import Oracle, must
from harness.testing.testcase import testcase

# include/linux/poison.h, PAGE_POISON
POISON = bytes([0xAA] * 8)
BLOCKS = 128
# Boot clears, poisons or unmaps all memory then, which takes half a minute for 4 GiB.
MACHINE = "q35-1g"
CONFIG = ["DEBUG_FS", "SHRINKER_DEBUG"]
# mm/page_poison.c: a free page is not as it was left.
COMPLAINT = "pagealloc: "


@dataclass(frozen=True)
class Life:
    """One life of unmapped pages: handed out, used, freed, handed out again, given back."""

    guest: Guest
    checks: Checks
    oracle: Oracle
    judge: Judge
    counters: Callable[[], Counters]

    def live(self, *words: str) -> list[int]:
        """Refill, use and free; return the frames, which are free in the cache then.

        `words` are those of `Oracle.hold` that make pages zero; where the option does, none.
        """
        oracle, guest, checks = self.oracle, self.guest, self.checks
        free = self.counters().cache["Free"]
        if free:
            oracle.hold(free, 0, "unmapped")
        oracle.hold(PMD_PAGES, 0, "unmapped", *words)
        pages = oracle.held()[free:]
        fresh = [page.pfn for page in pages]
        self.judge.absent("handed out", pages)
        check_zero(guest, checks, oracle, "on alloc", fresh)

        oracle.control(f"fill {WORD:#x}")
        used = full_of(outside_contents(guest, fresh), SECRET)
        reason = f"{len(used)} of {len(fresh)} pages hold what was written"
        checks.check("pages hold what is written: from outside", len(used) == len(fresh), reason)
        oracle.control("release")
        check_gone(guest, checks, "once free in the cache", fresh)

        oracle.hold(free + PMD_PAGES, 0, "unmapped", *words)
        again = [page.pfn for page in oracle.held() if page.pfn in set(fresh)]
        checks.check("pages are used again", bool(again), "other frames were handed out")
        check_zero(guest, checks, oracle, "on reuse", again)
        oracle.control(f"fill {WORD:#x}", "release")
        return fresh

    def give_back(self, frames: list[int], content: bytes | None) -> None:
        """Empty the cache; `content` fills each page of `frames` that is free memory then.

        None where the page allocator leaves them as they are. Some are used as ordinary memory.
        """
        oracle, guest, checks = self.oracle, self.guest, self.checks
        shrink(guest, 1 << 20)
        left = self.counters().cache["Free"]
        checks.check("the cache gave everything back", left == 0, f"{left} pages are free in it")
        check_gone(guest, checks, "after release", frames)
        if content is not None:
            # What took memory since may have taken some of it.
            full = len(full_of(outside_contents(guest, frames), content))
            reason = f"{full} of {len(frames)} frames"
            checks.check("free memory is as the option leaves it", full > len(frames) // 2, reason)
        oracle.hold(BLOCKS, PMD_ORDER)
        oracle.control(f"fill {WORD:#x}")
        back = [page for page in oracle.held() if page.pfn in set(frames)]
        self.judge.present("ordinary memory again", back)
        found = set(full_of(outside_contents(guest, (page.pfn for page in back)), SECRET))
        wrong = [page.pfn for page in back if page.pfn not in found]
        checks.check("ordinary memory again: holds what is written", not wrong, some(wrong))
        oracle.control("release")
        said = must(guest, f"dmesg | grep '{COMPLAINT}' || true")
        checks.check("no page was touched while it was free", not said, said[:200])


@testcase("U14-init-on-alloc", needs_feature=True, config=CONFIG, kernel_args=("init_on_alloc=1",))
def test_init_on_alloc(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, counters: Callable[[], Counters]
) -> None:
    """If this failed, init_on_alloc=1 would fault on unmapped pages, or not clear them.

    They are clear without having been asked for so, as ordinary ones are.
    """
    dirty = make_memory_dirty(oracle)
    oracle.hold(BLOCKS, PMD_ORDER)
    again = [page.pfn for page in oracle.held() if page.pfn in dirty]
    left = len(again) - len(full_of(outside_contents(guest, again), ZERO))
    checks.check("the option works", bool(again) and not left, f"{left} of {len(again)} are dirty")
    oracle.control("release")
    life = Life(guest, checks, oracle, judge, counters)
    life.give_back(life.live(), None)


@testcase(
    "U14-init-on-free",
    needs_feature=True,
    config=CONFIG,
    machine=MACHINE,
    kernel_args=("init_on_free=1",),
)
def test_init_on_free(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, counters: Callable[[], Counters]
) -> None:
    """If this failed, init_on_free=1 would fault on unmapped pages, or not clear them."""
    dirty = make_memory_dirty(oracle)
    check_gone(guest, checks, "once ordinary memory is free", sorted(dirty))
    life = Life(guest, checks, oracle, judge, counters)
    life.give_back(life.live("zero"), ZERO)


@testcase(
    "U14-page-poison",
    needs_feature=True,
    config=[*CONFIG, "PAGE_POISONING"],
    profile="debug",
    machine=MACHINE,
    kernel_args=("page_poison=1",),
)
def test_page_poison(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, counters: Callable[[], Counters]
) -> None:
    """If this failed, page_poison=1 would fault on unmapped pages, or find its pattern broken."""
    dirty = make_memory_dirty(oracle)
    full = len(full_of(outside_contents(guest, dirty), POISON))
    checks.check("the option works", full > len(dirty) // 2, f"{full} of {len(dirty)} poisoned")
    life = Life(guest, checks, oracle, judge, counters)
    life.give_back(life.live("zero"), POISON)


@testcase(
    "U14-debug-pagealloc",
    needs_feature=True,
    config=[*CONFIG, "DEBUG_PAGEALLOC"],
    profile="debug",
    machine=MACHINE,
    kernel_args=("debug_pagealloc=on",),
)
def test_debug_pagealloc(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, counters: Callable[[], Counters]
) -> None:
    """If this failed, debug_pagealloc=on, which unmaps free pages itself, would map ours, or fault.

    The whole direct map is 4K then, and a page that the cache gives back becomes absent as free
    memory, and present when somebody takes it.
    """
    dirty = make_memory_dirty(oracle)
    absent = sum(not page.present for page in oracle.frames(dirty))
    checks.check("the option works", absent > len(dirty) // 2, f"{absent} of {len(dirty)} absent")
    life = Life(guest, checks, oracle, judge, counters)
    life.give_back(life.live("zero"), None)


@testcase(
    "U14-page-owner",
    needs_feature=True,
    config=[*CONFIG, "PAGE_OWNER"],
    profile="debug",
    machine=MACHINE,
    kernel_args=("page_owner=on",),
)
def test_page_owner(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, counters: Callable[[], Counters]
) -> None:
    """If this failed, page_owner=on would count pages that come from the cache, or go to it, twice.

    From 6.8 on it counts for each stack how many pages it has (page_owner_stacks), and warns where
    more are freed than were allocated.
    """
    owned = must(guest, "head -c 4096 /sys/kernel/debug/page_owner")
    checks.check("the option works", "Page allocated via order" in owned, "no page has an owner")
    life = Life(guest, checks, oracle, judge, counters)
    life.give_back(life.live("zero"), None)
