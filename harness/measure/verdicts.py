# SPDX-License-Identifier: GPL-2.0-or-later
"""What two kernels' blocks say about a metric, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.measure import statistics
from harness.measure.metric import Better, Metric, MetricClass
from harness.measure.statistics import Block, Interval

LEVEL = 0.05
# With fewer blocks no permutation test gets below 5%, nor does an interval cover 95%.
LEAST_EQUIVALENT = 6
_MOST_NEEDED = 9999


class Verdict(StrEnum):
    """What is shown. That nothing is shown is INCONCLUSIVE, never EQUIVALENT."""

    IMPROVED = "IMPROVED"
    REGRESSED = "REGRESSED"
    CHANGED = "CHANGED"
    EQUIVALENT = "EQUIVALENT"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def differs(self) -> bool:
        """Whether a difference is shown."""
        return self in (Verdict.IMPROVED, Verdict.REGRESSED, Verdict.CHANGED)


@dataclass(frozen=True)
class Evidence:
    """One metric of one pair of arms.

    `reference` and `new` are the arms' centres over the whole blocks: means, for a latency
    medians. `effect` is new less reference, `interval` its 95% interval (None without a whole
    block), both in the metric's unit; `spread` is the standard deviation of the blocks'
    differences. `margin` is the smallest effect that matters. `blocks` are whole, `lost` are not.
    `delta` is Cliff's. `p` is not adjusted for how many metrics there are.
    """

    kind: MetricClass
    blocks: int
    lost: int
    reference: float
    new: float
    effect: float
    interval: Interval | None
    spread: float
    margin: float
    p: float
    delta: float
    differing: int

    @property
    def matters(self) -> bool:
        """Whether the effect is as large as the smallest one that matters."""
        return self.effect != 0 and abs(self.effect) >= self.margin


@dataclass(frozen=True)
class Judgement:
    """A verdict, why, and how many blocks it would take where there is none (0: not known)."""

    verdict: Verdict
    reason: str
    needed: int = 0


def assess(
    metric: Metric,
    blocks: Sequence[Block],
    placebo: Sequence[Block],
    seed: int,
    kind: MetricClass | None = None,
) -> Evidence:
    """Return what `blocks` say of `metric`, which is of class `kind` by the `placebo`'s blocks."""
    kind = kind or metric.kind
    whole = [block for block in blocks if block.whole]
    changes = statistics.differences(whole)
    differing = sum(change != 0 for change in changes)
    reference, new = _centres(whole, kind)
    effect, interval = _effect(whole, kind, reference, seed)
    if kind is MetricClass.EXACT:
        control = statistics.differences(placebo)
        p = statistics.differing_p(
            differing, len(changes), sum(change != 0 for change in control), len(control)
        )
    else:
        # Most counters never differ, and then there is nothing to permute.
        p = statistics.permutation_p(whole, seed) if differing else 1.0
    return Evidence(
        kind=kind,
        blocks=len(whole),
        lost=len(blocks) - len(whole),
        reference=reference,
        new=new,
        effect=effect,
        interval=interval,
        spread=statistics.standard_deviation(changes),
        margin=metric.smallest.margin(reference),
        p=p,
        delta=statistics.cliffs_delta(
            [value for block in whole for value in block.reference],
            [value for block in whole for value in block.new],
        ),
        differing=differing,
    )


def _centres(whole: Sequence[Block], kind: MetricClass) -> tuple[float, float]:
    import numpy as np

    if not whole:
        return 0.0, 0.0
    centre = np.median if kind is MetricClass.LATENCY else np.mean
    reference = [sum(block.reference) / len(block.reference) for block in whole]
    new = [sum(block.new) / len(block.new) for block in whole]
    return float(centre(reference)), float(centre(new))


