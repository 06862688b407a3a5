# SPDX-License-Identifier: GPL-2.0-or-later
"""Judging memory that has an address of its own, as modules have, and its frames' other one."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measure.directmap import KIB_4, OutsideView
from harness.testing.checks import Checks
from harness.testing.judging import Judge
from harness.testing.oracle import Page


def check_own(
    checks: Checks,
    name: str,
    pages: Sequence[Page],
    view: OutsideView,
    *,
    writable: bool,
    executable: bool,
) -> None:
    """Record whether `pages`, at their own addresses, allow just that, within and from outside."""
    allowed = (writable, executable)
    within = [(page.writable, page.executable) for page in pages if page.present]
    _allowed(checks, f"{name}: by lookup_address", within, allowed, len(pages))
    leaves = [view.leaf_at(page.address) for page in pages]
    without = [(leaf.writable, leaf.executable) for leaf in leaves if leaf]
    _allowed(checks, f"{name}: from outside", without, allowed, len(pages))
    # A section's first symbol need not begin its page: functions may have padding in front.
    frames = [
        leaf.physical + (page.address & -KIB_4) - leaf.virtual if leaf else None
        for leaf, page in zip(leaves, pages, strict=True)
    ]
    same = within == without and frames == [page.physical for page in pages]
    checks.check(f"{name}: oracles agree", same, f"{within} within, {without} from outside")


def _allowed(
    checks: Checks,
    name: str,
    seen: Sequence[tuple[bool, bool]],
    allowed: tuple[bool, bool],
    pages: int,
) -> None:
    good = pages > 0 and list(seen) == [allowed] * pages
    reason = f"(write, execute) of {pages} pages: {list(seen)[:8]}, expected {allowed}"
    checks.check(name, good, reason)


def check_alias(
    judge: Judge, view: OutsideView, name: str, alias: Sequence[Page], *, writable: bool
) -> None:
    """Record whether frames are in the direct map (`alias`: their pages there) as they should be.

    Writable or not, there and wherever else `view` has them; never executable there.
    """
    judge.present(name, alias, view=view)
    word = "writable" if writable else "read-only"
    within = [page.pfn for page in alias if page.writable is not writable]
    judge.frames(f"{name}: alias {word} by lookup_address", alias, within)
    leaves = {page.pfn: view.mappings_of(page.physical) for page in alias}
    wrong = [
        pfn
        for pfn, found in leaves.items()
        if (direct := view.direct_map_leaf(pfn)) is None
        or direct.writable is not writable
        or any(leaf.writable is not writable for leaf in found)
    ]
    judge.frames(f"{name}: every alias {word} from outside", alias, wrong)
    executable = [
        pfn for pfn in leaves if (direct := view.direct_map_leaf(pfn)) and direct.executable
    ]
    judge.frames(f"{name}: alias never executable", alias, executable)


def check_no_alias(
    judge: Judge, view: OutsideView, name: str, pages: Sequence[Page], alias: Sequence[Page]
) -> None:
    """Record whether `pages`, at their own addresses, are all that maps their frames.

    `alias` are the frames' pages in the direct map, where they should be absent.
    """
    present = [page.pfn for page in alias if page.present]
    readable = [page.pfn for page in alias if page.readable]
    other = [
        page.pfn
        for page in pages
        if [leaf.virtual for leaf in view.mappings_of(page.physical)] != [page.address & -KIB_4]
    ]
    judge.frames(f"{name}: absent by lookup_address", alias, present)
    judge.frames(f"{name}: absent by a read", alias, readable)
    judge.frames(f"{name}: mapped by its owner alone, from outside", pages, other)
    judge.agree(name, alias, view)


def check_given_back(
    judge: Judge,
    checks: Checks,
    view: OutsideView,
    name: str,
    frames: Sequence[Page],
    free: int | None,
) -> None:
    """Record whether `frames` (in the direct map), which somebody gave back, are ordinary again.

    That is present, writable and not executable, as any page may be handed out next. With a cache
    (`free`: the pages that it has free now; None without one) some may be absent instead: then
    nothing maps them, and the cache has room for them.
    """
    view_of = {page.pfn: view.mappings_of(page.physical) for page in frames}
    there = [page for page in frames if page.present]
    if free is None:
        judge.present(name, frames, view=view)
    else:
        absent = [page.pfn for page in frames if not page.present]
        reason = f"{len(absent)} pages are absent, the cache has {free} free"
        checks.check(f"{name}: what is absent is free in the cache", len(absent) <= free, reason)
        judge.frames(
            f"{name}: nothing maps what is absent, from outside",
            frames,
            [pfn for pfn in absent if view_of[pfn]],
        )
        judge.agree(name, frames, view)
    wrong = [page.pfn for page in there if not page.writable or page.executable]
    judge.frames(f"{name}: what is present is writable and not executable", frames, wrong)
