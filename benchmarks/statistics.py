# SPDX-License-Identifier: GPL-2.0-or-later
"""How often `patchbed compare` finds what is not there, and what is: by simulation."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.alternate import BenchmarkError
from harness.measure.comparison import Comparison, Finding, Measured, Pair, choose_gates, compare
from harness.measure.metric import Better, Metric, MetricClass, Smallest
from harness.measure.verdicts import Verdict
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from numpy.random import Generator

BASE, NEW, PLACEBO = "base", "new", "placebo"
PLACEBO_GATES = "placebo gate"
WORLDS = 20
LEVEL = 0.05
POWER = 0.95
SEED = 20230308
# Far more than 1, so that hardly a world comes out as the base does.
_NOISE = 50
_GATES = 6
_OTHERS = 30

Draw = Callable[["Generator"], float]


@dataclass(frozen=True)
class Noise:
    """A metric of simulated boots: how it is declared, and what a boot gives."""

    metric: Metric
    draw: Draw


def noises() -> list[Noise]:
    """Return metrics of every class, six of them gates, with a smallest effect near nothing.

    So whatever is found is found by chance: no margin hides it.
    """
    kinds: list[tuple[MetricClass, Draw]] = [
        (MetricClass.COUNT, lambda g: float(g.poisson(100))),
        (MetricClass.COUNT, lambda g: float(g.poisson(0.1))),
        (MetricClass.GAUGE, lambda g: float(g.normal(0, 50))),
        (MetricClass.LATENCY, lambda g: float(g.lognormal(7, 0.05))),
        (MetricClass.LATENCY, lambda g: float(1000 + g.standard_t(3))),
        (MetricClass.EXACT, lambda g: 7.0),
    ]
    every: list[Noise] = []
    for number in range(_GATES + _OTHERS):
        kind, draw = kinds[number % len(kinds)]
        metric = Metric(
            name=f"m{number}",
            source=f"m{number}",
            kind=kind,
            better=Better.LESS,
            smallest=Smallest(absolute=1e-6),
            gate=number < _GATES,
        )
        every.append(Noise(metric, draw))
    return every


def simulate(
    generator: Generator, every: list[Noise], arms: dict[str, float], worlds: int
) -> list[Measured]:
    """Return a boot for each world and arm; an arm's values are all multiplied by its number."""
    return [
        Measured(
            arm,
            "w",
            world,
            Outcome.PASS,
            {one.metric.source: factor * one.draw(generator) for one in every},
        )
        for world in range(worlds)
        for arm, factor in arms.items()
    ]


def run_once(boots: list[Measured], every: list[Noise], seed: int) -> Comparison:
    """Return the comparison of simulated boots, as `patchbed compare` makes it."""
    metrics = {"w": [one.metric for one in every]}
    pairs = [Pair(BASE, NEW)]
    return compare(
        boots,
        metrics,
        pairs,
        placebo=Pair(BASE, PLACEBO),
        gates=choose_gates(metrics, pairs),
        seed=seed,
    )


def false_alarms(rounds: int, worlds: int = WORLDS) -> dict[str, float]:
    """Return the share of comparisons of equals in which there is any difference, by family.

    The placebo's gates are a family of their own.
    """
    import numpy as np

    every = noises()
    hits = {"gate": 0, "exploratory": 0, "placebo": 0, PLACEBO_GATES: 0}
    for number in range(rounds):
        generator = np.random.default_rng([SEED, number])
        boots = simulate(generator, every, {BASE: 1, NEW: 1, PLACEBO: 1}, worlds)
        found = run_once(boots, every, number)
        differing = [one for one in found.findings if one.verdict.differs]
        for family in {PLACEBO_GATES if _placebo_s_gate(one) else one.family for one in differing}:
            hits[family] += 1
    return {family: count / rounds for family, count in hits.items()}


def _placebo_s_gate(one: Finding) -> bool:
    return one.family == "placebo" and one.gate


