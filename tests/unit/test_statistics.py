# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.measure import statistics as ours
from harness.measure.statistics import Block, Interval, make_blocks

VALUES = st.lists(st.integers(-50, 50), min_size=1, max_size=8)


def paired(reference: list[float], new: list[float]) -> list[Block]:
    return [Block((a,), (b,)) for a, b in zip(reference, new, strict=True)]


def test_permutation_by_hand() -> None:
    # Differences 1, 2, 3: of the 8 assignments of signs, +++ and --- are as far from 0.
    assert ours.permutation_p(paired([0, 0, 0], [1, 2, 3])) == 2 / 8
    # Differences 3, -1: |sum| is 2 or 4; all four are as far.
    assert ours.permutation_p(paired([0, 1], [3, 0])) == 1.0


@settings(max_examples=25)
@given(st.lists(st.integers(-9, 9), min_size=2, max_size=7))
def test_permutation_against_scipy(changes: list[int]) -> None:
    theirs = stats.permutation_test(
        (np.array(changes, dtype=float), np.zeros(len(changes))),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    blocks = paired([0.0] * len(changes), [float(one) for one in changes])
    # scipy adds up each tail twice; of a symmetric distribution that is the two-sided p.
    assert ours.permutation_p(blocks) == pytest.approx(min(1.0, theirs))


def test_permutation_stays_within_blocks() -> None:
    """If labels moved between blocks, the blocks' own difference would drown the effect."""
    blocks = [Block((n * 100.0, n * 100.0 + 1), (n * 100.0 + 5, n * 100.0 + 6)) for n in range(6)]
    # Each block's 4 values can be shared out in 6 ways, one of which is as extreme: 2 / 6^6.
    assert ours.permutation_p(blocks) == pytest.approx(1 / (ours.DRAWS + 1), abs=3e-4)
    assert ours.permutation_p([Block((1, 2), (3, 4))]) == pytest.approx(2 / 6, abs=0.02)


def test_many_pairs_are_drawn_with_a_seed() -> None:
    generator = np.random.default_rng(1)
    changes = generator.normal(0.5, 1, 30)
    blocks = paired([0.0] * 30, list(changes))
    p = ours.permutation_p(blocks, seed=3)
    assert p == ours.permutation_p(blocks, seed=3)
    assert p == pytest.approx(stats.ttest_1samp(changes, 0).pvalue, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constants_and_one_block(value: float) -> None:
    assert ours.permutation_p(paired([value] * 20, [value] * 20)) == 1.0
    assert ours.permutation_p(paired([value], [value + 1])) == 1.0
    assert ours.permutation_p([]) == 1.0
    same = ours.bootstrap_interval(paired([value] * 4, [value] * 4), ours.mean_difference)
    assert same == Interval(0.0, 0.0)
    assert ours.bootstrap_interval(paired([value], [value + 1]), ours.mean_difference) == Interval(
        1.0, 1.0
    )
    assert ours.bootstrap_interval([], ours.mean_difference) is None


def test_a_ratio_to_nothing_has_no_interval() -> None:
    assert ours.bootstrap_interval(paired([0, 0], [1, 2]), ours.median_ratio) is None


def test_missing_boots_leave_their_block_out() -> None:
    blocks = make_blocks({1: [1.0], 2: [2.0], 3: []}, {1: [2.0], 3: [9.0], 4: [1.0]})
    assert [block.whole for block in blocks] == [True, False, False, False]
    assert ours.differences(blocks) == [1.0]


def test_interval_covers_what_is_true_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    for count in (6, 20):
        covered = 0
        for _ in range(300):
            new = generator.normal(3, 1, count)
            found = ours.bootstrap_interval(paired([0.0] * count, list(new)), ours.mean_difference)
            assert found is not None
            covered += found.low <= 3 <= found.high
        assert 0.9 <= covered / 300 <= 0.99


def test_interval_against_scipy() -> None:
    generator = np.random.default_rng(2)
    new = generator.normal(3, 1, 200)
    found = ours.bootstrap_interval(paired([0.0] * 200, list(new)), ours.mean_difference)
    theirs = stats.bootstrap(
        (new,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


@settings(max_examples=30)
@given(VALUES, VALUES)
def test_cliffs_delta_is_all_pairs(reference: list[int], new: list[int]) -> None:
    pairs = list(product(reference, new))
    expected = sum((b > a) - (b < a) for a, b in pairs) / len(pairs)
    assert ours.cliffs_delta(reference, new) == pytest.approx(expected)


@settings(max_examples=30)
@given(VALUES, VALUES)
def test_cliffs_delta_against_mann_and_whitney(reference: list[int], new: list[int]) -> None:
    u = stats.mannwhitneyu(new, reference).statistic
    expected = 2 * u / (len(new) * len(reference)) - 1
    assert ours.cliffs_delta(reference, new) == pytest.approx(expected)


def test_failure_rates() -> None:
    assert ours.rates_p(0, 20, 0, 20) == 1.0
    assert ours.rates_p(0, 0, 1, 1) == 1.0
    theirs = stats.boschloo_exact([[0, 6], [20, 14]]).pvalue
    assert ours.rates_p(0, 20, 6, 20) == pytest.approx(theirs)
    assert 0.005 < theirs < 0.05


def test_failure_rates_of_many_boots() -> None:
    """Boschloo's would take seconds for each."""
    many = ours.MOST_BOSCHLOO + 1
    assert ours.rates_test(many - 1, many - 1) == "Boschloo"
    assert ours.rates_test(20, many) == "Fisher"
    theirs = stats.fisher_exact([[1, 9], [many - 1, many - 9]]).pvalue
    assert ours.rates_p(1, many, 9, many) == pytest.approx(theirs)
    theirs = stats.boschloo_exact([[1, 9], [39, 31]]).pvalue
    assert ours.rates_p(1, 40, 9, 40) == pytest.approx(theirs)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjustments_against_statsmodels(p_values: list[float]) -> None:
    assert ours.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert ours.benjamini_hochberg(p_values) == pytest.approx(
        stats.false_discovery_control(p_values)
    )


def test_adjustments_by_hand() -> None:
    assert ours.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert ours.benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert ours.holm([]) == []


def test_what_blocks_that_are_alike_rule_out() -> None:
    # The rule of three: about 3 / n.
    assert ours.ruled_out(100) == pytest.approx(0.0295, abs=1e-4)
    assert ours.ruled_out(1) == pytest.approx(0.95)
    assert ours.ruled_out(0) == 1.0


def test_how_many_blocks_differ_against_fisher() -> None:
    theirs = stats.fisher_exact([[4, 0], [6, 10]], alternative="greater").pvalue
    assert ours.differing_p(4, 10, 0, 10) == pytest.approx(theirs)
    assert ours.differing_p(3, 3, 0, 3) == pytest.approx(1 / 20)
    assert ours.differing_p(0, 10, 0, 10) == 1.0
    assert ours.differing_p(3, 3, 0, 0) == 1.0


def test_blocks_needed_against_the_formula() -> None:
    # (1.96 + 1.2816)^2 = 10.5
    assert ours.blocks_needed(1, 1) == 11
    assert ours.blocks_needed(10, 1) == 1051
    assert ours.blocks_needed(0, 1) == 6
    assert ours.blocks_needed(1, 0) == 0
