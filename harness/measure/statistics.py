# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of two kernels over the same blocks: exact where it can be, seeded where it can't.

A block is what both kernels were booted in: a world, or a round of boots on one host. All that
is permuted or resampled stays within its block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Up to so many pairs every assignment of signs is tried; beyond, so many are drawn.
_EXACT_PAIRS = 13
DRAWS = 9999
RESAMPLES = 4000
CONFIDENCE = 0.95
# Boschloo's test looks at each pair of rates that there could be, many times over: with 600 boots
# an arm that takes seconds. Beyond so many Fisher's takes its place, which is exact as well.
MOST_BOSCHLOO = 200
# Sums of numbers in another order differ in their last bits.
_SAME = 1e-9


@dataclass(frozen=True)
class Block:
    """What two arms had in one block; either may have none, or several boots."""

    reference: tuple[float, ...]
    new: tuple[float, ...]

    @property
    def whole(self) -> bool:
        return bool(self.reference and self.new)


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both included."""

    low: float
    high: float

    def inside(self, margin: float) -> bool:
        """Return whether all of it is less than `margin` from 0, or 0 where the margin is 0."""
        widest = max(abs(self.low), abs(self.high))
        return widest < margin or widest == 0

    @property
    def one_sided(self) -> bool:
        """Whether all of it is above 0, or all of it below."""
        return self.low > 0 or self.high < 0


def make_blocks(
    reference: Mapping[int, Sequence[float]], new: Mapping[int, Sequence[float]]
) -> list[Block]:
    """Return the blocks of two arms, given each arm's values by block, in the blocks' order."""
    return [
        Block(tuple(reference.get(key, ())), tuple(new.get(key, ())))
        for key in sorted({*reference, *new})
    ]


def differences(blocks: Sequence[Block]) -> list[float]:
    """Return each whole block's mean of the new arm less that of the reference."""
    return [_mean(block.new) - _mean(block.reference) for block in blocks if block.whole]


def permutation_p(blocks: Sequence[Block], seed: int = 0) -> float:
    """Return the two-sided p of the mean difference, labels permuted within the blocks.

    With one boot an arm in each block, and few blocks, all assignments are tried; else DRAWS are
    drawn, and p counts the one that was seen. It is 1 where no block is whole.
    """
    import numpy as np

    whole = [block for block in blocks if block.whole]
    if not whole:
        return 1.0
    if all(len(block.reference) == len(block.new) == 1 for block in whole):
        values = np.array(differences(whole))
        return float(sign_flip_p(values[:, None], seed)[0])
    generator = np.random.default_rng(seed)
    seen = abs(sum(differences(whole)))
    sums = np.zeros(DRAWS)
    for block in whole:
        pool = np.array(block.reference + block.new)
        drawn = generator.permuted(np.broadcast_to(pool, (DRAWS, len(pool))), axis=1)
        first = len(block.reference)
        sums += drawn[:, first:].mean(axis=1) - drawn[:, :first].mean(axis=1)
    hits = int((np.abs(sums) >= seen - _slack(seen)).sum())
    return (hits + 1) / (DRAWS + 1)


def sign_flip_p(values: Floats, seed: int = 0) -> Floats:
    """Return the two-sided p of each column's sum, with the signs of its rows flipped.

    `values` are paired differences: a row a pair, a column a metric.
    """
    import numpy as np

    pairs = values.shape[0]
    seen = np.abs(values.sum(axis=0))
    signs = _signs(pairs, seed)
    sums = np.abs(signs @ values)
    hits: Floats = (sums >= seen - _SAME * (1 + seen)).sum(axis=0).astype(np.float64)
    if pairs <= _EXACT_PAIRS:
        return hits / float(len(signs))
    return (hits + 1.0) / (DRAWS + 1.0)


@lru_cache(maxsize=2)
def _signs(pairs: int, seed: int) -> Floats:
    import numpy as np

    if pairs <= _EXACT_PAIRS:
        numbers = np.arange(1 << pairs)[:, None]
        bits = (numbers >> np.arange(pairs)) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (DRAWS, pairs))
    signs = bits.astype(np.float64)
    signs *= 2
    signs -= 1
    return signs


