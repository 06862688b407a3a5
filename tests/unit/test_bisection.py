# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.bisection import (
    Decision,
    Side,
    choose,
    decide,
    metric_of,
    steps_left,
    tell_apart,
    wrong_at_most,
)
from harness.measure.metric import Better, Metric, MetricClass, Smallest
from harness.measure.verdicts import Verdict
from harness.measure.workload import load_workload
from harness.paths import TESTCASES

WORLDS = range(1, 9)
NOISE = (0.0, 3, 1, -2, 2, -1, 0, 1)
SPLITS = Metric(
    name="level2_splits",
    source="vmstat.direct_map_level2_splits",
    better=Better.LESS,
    smallest=Smallest(absolute=2, relative=0.1),
)


def flat(value: float, worlds: int = 8) -> dict[int, float]:
    return dict.fromkeys(range(1, worlds + 1), value)


def noisy(value: float, shift: int = 0, scale: float = 1.0) -> dict[int, float]:
    return {world: value + scale * NOISE[(world + shift) % 8] for world in WORLDS}


def test_what_is_as_an_end_in_every_world_is_exactly_so() -> None:
    good, bad = noisy(1000), noisy(3, 1)
    for found, side in ((good, Side.GOOD), (bad, Side.BAD)):
        decision = decide(good, bad, found)
        assert (decision.side, decision.wrong, decision.exact) == (side, 0.0, True)
        assert "in all 8 worlds" in decision.reason


def test_where_nothing_varies_the_nearer_end_is_it_exactly() -> None:
    near = decide(flat(1000), flat(3), flat(990))
    assert (near.side, near.exact, near.value) == (Side.GOOD, True, 990)
    assert decide(flat(1000), flat(3), flat(20)).side is Side.BAD
    assert decide(flat(3), flat(1000), flat(990)).side is Side.BAD


def test_the_middle_is_neither() -> None:
    decision = decide(flat(10), flat(20), flat(15))
    assert decision.side is Side.SKIP
    assert decision.needed > 8


def test_what_is_noisy_says_how_sure_it_is() -> None:
    """All 8 worlds are on one side: of the 256 ways to flip their signs, 2 are as extreme."""
    decision = decide(noisy(100), noisy(200, 1), noisy(104, 3))
    assert decision.side is Side.GOOD
    assert decision.wrong == pytest.approx(2 / 256)
    assert not decision.exact
    assert "p = 0.0078" in decision.reason
    assert decide(noisy(100), noisy(200, 1), noisy(190, 3)).side is Side.BAD


def test_what_may_be_chance_is_not_decided_and_says_what_it_would_take() -> None:
    good, bad = noisy(100, scale=30), noisy(200, 1, scale=30)
    found = noisy(160, 3, scale=40)
    decision = decide(good, bad, found)
    assert decision.side is Side.SKIP
    assert decision.needed > 8
    assert not decision.exact


def test_too_few_worlds_decide_nothing() -> None:
    for worlds in (1, 2):
        few = dict.fromkeys(range(1, worlds + 1), 1000.0)
        assert decide(flat(1000), flat(3), few).side is Side.SKIP
    assert decide(flat(1000), flat(3), {}).worlds == 0
    assert decide(flat(1000), flat(3), {99: 1000.0}).side is Side.SKIP
    assert decide(flat(1000), flat(3), flat(1000, 3)).exact


def test_worlds_that_were_lost_do_not_count() -> None:
    found = {world: value for world, value in noisy(1000).items() if world > 2}
    decision = decide(noisy(1000), noisy(3, 1), found)
    assert (decision.side, decision.worlds) == (Side.GOOD, 6)


VALUES = st.lists(st.integers(-1000, 1000), min_size=8, max_size=8)


