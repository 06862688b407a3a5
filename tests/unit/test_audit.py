# SPDX-License-Identifier: GPL-2.0-or-later
from dataclasses import replace
from typing import cast

import pytest

from harness.measure.directmap import GIB_1, MIB_2, Leaf, OutsideView
from harness.testing.audit import Auditor, CacheState, faults, make_state, mapped_pages
from harness.testing.checks import Checks
from harness.testing.counters import Counters

BASE = 0xFFFF_8880_0000_0000
# 512 pages came in, 5 are in use.
FIRST = CacheState(
    free=507,
    cached=512,
    released=0,
    dumped=10_000,
    outside=20_000,
    vmstat_pages=512,
    vmstat_free=507,
    free_memory=9_000,
)


def wrong(now: CacheState, used: int) -> list[str]:
    return [name for name, fault in faults(FIRST, now, used).items() if fault]


def test_pages_are_counted_by_the_size_of_their_mappings() -> None:
    assert mapped_pages({"4K": 3, "2M": 2, "1G": 1}) == 3 + 2 * 512 + 262_144
    assert mapped_pages({}) == 0


def test_the_state_is_made_of_what_the_kernel_says_and_what_is_seen() -> None:
    counters = Counters(
        vmstat={"nr_free_pages": 77, "nr_unmapped_pages": 9, "nr_unmapped_free": 4},
        leaves={"4K": 1, "2M": 1, "1G": 0},
        cache={"Free": 4, "Cached": 12, "Released": 3},
    )
    view = OutsideView(
        [
            Leaf(BASE, 0, GIB_1, True, False, False),
            Leaf(BASE + GIB_1, GIB_1, MIB_2, True, False, False),
        ]
    )
    state = make_state(counters, view)
    assert state == CacheState(4, 12, 3, 513, 262_144 + 512, 9, 4, 77)
    assert state.belonging == 9
    assert state.used == 5


def test_a_kernel_without_these_counters_in_vmstat_is_not_asked_for_them() -> None:
    counters = Counters(vmstat={"nr_free_pages": 1}, cache={"Free": 0, "Cached": 0, "Released": 0})
    state = make_state(counters, OutsideView([Leaf(BASE, 0, GIB_1, True, False, False)]))
    assert state.vmstat_pages is None
    assert not any("nr_" in name for name in faults(state, state, 0))


def test_nothing_is_wrong_where_nothing_happened() -> None:
    assert wrong(FIRST, 0) == []


def test_pages_held_of_what_was_cached_are_used_and_no_longer_free() -> None:
    now = replace(FIRST, free=407, vmstat_free=407)
    assert wrong(now, 100) == []
    assert wrong(now, 99) == ["Free + used = Cached - Released"]


def test_a_refill_is_missing_from_the_direct_map() -> None:
    now = replace(
        FIRST,
        free=1019,
        cached=1024,
        dumped=9_488,
        outside=19_488,
        vmstat_pages=1024,
        vmstat_free=1019,
    )
    assert wrong(now, 0) == []


def test_foreign_pages_in_the_cache_show() -> None:
    assert wrong(replace(FIRST, free=510, vmstat_free=510), 0) == [
        "Free + used = Cached - Released"
    ]


def test_pages_given_back_that_stay_absent_show_from_both_sides() -> None:
    now = replace(FIRST, free=0, released=507, vmstat_pages=5, vmstat_free=0)
    assert wrong(now, 0) == [
        "as much is missing from page_tables",
        "as much is missing from outside",
    ]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"dumped": 9_999}, "as much is missing from page_tables"),
        ({"outside": 19_999}, "as much is missing from outside"),
        ({"vmstat_pages": 511}, "nr_unmapped_pages agrees"),
        ({"vmstat_free": 0}, "nr_unmapped_free agrees"),
    ],
)
def test_each_number_has_a_check_of_its_own(change: dict[str, int], name: str) -> None:
    assert wrong(replace(FIRST, **change), 0) == [name]


def test_a_fault_says_what_was_due() -> None:
    found = faults(FIRST, replace(FIRST, free=500), 0)["Free + used = Cached - Released"]
    assert found == "Free 500 + used 5: 505 pages where 512 are due"


class Found:
    """What a check said, by its name, in place of pytest's subtests."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def check(self, name: str, ok: bool, _reason: str = "") -> None:
        if not ok:
            self.wrong.append(name)


@pytest.mark.parametrize(
    ("readings", "wrong_at_last"),
    [
        ([FIRST], []),
        ([replace(FIRST, vmstat_free=508), FIRST], []),
        ([replace(FIRST, vmstat_free=508)] * 2, ["step: account: nr_unmapped_free agrees"]),
    ],
)
def test_only_what_stays_wrong_is_wrong(
    readings: list[CacheState], wrong_at_last: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The readings are made up: when a kernel gives pages back can't be chosen."""
    states = iter([FIRST, *readings])
    monkeypatch.setattr(Auditor, "read", lambda _self: next(states))
    found = Found()
    auditor = Auditor(None, cast(Checks, found), None, None)  # type: ignore[arg-type]
    assert auditor.check("step", 0) == readings[-1]
    assert found.wrong == wrong_at_last
    assert next(states, None) is None
