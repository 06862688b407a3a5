# SPDX-License-Identifier: GPL-2.0-or-later
"""U12: who shares a pageblock with unmapped pages stays an ordinary page."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.audit import EVERYTHING, Auditor, hold_pieces, shrink
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge
from harness.testing.oracle import Oracle, Page, must
from harness.testing.testcase import testcase

PMD_ORDER = 9
BLOCK_PAGES = 1 << PMD_ORDER
# Blocks that are in use but for every second piece of 2^PIECE_ORDER pages.
FRAGMENTED = 96
PIECE_ORDER = 7
PIECES = 8 * BLOCK_PAGES
USED = 4
ORDINARY = 16 * BLOCK_PAGES
MOST_ORDINARY = 128 * BLOCK_PAGES
DMA32_PAGES = 1 << 20
UNMAPPED = BLOCK_PAGES
FILE_MIB = 32


@testcase("U12-neighbour", needs_feature=True, config=["DEBUG_FS"], clean=True)
def test_neighbour(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, pages that never left the direct map would be handed out as unmapped ones.

    On fragmented memory the cache gets pieces of pageblocks whose other pages are in use. Those
    stay mapped, in use and once freed, for whoever uses them next, and never get into the cache.
    """
    free = counters().cache["Free"]
    if free:
        oracle.hold(free, 0, "unmapped")
    oracle.control(f"fragment {FRAGMENTED} {PIECE_ORDER}")
    auditor = Auditor(guest, checks, counters, outside)
    refills = hold_pieces(guest, oracle, PMD_ORDER)
    checks.check(
        "pieces of blocks are taken", min(refills, default=PMD_ORDER) < PMD_ORDER, f"{refills}"
    )
    # The first pieces may be of other blocks, where ordinary pages of this kind never come from.
    oracle.hold(PIECES, 0, "unmapped")
    used = oracle.held()[free:]
    auditor.check("pieces of blocks taken", len(used))
    judge.absent("in use", used)
    taken = auditor.first.used + counters().cache["Free"]
    _check_neighbours(checks, oracle, judge, used, taken)
    oracle.control("gather")
    now = auditor.check("neighbours freed", len(used))
    _check_ordinary_users(guest, checks, oracle, judge, auditor, used)
    _check_unmapped_users(oracle, judge, auditor, len(used), now.free)


@testcase(
    "U12-neighbour-after-shrinker",
    needs_feature=True,
    config=["DEBUG_FS", "SHRINKER_DEBUG"],
    clean=True,
)
def test_neighbour_after_shrinker(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, memory that the cache gave back would come to it again, still mapped.

    The shrinker gives back what is free around pages in use. It is ordinary memory from then on,
    and the pages in use stay absent.
    """
    auditor = Auditor(guest, checks, counters, outside)
    oracle.hold(USED, 0, "unmapped")
    used = oracle.held()
    shrink(guest, EVERYTHING)
    now = auditor.check("the rest given back", USED)
    judge.absent("in use", used)
    _check_neighbours(checks, oracle, judge, used, auditor.first.used + now.free)
    _check_ordinary_users(guest, checks, oracle, judge, auditor, used)
    _check_unmapped_users(oracle, judge, auditor, USED, now.free)


def _blocks(pages: list[Page]) -> set[int]:
    return {page.pfn // BLOCK_PAGES for page in pages}


def _check_neighbours(
    checks: Checks, oracle: Oracle, judge: Judge, used: list[Page], taken: int
) -> None:
    """Record whether what shares a block with `used` is mapped.

    But for `taken` pages: what is free in the cache, and what others use of it.
    """
    mine = {page.pfn for page in used}
    frames = [
        block * BLOCK_PAGES + number
        for block in sorted(_blocks(used))
        for number in range(BLOCK_PAGES)
    ]
    others = [page for page in oracle.frames(frames) if page.pfn not in mine]
    absent = sum(not page.present for page in others)
    reason = f"{absent} pages are absent, the cache has {taken}"
    checks.check("neighbours are mapped, but for the cache's", absent <= taken, reason)
    judge.present("neighbours", [page for page in others if page.present])


def _check_ordinary_users(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    auditor: Auditor,
    used: list[Page],
) -> None:
    """Allocate and free ordinary memory in several ways, of the same blocks, too."""
    held = len(oracle.held())
    pages: list[Page] = []
    # Free memory of the zone above would go first.
    zone = ("dma32",) if any(page.pfn < DMA32_PAGES for page in used) else ()
    # So do small pieces, and there may be many of them elsewhere.
    while _blocks(pages).isdisjoint(_blocks(used)) and len(pages) < MOST_ORDINARY:
        oracle.hold(ORDINARY, 0, *zone)
        pages = oracle.held()[held:]
    shared = not _blocks(pages).isdisjoint(_blocks(used))
    checks.check("ordinary pages come from the same blocks", shared, "none does")
    judge.present("ordinary pages", pages)
    auditor.check("ordinary pages held", len(used))
    oracle.control(f"drop {held} {len(pages)}")
    auditor.check("ordinary pages freed", len(used))
    # Pages of a file are freed in batches, on a way of their own.
    must(guest, f"dd if=/dev/zero of=/tmp/pages bs=1M count={FILE_MIB} && rm /tmp/pages")
    auditor.check("a file's pages freed", len(used))
    judge.absent("still in use", oracle.frames(page.pfn for page in used))


def _check_unmapped_users(
    oracle: Oracle, judge: Judge, auditor: Auditor, used: int, free: int
) -> None:
    """Take all that is free in the cache, and more: whatever got into it shows."""
    held = len(oracle.held())
    oracle.hold(free + UNMAPPED, 0, "unmapped")
    judge.absent("unmapped pages again", oracle.held()[held:])
    auditor.check("unmapped pages again", used + free + UNMAPPED)