@given(VALUES, VALUES, VALUES)
def test_a_decision_never_contradicts_the_nearer_end(
    good: list[int], bad: list[int], found: list[int]
) -> None:
    """And mirrored values give the mirrored answer."""
    arms = [
        {world: float(value) for world, value in enumerate(values)} for values in (good, bad, found)
    ]
    decision = decide(arms[0], arms[1], arms[2])
    assert 0 <= decision.wrong <= 0.05
    other = decide(arms[1], arms[0], arms[2])
    if sum(good) != sum(bad) and decision.side is not Side.SKIP:
        assert {decision.side, other.side} == {Side.GOOD, Side.BAD}
    towards, moved = sum(bad) - sum(good), 2 * sum(found) - sum(good) - sum(bad)
    if not decision.exact and decision.side is not Side.SKIP:
        assert (decision.side is Side.BAD) == (towards * moved > 0)


def test_ends_are_told_apart_as_a_comparison_does_it() -> None:
    assert tell_apart(SPLITS, noisy(1000), noisy(3, 1), 0)[1].verdict is Verdict.IMPROVED
    assert tell_apart(SPLITS, noisy(3), noisy(1000, 1), 0)[1].verdict is Verdict.REGRESSED
    assert not tell_apart(SPLITS, noisy(100), noisy(101, 1), 0)[1].verdict.differs
    # 3 worlds in which nothing varies are enough, 3 in which something does are not.
    assert tell_apart(SPLITS, flat(1000, 3), flat(3, 3), 0)[1].verdict is Verdict.IMPROVED
    three = ({1: 1000.0, 2: 1001.0, 3: 999.0}, {1: 3.0, 2: 4.0, 3: 3.0})
    assert tell_apart(SPLITS, *three, 0)[1].verdict is Verdict.INCONCLUSIVE
    exact = SPLITS.model_copy(update={"kind": MetricClass.EXACT})
    assert tell_apart(exact, noisy(1000), noisy(3, 1), 0)[1].verdict is Verdict.IMPROVED


CHAIN = [("c", 3), ("b", 2), ("d", 2), ("a", 1), ("e", 1), ("bad", 0)]


def test_the_best_is_asked_first_and_neighbours_of_what_was_skipped_later() -> None:
    assert choose(CHAIN, "bad", set()) == "c"
    assert choose(CHAIN, "bad", {"c"}) == "b"
    assert choose(CHAIN, "bad", {"c", "b"}) == "a"
    assert choose(CHAIN, "bad", {"c", "b", "a"}) == "e"
    assert choose(CHAIN, "bad", {"a", "b", "c", "d", "e"}) is None
    assert choose([("bad", 0)], "bad", set()) is None


@given(st.integers(1, 200), st.sets(st.integers(0, 200)))
def test_what_is_asked_was_not_asked_before(commits: int, skipped: set[int]) -> None:
    chain = [(str(place), 0) for place in range(commits)]
    names = {str(place) for place in skipped}
    chosen = choose(chain, "0", names)
    left = {commit for commit, _ in chain} - names - {"0"}
    assert chosen in left if left else chosen is None


def test_doubts_add_up() -> None:
    one = Decision(Side.GOOD, "", 8, wrong=0.02)
    assert wrong_at_most([one, one, Decision(Side.BAD, "", 8)]) == pytest.approx(0.04)
    assert wrong_at_most([one] * 99) == 1.0
    assert [steps_left(count) for count in (1, 2, 3, 4, 5, 9)] == [0, 1, 2, 2, 3, 4]


def test_a_metric_is_found_by_any_of_its_names() -> None:
    workload = load_workload("secretmem-idle", TESTCASES)
    declared = workload.metrics[0]
    for name in (declared.name, declared.source, declared.source.replace(":", ".")):
        assert metric_of(workload, name) == declared
    other = metric_of(workload, "end.vmstat.pgalloc_normal")
    assert (other.source, other.declared) == ("end:vmstat.pgalloc_normal", False)
    assert other.name == "end.vmstat.pgalloc_normal"
    assert metric_of(workload, "vmstat.pgfault").source == "vmstat.pgfault"