def power_of_a_shift(rounds: int, worlds: int, shift: float = 0.1, cv: float = 0.05) -> float:
    """Return the share of rounds in which one shifted latency among six gates is found."""
    import numpy as np

    metric = Metric(
        name="shifted",
        source="shifted",
        kind=MetricClass.LATENCY,
        better=Better.LESS,
        smallest=Smallest(relative=0.05),
        gate=True,
    )
    shifted = Noise(metric, lambda g: float(g.normal(1000, 1000 * cv)))
    others = [one for one in noises() if one.metric.gate][1:]
    found = 0
    for number in range(rounds):
        generator = np.random.default_rng([SEED, worlds, number])
        arms: dict[str, float] = {BASE: 1, NEW: 1 + shift, PLACEBO: 1}
        boots = simulate(generator, [shifted], arms, worlds)
        rest = simulate(generator, others, dict.fromkeys(arms, 1.0), worlds)
        both = [
            Measured(a.variant, "w", a.block, a.outcome, {**a.values, **b.values})
            for a, b in zip(boots, rest, strict=True)
        ]
        gates = run_once(both, [shifted, *others], number).gates()
        found += gates[0].verdict is Verdict.REGRESSED
    return found / rounds


def exact_steps_found(rounds: int, worlds: int = WORLDS) -> float:
    """Return the share of rounds in which +1 on an exact metric is found."""
    import numpy as np

    every = noises()
    exact = an_exact(every)
    found = 0
    for number in range(rounds):
        generator = np.random.default_rng([SEED, number])
        boots = simulate(generator, every, {BASE: 1, NEW: 1, PLACEBO: 1}, worlds)
        boots = planted(boots, exact.metric, lambda: 1.0)
        mine = [
            one
            for one in run_once(boots, every, number).findings
            if one.metric is exact.metric and one.family != "placebo"
        ]
        found += all(one.verdict is Verdict.REGRESSED for one in mine)
    return found / rounds


def directions_of_noise(rounds: int, worlds: int = WORLDS) -> float:
    """Return the share of rounds in which an exact metric that only got noisy gets a direction.

    The base and the placebo have the same value in all worlds, the new arm varies around it.
    """
    import numpy as np

    exact = an_exact(noises())
    found = 0
    for number in range(rounds):
        generator = np.random.default_rng([SEED, worlds, number])
        boots = simulate(generator, [exact], {BASE: 1, NEW: 1, PLACEBO: 1}, worlds)
        drawn = np.rint(generator.normal(0, _NOISE, worlds)).tolist()
        boots = planted(boots, exact.metric, iter(drawn).__next__)
        [gate] = run_once(boots, [exact], number).gates()
        found += gate.verdict in (Verdict.IMPROVED, Verdict.REGRESSED)
    return found / rounds


def an_exact(every: list[Noise]) -> Noise:
    """Return the first exact metric, which is a gate."""
    return next(one for one in every if one.metric.kind is MetricClass.EXACT)


def planted(boots: list[Measured], metric: Metric, change: Callable[[], float]) -> list[Measured]:
    """Return the boots with a change of `metric` in each of the new arm's."""
    return [
        replace(
            boot,
            values={**boot.values, metric.source: boot.values[metric.source] + change()},
        )
        if boot.variant == NEW
        else boot
        for boot in boots
    ]


def main(rounds: int = 1000, power_rounds: int = 200) -> None:
    """Print the rates of false alarms and the power.

    Raises:
        BenchmarkError: there are too many of the one, or too little of the other.
    """
    tell = sys.stdout.write
    tell(f"{rounds} comparisons of equals, {WORLDS} worlds, {_GATES} gates, {_OTHERS} more\n")
    rates = false_alarms(rounds)
    for family, rate in rates.items():
        tell(f"  any false alarm, {family:12} {rate:7.2%}  (at most {LEVEL:.0%})\n")
    exact = exact_steps_found(power_rounds)
    tell(f"+1 on an exact metric, {WORLDS} worlds: found in {exact:.1%} of {power_rounds}\n")
    directions = directions_of_noise(rounds)
    tell(
        f"an exact metric that got noisy around the same mean: called better or worse in "
        f"{directions:.1%} of {rounds} (about {LEVEL:.0%})\n"
    )
    tell("a latency 10% up at CV 5%, one of 6 gates:\n")
    power = {worlds: power_of_a_shift(power_rounds, worlds) for worlds in (8, 12, 16, WORLDS)}
    for worlds, share in power.items():
        tell(f"  {worlds:3} worlds: found in {share:.1%} of {power_rounds}\n")
    # As often as an interval of 95% misses: what is counted lies about it, not below it.
    by_chance = 3 * math.sqrt(LEVEL * (1 - LEVEL) / rounds)
    wrong = max(rates.values()) > LEVEL or directions > LEVEL + by_chance
    if wrong or exact < 1 or power[WORLDS] < POWER:
        raise BenchmarkError("the statistics do not keep what they promise")
