# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.testing.keeper import Demand, GuestKind
from harness.testing.units import Claims, Wanted, longest_first, seconds_of, split_units

USUAL = Demand(GuestKind("q35-4g"))
CLEAN = Demand(GuestKind("q35-4g"), clean=True, restored=True)
SMP = Demand(GuestKind("smp-4"))
ZEROED = Demand(GuestKind("q35-4g", ("init_on_alloc=1",)))


def test_one_area_and_one_kind_of_guest_are_a_unit() -> None:
    tests = [
        Wanted("a/U0-x", USUAL),
        Wanted("a/U1-x", SMP),
        Wanted("a/U2-x", USUAL),
        Wanted("a/U3-x", ZEROED),
        Wanted("b/M1-x", USUAL),
        Wanted("b/M2-x", USUAL),
    ]
    units = split_units(tests)
    assert units == [["a/U0-x", "a/U2-x"], ["a/U1-x"], ["a/U3-x"], ["b/M1-x", "b/M2-x"]]


def test_a_clean_testcase_is_alone() -> None:
    tests = [Wanted("a/U0-x", USUAL), Wanted("a/U1-x", CLEAN), Wanted("a/U2-x", CLEAN)]
    assert split_units(tests) == [["a/U0-x"], ["a/U1-x"], ["a/U2-x"]]


def test_a_long_unit_is_cut() -> None:
    tests = [Wanted(f"a/U{number}-x", USUAL) for number in range(5)]
    assert [len(unit) for unit in split_units(tests, most=2)] == [2, 2, 1]


DEMANDS = st.sampled_from([USUAL, CLEAN, SMP, ZEROED])


@given(st.lists(st.tuples(st.sampled_from("ab"), DEMANDS), max_size=40))
def test_every_testcase_is_in_one_unit_in_order(made: list[tuple[str, Demand]]) -> None:
    tests = [Wanted(f"{area}/U{n}-x", demand) for n, (area, demand) in enumerate(made)]
    units = split_units(tests)
    assert sorted(test for unit in units for test in unit) == sorted(each.test for each in tests)
    order = {each.test: number for number, each in enumerate(tests)}
    assert all(unit == sorted(unit, key=order.__getitem__) for unit in units)


def test_the_longest_unit_begins() -> None:
    known = {"a/U0-x": 1.0, "a/U1-x": 20.0, "b/M1-x": 1.0}
    units = [["a/U0-x"], ["b/M1-x", "b/M2-x"], ["a/U1-x"]]
    assert longest_first(units, known) == [["a/U1-x"], ["b/M1-x", "b/M2-x"], ["a/U0-x"]]
    assert seconds_of(["a/U1-x"], known) > 20.0


def test_a_unit_is_taken_once_whoever_asks(tmp_path: Path) -> None:
    claims = [Claims(tmp_path / "claims") for _ in range(8)]
    for each in claims:
        each.announce([2.0] * 50)
    with ThreadPoolExecutor(8) as pool:
        taken = [*pool.map(lambda each: [n for n in range(50) if each.take(n)], claims)]
    assert sorted(number for numbers in taken for number in numbers) == list(range(50))
    assert claims[0].left() == []


def test_what_is_left_is_known_once_somebody_has_looked(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "claims")
    assert claims.left() is None
    claims.announce([5.0, 3.0, 1.0])
    assert claims.take(1)
    assert claims.left() == [5.0, 1.0]
