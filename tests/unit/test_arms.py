# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.measure import arms as ours
from harness.measure import statistics
from harness.measure.arms import arms_of, paired_arms
from harness.measure.metric import Metric, MetricClass, Smallest
from harness.measure.statistics import Block
from harness.measure.verdicts import Question, assess, assess_all

WHOLE = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=20)
ANY = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


def paired(reference: list[float], new: list[float]) -> list[Block]:
    return [Block((a,), (b,)) for a, b in zip(reference, new, strict=True)]


@settings(max_examples=20)
@given(st.one_of(WHOLE, ANY), st.integers(0, 3))
def test_means_are_those_of_the_resamples_to_the_last_bit(values: list[float], seed: int) -> None:
    """If they were not, a report made again would differ from the first."""
    column = np.array(values)
    [found] = ours.resampled_means([column], seed)
    plain = column[statistics.resamples(len(values), seed)].mean(axis=1)
    assert found.tobytes() == plain.tobytes()


@settings(max_examples=20)
@given(st.one_of(WHOLE, ANY), st.integers(0, 3))
def test_medians_are_those_of_the_resamples_to_the_last_bit(values: list[float], seed: int) -> None:
    column = np.array(values)
    plain = np.median(column[statistics.resamples(len(values), seed)], axis=1)
    assert (ours.resampled_medians(column, seed) == plain).all()


def test_many_at_once_are_what_each_is_alone() -> None:
    generator = np.random.default_rng(3)
    lengths = [20] * 70 + [19] * 3 + [7, 1, 625]
    changes: list[NDArray[np.float64]]
    changes = [np.asarray(generator.poisson(3, one) - 3.0) for one in lengths]
    changes += [generator.normal(0, 1, 20)]
    blocks = [paired([0.0] * len(one), list(one)) for one in changes]
    assert ours.mean_intervals(changes, 5) == [
        statistics.bootstrap_interval(one, statistics.mean_difference, 5) for one in blocks
    ]
    assert ours.sign_flip_ps(changes, 5) == [statistics.permutation_p(one, 5) for one in blocks]
    pairs = [(one + 100, np.flip(one) + 90) for one in changes]
    assert ours.ratio_intervals(pairs, 5) == [
        statistics.bootstrap_interval(paired(list(a), list(b)), statistics.median_ratio, 5)
        for a, b in pairs
    ]


def test_nothing_in_an_arm_has_no_interval() -> None:
    nothing = np.array([])
    assert ours.mean_intervals([nothing]) == [None]
    assert ours.sign_flip_ps([nothing]) == [1.0]
    assert ours.ratio_intervals([(np.zeros(3), np.ones(3))]) == [None]


def test_rows_are_the_same_as_blocks() -> None:
    gap = float("nan")
    rows = paired_arms(np.array([1.0, gap, 3.0, 4.0]), np.array([2.0, 2.0, gap, 4.0]))
    blocks = arms_of([Block((1,), (2,)), Block((), (2,)), Block((3,), ()), Block((4,), (4,))])
    assert rows.changes.tolist() == blocks.changes.tolist() == [1.0, 0.0]
    assert (rows.lost, rows.any, rows.differing) == (blocks.lost, blocks.any, blocks.differing)
    assert (rows.lost, rows.any, rows.differing) == (2, True, 1)
    assert not paired_arms(np.array([gap]), np.array([gap])).any


def test_several_boots_in_a_block_stay_together() -> None:
    several = [Block((1.0, 2.0), (5.0, 6.0, 7.0)), Block((1.0,), (3.0,))]
    arms = arms_of(several)
    assert arms.changes.tolist() == [4.5, 2.0]
    assert [len(side) for side in arms.values()] == [3, 4]
    metric = Metric(name="m", source="m", smallest=Smallest(absolute=1))
    [found] = assess_all([Question(metric, MetricClass.COUNT, arms)], 1)
    assert found == assess(metric, several, [], 1)
    assert found.p == statistics.permutation_p(several, 1)
    assert found.delta == 1.0


@pytest.mark.parametrize("blocks", [3, 20, 998, 1500])
def test_what_an_exact_metric_would_take_is_found_at_once(blocks: int) -> None:
    tried = range(blocks, min(blocks + 5, 1600))
    found = statistics.differing_ps([2] * len(tried), tried)
    assert found == [statistics.differing_p(2, one, 0, one) for one in tried]
    assert statistics.differing_ps([], []) == []
