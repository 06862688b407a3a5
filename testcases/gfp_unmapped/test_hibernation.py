# SPDX-License-Identifier: GPL-2.0-or-later
"""U16: what hibernation does with the pages of the cache."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge, some
from harness.testing.oracle import Oracle, must
from harness.testing.testcase import testcase

PAGES = 64
WORD = 0x5EC2_E75E_C2E7_5EC3


@testcase(
    "U16-hibernation",
    needs_feature=True,
    config=["DEBUG_FS", "HIBERNATION_SNAPSHOT_DEV"],
    machine="q35-1g",
    profile="hibernate",
)
def test_hibernation(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, counters: Callable[[], Counters]
) -> None:
    """If this failed, hibernation would save free pages of the cache, lose used ones, or map them.

    An image is made in memory, read and thrown away; no disk takes part.
    """
    free = counters().cache["Free"]
    oracle.hold(free + PAGES, 0, "unmapped", "zero")
    cached = [page.pfn for page in oracle.held()]
    oracle.control("release")
    oracle.hold(PAGES, 0, "unmapped", "zero")
    oracle.control(f"fill {WORD:#x}")
    used = [page.pfn for page in oracle.held()]
    still_free = sorted(set(cached) - set(used))
    saved = parse_image(must(guest, "hibernation_image", timeout=120))

    lost = [pfn for pfn in used if pfn not in saved]
    checks.check("pages in use are saved", not lost, some(lost))
    wrong = [pfn for pfn in used if saved.get(pfn) != WORD]
    checks.check("pages in use are saved with their contents", not wrong, some(wrong))
    needless = [pfn for pfn in still_free if pfn in saved]
    checks.check("free pages are not saved", bool(still_free) and not needless, some(needless))
    judge.absent("pages in use, afterwards", oracle.held())
    judge.absent("free pages, afterwards", oracle.frames(still_free))


def parse_image(text: str) -> dict[int, int]:
    """Return the first word of each saved page by its frame, from what the program printed."""
    pairs = (line.split() for line in text.splitlines())
    return {int(frame, 16): int(word, 16) for frame, word in pairs}