def _effect(
    whole: Sequence[Block], kind: MetricClass, reference: float, seed: int
) -> tuple[float, Interval | None]:
    """Return the effect and its interval, in the metric's unit."""
    if not whole:
        return 0.0, None
    if not any(statistics.differences(whole)):
        return 0.0, Interval(0.0, 0.0)
    if kind is MetricClass.LATENCY and reference > 0:
        ratio = statistics.bootstrap_interval(whole, statistics.median_ratio, seed)
        _, new = _centres(whole, kind)
        if ratio is None:
            return new - reference, None
        return new - reference, Interval((ratio.low - 1) * reference, (ratio.high - 1) * reference)
    changes = statistics.differences(whole)
    interval = statistics.bootstrap_interval(whole, statistics.mean_difference, seed)
    return sum(changes) / len(changes), interval


def judge(metric: Metric, evidence: Evidence, p: float, level: float = LEVEL) -> Judgement:
    """Return the verdict on `evidence`; `p` is adjusted for all that is tested beside it."""
    if not evidence.blocks:
        reason = "no block in which both came through"
        return Judgement(Verdict.INCONCLUSIVE, reason, LEAST_EQUIVALENT)
    if evidence.kind is MetricClass.EXACT:
        return _judge_exact(metric, evidence, p, level)
    interval = evidence.interval
    if interval is not None and interval.inside(evidence.margin):
        if evidence.blocks >= LEAST_EQUIVALENT:
            return Judgement(Verdict.EQUIVALENT, "the interval is inside the margin")
        reason = f"{evidence.blocks} blocks are too few to call it equivalent"
        return Judgement(Verdict.INCONCLUSIVE, reason, LEAST_EQUIVALENT)
    significant = p <= level
    if significant and evidence.matters:
        return Judgement(_direction(metric, evidence.effect), f"p = {p:.2g}")
    if significant:
        reason = "a difference, but perhaps too small to matter"
    elif evidence.matters:
        reason = f"the difference may be chance (p = {p:.2g})"
    else:
        reason = "neither a difference nor that there is none"
    return Judgement(Verdict.INCONCLUSIVE, reason, _needed(evidence, p))


def _judge_exact(metric: Metric, evidence: Evidence, p: float, level: float) -> Judgement:
    count, differing = evidence.blocks, evidence.differing
    if not differing:
        share = statistics.ruled_out(count)
        reason = f"the same in all {count}: at most {share:.0%} of boots differ"
        if count >= LEAST_EQUIVALENT:
            return Judgement(Verdict.EQUIVALENT, reason)
        return Judgement(Verdict.INCONCLUSIVE, reason, LEAST_EQUIVALENT)
    reason = f"differs in {differing} of {count}, the placebo in none"
    if p > level:
        reason += f", which may be chance (p = {p:.2g})"
        return Judgement(Verdict.INCONCLUSIVE, reason, _exact_needed(evidence, p, level))
    if evidence.matters:
        return Judgement(_direction(metric, evidence.effect), reason)
    return Judgement(Verdict.CHANGED, reason)


def _direction(metric: Metric, effect: float) -> Verdict:
    if metric.better is Better.NEITHER:
        return Verdict.CHANGED
    return Verdict.IMPROVED if (effect < 0) == (metric.better is Better.LESS) else Verdict.REGRESSED


def _needed(evidence: Evidence, p: float) -> int:
    """Return how many blocks would bring a verdict, were the effect and the spread as they seem."""
    size = abs(evidence.effect)
    gap = size if evidence.matters and p > LEVEL else abs(evidence.margin - size)
    # What is tested beside it makes it harder, by as much as p was raised.
    level = LEVEL * min(1.0, evidence.p / p) if p > 0 else LEVEL
    needed = statistics.blocks_needed(evidence.spread, gap, max(level, 1e-6))
    return min(max(needed, evidence.blocks + 1, LEAST_EQUIVALENT), _MOST_NEEDED)


def _exact_needed(evidence: Evidence, p: float, level: float) -> int:
    raised = max(1.0, p / evidence.p) if evidence.p else 1.0
    share = evidence.differing / evidence.blocks
    for blocks in range(evidence.blocks + 1, 1000):
        if raised * statistics.differing_p(round(share * blocks), blocks, 0, blocks) <= level:
            return blocks
    return _MOST_NEEDED
