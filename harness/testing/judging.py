# SPDX-License-Identifier: GPL-2.0-or-later
"""Judging pages by all oracles at once, each a check of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.measure.directmap import PAGE_SHIFT, OutsideView
from harness.measure.presence import disagreement, seen_outside
from harness.testing.oracle import PAGE_SIZE, Page, runs

if TYPE_CHECKING:
    from harness.guest.guest import Guest
    from harness.testing.checks import Checks


class Judge:
    """Judges whether pages are in the direct map.

    From outside, an absent page must not be mapped anywhere in the kernel's half of the page
    table. That the oracles agree is one more check.
    """

    def __init__(self, checks: Checks, outside: Callable[[], OutsideView]) -> None:
        self._checks = checks
        self._outside = outside

    def absent(self, name: str, pages: Sequence[Page], *, view: OutsideView | None = None) -> None:
        """Record whether none of `pages` is mapped; `view` is taken now unless given."""
        view = view or self._outside()
        seen = [page.pfn for page in pages if view.mappings_of(page.physical)]
        self._record(name, "absent", pages, view, seen)

    def present(self, name: str, pages: Sequence[Page], *, view: OutsideView | None = None) -> None:
        """Record whether all `pages` are in the direct map; `view` is taken now unless given."""
        view = view or self._outside()
        unseen = [page.pfn for page in pages if not view.in_direct_map(page.pfn)]
        self._record(name, "present", pages, view, unseen)

    def agree(self, name: str, pages: Sequence[Page], view: OutsideView) -> None:
        """Record whether the oracles say the same of `pages` at their places in the direct map."""
        words = (disagreement([*page.said(), seen_outside(view, page.pfn)]) for page in pages)
        differ = [word for word in words if word]
        self._checks.check(f"{name}: oracles agree", not differ, "; ".join(differ[:4]))

    def _record(
        self, name: str, word: str, pages: Sequence[Page], view: OutsideView, wrong: Sequence[int]
    ) -> None:
        expected = word == "present"
        walk = [page.pfn for page in pages if page.present is not expected]
        read = [page.pfn for page in pages if page.readable is not expected]
        self.frames(f"{name}: {word} by lookup_address", pages, walk)
        self.frames(f"{name}: {word} by a read", pages, read)
        self.frames(f"{name}: {word} from outside", pages, wrong)
        self.agree(name, pages, view)

    def frames(self, check: str, pages: Sequence[object], wrong: Sequence[int]) -> None:
        """Record `check`: it passes where there are pages and no frame of them is `wrong`."""
        reason = some(wrong) if pages else "there is no page to look at"
        self._checks.check(check, bool(pages) and not wrong, reason)


def outside_contents(guest: Guest, pfns: Iterable[int]) -> dict[int, bytes]:
    """Return what frames `pfns` contain, read by QEMU from the guest's memory."""
    pages: dict[int, bytes] = {}
    for run in runs(pfns):
        memory = guest.physical_memory(run.start << PAGE_SHIFT, len(run) * PAGE_SIZE)
        for number, pfn in enumerate(run):
            pages[pfn] = memory[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]
    return pages


def some(pfns: Sequence[int]) -> str:
    """Return a few of the frames that are not as they should be, for a reason."""
    shown = ", ".join(f"{pfn:#x}" for pfn in pfns[:4])
    return f"{len(pfns)} frames: {shown}{', ...' if len(pfns) > 4 else ''}"


def full_of(pages: Mapping[int, bytes], content: bytes) -> list[int]:
    """Return the frames in `pages` that hold nothing but `content`, repeated."""
    full = content * (PAGE_SIZE // len(content))
    return [pfn for pfn, page in pages.items() if page == full]


def holding(pages: Mapping[int, bytes], secret: bytes) -> list[int]:
    """Return the frames in `pages` that hold `secret` anywhere."""
    return [pfn for pfn, page in pages.items() if secret in page]