def bootstrap_interval(
    blocks: Sequence[Block],
    statistic: Callable[[Floats, Floats], Floats],
    seed: int = 0,
) -> Interval | None:
    """Return the interval of a statistic of both arms, whole blocks resampled.

    `statistic` takes two arrays, a row a resample and a column a block (its mean of the
    reference, its mean of the new arm), and returns a value a row. The percentiles are widened
    for few blocks (Hesterberg 2015, "expanded percentile"), which too narrow an interval would
    else call equal. None where no block is whole, or nothing finite comes out.
    """
    import numpy as np

    whole = [block for block in blocks if block.whole]
    if not whole:
        return None
    reference = np.array([_mean(block.reference) for block in whole])
    new = np.array([_mean(block.new) for block in whole])
    chosen = resamples(len(whole), seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = statistic(reference[chosen], new[chosen])
    return interval_of(values, len(whole))


def interval_of(values: Floats, blocks: int) -> Interval | None:
    """Return the interval of a statistic, given its values in resamples of so many blocks.

    None where nothing is finite.
    """
    import numpy as np

    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    tail = _expanded_tail(blocks)
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


@lru_cache(maxsize=2)
def resamples(blocks: int, seed: int) -> NDArray[np.int64]:
    """Return which of so many blocks the bootstrap draws: a row a resample."""
    import numpy as np

    return np.random.default_rng(seed).integers(0, blocks, (RESAMPLES, blocks))


@lru_cache(maxsize=64)
def _expanded_tail(blocks: int) -> float:
    from scipy.stats import norm, t

    if blocks < 2:
        return 0.0
    wide = math.sqrt(blocks / (blocks - 1)) * t.ppf((1 + CONFIDENCE) / 2, blocks - 1)
    return float(norm.cdf(-wide))


def mean_difference(reference: Floats, new: Floats) -> Floats:
    """Return the mean of new less reference, row by row."""
    import numpy as np

    return np.asarray((new - reference).mean(axis=1))


def median_ratio(reference: Floats, new: Floats) -> Floats:
    """Return the ratio of the medians, new to reference, row by row."""
    import numpy as np

    return np.asarray(np.median(new, axis=1) / np.median(reference, axis=1))


def cliffs_delta(reference: Sequence[float] | Floats, new: Sequence[float] | Floats) -> float:
    """Return how much more often a value of `new` is above one of `reference` than below it.

    From -1 to 1; 0 where either has none.
    """
    import numpy as np

    if not len(reference) or not len(new):
        return 0.0
    ordered = np.sort(np.asarray(reference, dtype=float))
    below = np.searchsorted(ordered, new, side="left").sum()
    not_above = np.searchsorted(ordered, new, side="right").sum()
    return float((below - (len(reference) * len(new) - not_above)) / (len(reference) * len(new)))


def rates_test(boots: int, new_boots: int) -> str:
    """Return which test `rates_p` is for so many boots: "Boschloo" or "Fisher"."""
    return "Fisher" if max(boots, new_boots) > MOST_BOSCHLOO else "Boschloo"


def rates_p(failed: int, boots: int, new_failed: int, new_boots: int) -> float:
    """Return the two-sided p of two failure rates; 1 where an arm has no boots.

    By Boschloo's exact test, with more than MOST_BOSCHLOO boots an arm by Fisher's.
    """
    from scipy.stats import boschloo_exact, fisher_exact

    if not boots or not new_boots or failed / boots == new_failed / new_boots:
        return 1.0
    table = [[failed, new_failed], [boots - failed, new_boots - new_failed]]
    if rates_test(boots, new_boots) == "Fisher":
        return float(fisher_exact(table).pvalue)
    return min(1.0, float(boschloo_exact(table).pvalue))


@lru_cache(maxsize=1024)
def differing_p(differing: int, blocks: int, placebo_differing: int, placebo_blocks: int) -> float:
    """Return the p of so many differing blocks, were the placebo's blocks of the same kind.

    Fisher's exact test, one-sided. A metric that no placebo block has shown to vary may still
    vary rarely; this is what one can say all the same.
    """
    from scipy.stats import hypergeom

    if not blocks or not placebo_blocks:
        return 1.0
    together = differing + placebo_differing
    return float(hypergeom.sf(differing - 1, blocks + placebo_blocks, together, blocks))


def differing_ps(differing: Sequence[int], blocks: Sequence[int]) -> list[float]:
    """Return `differing_p` of each, where the placebo has as many blocks and none differs."""
    import numpy as np
    from scipy.stats import hypergeom

    if not blocks:
        return []
    found, count = np.asarray(differing), np.asarray(blocks)
    return [float(p) for p in hypergeom.sf(found - 1, 2 * count, found, count)]


def ruled_out(blocks: int) -> float:
    """Return the largest share of blocks that may differ though none of `blocks` did (95%)."""
    return 1.0 if blocks < 1 else float(1 - (1 - CONFIDENCE) ** (1 / blocks))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values: the family's false alarms stay below the level."""
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return Benjamini and Hochberg's: the share of false ones among what is found."""
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: Sequence[float], method: str) -> list[float]:
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(list(p_values), method=method)[1]]


def blocks_needed(spread: float, effect: float, level: float = 0.05, power: float = 0.9) -> int:
    """Return how many blocks show an `effect`, where a block's difference has so much `spread`.

    `spread` is the standard deviation of the blocks' differences. The least is what a
    permutation test needs for `level` at all.
    """
    from scipy.stats import norm

    least = math.ceil(1 - math.log2(level))
    if effect <= 0:
        return 0
    wide = float(norm.ppf(1 - level / 2) + norm.ppf(power))
    return max(least, math.ceil((wide * spread / effect) ** 2))


def standard_deviation(values: Sequence[float]) -> float:
    """Return the sample's standard deviation; 0 for fewer than two."""
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _slack(seen: float) -> float:
    return _SAME * (1 + seen)
