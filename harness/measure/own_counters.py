# SPDX-License-Identifier: GPL-2.0-or-later
"""Counters that only some of the variants have: those that a series adds, or takes away.

There is nothing to hold them against, and no verdict. What they say of a variant is worth a
look all the same: how much the series' cache holds, and whether it ever gives something back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.measure.comparison import Measured
from harness.outcomes import Outcome


@dataclass(frozen=True)
class OwnCounter:
    """A value that some variants lack: its workload, its name, and its mean by variant.

    The name and the unit are those of `harness.measure.values`. The mean is over the boots that
    have it, None where none has.
    """

    workload: str
    name: str
    means: Mapping[str, float | None]


def own_counters(boots: Sequence[Measured], variants: Sequence[str]) -> list[OwnCounter]:
    """Return what at least one of `variants` has and another has not, by workload and name.

    A variant lacks what none of its boots has that came through; one of which none did lacks
    nothing. A counter that is 0 in all boots is left out.
    """
    arms: dict[str, dict[str, list[Mapping[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for boot in boots:
        if boot.outcome is Outcome.PASS and boot.variant in variants:
            arms[boot.workload][boot.variant].append(boot.values)
    found: list[OwnCounter] = []
    for workload, by_variant in sorted(arms.items()):
        for name in _partial([_names(mine) for mine in by_variant.values()]):
            values = {
                variant: [one[name] for one in by_variant.get(variant, ()) if name in one]
                for variant in variants
            }
            if any(any(mine) for mine in values.values()):
                means = {one: fmean(mine) if mine else None for one, mine in values.items()}
                found.append(OwnCounter(workload, name, means))
    return found


def _names(boots: Sequence[Mapping[str, float]]) -> set[str]:
    names: set[str] = set()
    for values in boots:
        if not values.keys() <= names:
            names |= values.keys()
    return names


def _partial(sets: Sequence[set[str]]) -> list[str]:
    """Return what is in one of `sets` and not in all, sorted."""
    return sorted(sets[0].union(*sets) - sets[0].intersection(*sets))
