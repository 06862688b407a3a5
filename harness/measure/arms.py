# SPDX-License-Identifier: GPL-2.0-or-later
"""Two arms' values over the same blocks, and their resampling for many metrics at once.

What is here gives the same numbers as `harness.measure.statistics` gives for one metric's blocks,
to the last bit: the same draws, and sums that are exact or made in the same order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from harness.measure import statistics
from harness.measure.statistics import RESAMPLES, Block, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# So many columns are multiplied at once: more only takes more memory.
_TOGETHER = 64
# Sums of whole numbers up to here are exact in any order.
_EXACT = 2.0**53


@dataclass(frozen=True)
class Arms:
    """A metric in two arms: the means of each whole block, and how many blocks are not whole.

    `blocks` has the whole blocks' values where any has more than one boot in an arm, else None.
    `any` tells whether there is a value at all, be it in one arm alone.
    """

    reference: Floats
    new: Floats
    lost: int
    any: bool
    blocks: Sequence[Block] | None = None

    def __len__(self) -> int:
        return len(self.reference)

    @cached_property
    def changes(self) -> Floats:
        """Each whole block's mean of the new arm less that of the reference."""
        return self.new - self.reference

    @cached_property
    def log_changes(self) -> Floats:
        """The logarithm of each whole block's ratio, new to reference.

        The plain changes where a value is not above 0 and has none.
        """
        import numpy as np

        if min(self.reference.min(), self.new.min()) <= 0:
            return self.changes
        return np.asarray(np.log(self.new / self.reference))

    @cached_property
    def differing(self) -> int:
        """In how many whole blocks the means differ."""
        return int((self.changes != 0).sum())

    def values(self) -> tuple[Floats, Floats]:
        """Return every boot's value in the whole blocks, of the reference and of the new arm."""
        import numpy as np

        if self.blocks is None:
            return self.reference, self.new
        return (
            np.array([value for block in self.blocks for value in block.reference]),
            np.array([value for block in self.blocks for value in block.new]),
        )


def arms_of(blocks: Sequence[Block]) -> Arms:
    """Return the arms of `blocks`."""
    import numpy as np

    whole = [block for block in blocks if block.whole]
    several = any(len(block.reference) + len(block.new) > 2 for block in whole)
    return Arms(
        np.array([sum(block.reference) / len(block.reference) for block in whole]),
        np.array([sum(block.new) / len(block.new) for block in whole]),
        len(blocks) - len(whole),
        any(block.reference or block.new for block in blocks),
        whole if several else None,
    )


def paired_arms(reference: Floats, new: Floats) -> Arms:
    """Return the arms of blocks with one boot in each at most, NaN where there is none."""
    import numpy as np

    here, there = ~np.isnan(reference), ~np.isnan(new)
    whole = here & there
    count = int(whole.sum())
    return Arms(
        reference[whole], new[whole], len(whole) - count, any=bool(here.any() or there.any())
    )


def mean_intervals(columns: Sequence[Floats], seed: int = 0) -> list[Interval | None]:
    """Return the bootstrap interval of each column's mean; a column has a number a block."""
    intervals: list[Interval | None] = [None] * len(columns)
    for chunk in _chunks(columns):
        drawn = resampled_means([columns[index] for index in chunk], seed)
        for index, values in zip(chunk, drawn, strict=True):
            intervals[index] = statistics.interval_of(values, len(columns[index]))
    return intervals


def ratio_intervals(
    columns: Sequence[tuple[Floats, Floats]], seed: int = 0
) -> list[Interval | None]:
    """Return the bootstrap interval of the ratio of medians, new to reference, of each pair.

    A pair is the reference's column and that of the new arm.
    """
    import numpy as np

    intervals: list[Interval | None] = [None] * len(columns)
    for chunk in _chunks([reference for reference, _ in columns]):
        for index in chunk:
            reference, new = columns[index]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = resampled_medians(new, seed) / resampled_medians(reference, seed)
            intervals[index] = statistics.interval_of(ratios, len(reference))
    return intervals


def sign_flip_ps(columns: Sequence[Floats], seed: int = 0) -> list[float]:
    """Return the two-sided p of each column's mean, the signs of its numbers flipped."""
    import numpy as np

    found = [1.0] * len(columns)
    for chunk in _chunks(columns):
        p_values = statistics.sign_flip_p(np.stack([columns[one] for one in chunk], axis=1), seed)
        for index, p in zip(chunk, p_values, strict=True):
            found[index] = float(p)
    return found


def _chunks(columns: Sequence[Floats]) -> list[list[int]]:
    """Return the places of columns that are as long as each other, not too many together."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, column in enumerate(columns):
        if len(column):
            by_length[len(column)].append(index)
    return [
        places[first : first + _TOGETHER]
        for places in by_length.values()
        for first in range(0, len(places), _TOGETHER)
    ]


def resampled_means(columns: Sequence[Floats], seed: int = 0) -> list[Floats]:
    """Return the means of the bootstrap's resamples of each column, all of the same length.

    A resample's sum is what was drawn times how often: of whole numbers that is exact, and the
    same as adding up what was drawn.
    """
    import numpy as np

    length = len(columns[0])
    stacked = np.stack(columns)
    most = np.abs(stacked).max(axis=1) * length
    whole = (stacked == np.rint(stacked)).all(axis=1) & (most < _EXACT)
    means = np.empty((len(columns), RESAMPLES))
    if whole.any():
        means[whole] = (stacked[whole] @ _counts(length, seed).astype(np.float64)) / length
    for index in np.flatnonzero(~whole):
        means[index] = stacked[index][statistics.resamples(length, seed)].mean(axis=1)
    return list(means)


def resampled_medians(values: Floats, seed: int = 0) -> Floats:
    """Return the medians of the bootstrap's resamples of `values`.

    Instead of sorting each resample, the values are gone through in their order, and counted.
    """
    import numpy as np

    order = np.argsort(values, kind="stable")
    counts = _counts(len(values), seed)
    middle = sorted({(len(values) - 1) // 2, len(values) // 2})
    counted = np.zeros(RESAMPLES, dtype=counts.dtype)
    places = np.zeros((len(middle), RESAMPLES), dtype=np.int32)
    for index in order:
        counted += counts[index]
        for number, rank in enumerate(middle):
            places[number] += counted <= rank
    ordered = values[order]
    return np.asarray((ordered[places[0]] + ordered[places[-1]]) / 2)


@lru_cache(maxsize=2)
def _counts(length: int, seed: int) -> NDArray[np.int32]:
    """Return how often each value is drawn: a row a value, a column a resample."""
    import numpy as np

    chosen = statistics.resamples(length, seed)
    places = chosen * RESAMPLES + np.arange(RESAMPLES)[:, None]
    counts = np.bincount(places.ravel(), minlength=RESAMPLES * length)
    return counts.reshape(length, RESAMPLES).astype(np.int32)
