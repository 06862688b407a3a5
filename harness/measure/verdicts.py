# SPDX-License-Identifier: GPL-2.0-or-later
"""What two kernels' blocks say about a metric, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.measure import statistics
from harness.measure.arms import Arms, arms_of, mean_intervals, ratio_intervals, sign_flip_ps
from harness.measure.metric import Better, Metric, MetricClass, settle_class
from harness.measure.statistics import Block, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL = 0.05
# With fewer blocks no permutation test gets below 5%, nor does an interval cover 95%.
LEAST_EQUIVALENT = 6
_MOST_NEEDED = 9999
# A p of exactly 5%, as 3 worlds of 3 have it, comes out of its computation a last bit above.
_SLACK = 1 + 1e-9


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
    `delta` is Cliff's. `p` is of the blocks' differences, of their ratios for a latency, 1 where
    these point the other way than `effect`; it is not adjusted for how many metrics there are.
    `differing` blocks have another value in the new arm, `above` of them a larger one.
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
    above: int

    @property
    def one_way(self) -> bool:
        """Whether the differences have a direction: the interval is on one side of 0.

        With few blocks, all that differ have to go the same way: an interval says little there.
        """
        if self.interval is None or self.blocks < LEAST_EQUIVALENT:
            return self.above in (0, self.differing)
        return self.interval.one_sided

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


@dataclass(frozen=True)
class Question:
    """What is asked of a pair: `metric`, of class `kind`, by the values of its arms.

    `placebo` are the arms that differ in nothing that matters, None where there are none.
    """

    metric: Metric
    kind: MetricClass
    arms: Arms
    placebo: Arms | None = None


def assess(
    metric: Metric,
    blocks: Sequence[Block],
    placebo: Sequence[Block],
    seed: int,
    kind: MetricClass | None = None,
) -> Evidence:
    """Return what `blocks` say of `metric`, of class `kind`, else of that by `placebo`'s blocks."""
    kind = kind or settle_class(metric.kind, statistics.differences(placebo))
    question = Question(metric, kind, arms_of(blocks), arms_of(placebo))
    return assess_all([question], seed)[0]


def assess_all(questions: Sequence[Question], seed: int) -> list[Evidence]:
    """Return what each question's blocks say, in their order."""
    rows = zip(questions, _intervals(questions, seed), _p_values(questions, seed), strict=True)
    return [_evidence(question, interval, p) for question, interval, p in rows]


def _p_values(questions: Sequence[Question], seed: int) -> list[float]:
    # Most counters never differ, and then there is nothing to permute.
    found = [1.0] * len(questions)
    flipped: dict[int, Floats] = {}
    for index, one in enumerate(questions):
        if one.kind is MetricClass.EXACT:
            control = (one.placebo.differing, len(one.placebo)) if one.placebo else (0, 0)
            found[index] = statistics.differing_p(one.arms.differing, len(one.arms), *control)
        elif one.arms.differing and one.arms.blocks is not None:
            found[index] = statistics.permutation_p(one.arms.blocks, seed)
        elif one.arms.differing:
            flipped[index] = one.arms.log_changes if _by_ratio(one) else one.arms.changes
    p_values = sign_flip_ps(list(flipped.values()), seed)
    for index, p in zip(flipped, p_values, strict=True):
        found[index] = p
    return [1.0 if _contradicts(one) else p for one, p in zip(questions, found, strict=True)]


def _contradicts(question: Question) -> bool:
    """Whether what is permuted, a mean, points the other way than the medians that are shown.

    A few blocks far off may do that. Then nothing is shown, however small p is.
    """
    if not (_by_ratio(question) and question.arms.differing):
        return False
    reference, new = _centres(question)
    arms = question.arms
    changes = arms.changes if arms.blocks is not None else arms.log_changes
    return (new - reference) * float(changes.sum()) <= 0


def _intervals(questions: Sequence[Question], seed: int) -> list[Interval | None]:
    """Return the interval of each effect, in the metric's unit."""
    found: list[Interval | None] = [
        Interval(0.0, 0.0) if len(one.arms) else None for one in questions
    ]
    differing = [index for index, one in enumerate(questions) if one.arms.differing]
    by_ratio = [index for index in differing if _by_ratio(questions[index])]
    by_mean = sorted({*differing} - {*by_ratio})
    arms = [questions[index].arms for index in by_ratio]
    ratios = ratio_intervals([(one.reference, one.new) for one in arms], seed)
    for index, ratio in zip(by_ratio, ratios, strict=True):
        found[index] = _scaled(ratio, _centres(questions[index])[0])
    means = mean_intervals([questions[index].arms.changes for index in by_mean], seed)
    for index, mean in zip(by_mean, means, strict=True):
        found[index] = mean
    return found


def _by_ratio(question: Question) -> bool:
    return question.kind is MetricClass.LATENCY and _centres(question)[0] > 0


def _scaled(ratio: Interval | None, reference: float) -> Interval | None:
    if ratio is None:
        return None
    return Interval((ratio.low - 1) * reference, (ratio.high - 1) * reference)


def _centres(question: Question) -> tuple[float, float]:
    import numpy as np

    arms = question.arms
    if not len(arms):
        return 0.0, 0.0
    centre = np.median if question.kind is MetricClass.LATENCY else np.mean
    reference = float(centre(arms.reference))
    return reference, float(centre(arms.new)) if arms.differing else reference


def _evidence(question: Question, interval: Interval | None, p: float) -> Evidence:
    arms = question.arms
    reference, new = _centres(question)
    changes: list[float] = arms.changes.tolist() if arms.differing else []
    effect = 0.0
    if changes:
        effect = new - reference if _by_ratio(question) else sum(changes) / len(changes)
    same = not changes and arms.blocks is None
    return Evidence(
        kind=question.kind,
        blocks=len(arms),
        lost=arms.lost,
        reference=reference,
        new=new,
        effect=effect,
        interval=interval,
        spread=statistics.standard_deviation(changes),
        margin=question.metric.smallest.margin(reference),
        p=p,
        delta=0.0 if same else statistics.cliffs_delta(*arms.values()),
        differing=arms.differing,
        above=sum(change > 0 for change in changes),
    )


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
    significant = p <= level and _one_sided(evidence)
    if significant and evidence.matters:
        return Judgement(_direction(metric, evidence.effect), f"p = {p:.2g}")
    if significant:
        reason = "a difference, but perhaps too small to matter"
    elif evidence.matters:
        reason = f"the difference may be chance (p = {p:.2g})"
    else:
        reason = "neither a difference nor that there is none"
    return Judgement(Verdict.INCONCLUSIVE, reason, _needed(evidence, p))


def _one_sided(evidence: Evidence) -> bool:
    """Whether a latency's interval is on one side of 0: its test is not of the same statistic."""
    interval = evidence.interval
    if evidence.kind is not MetricClass.LATENCY or interval is None:
        return True
    return interval.one_sided


def _judge_exact(metric: Metric, evidence: Evidence, p: float, level: float) -> Judgement:
    count, differing = evidence.blocks, evidence.differing
    if not differing:
        most = 100 * statistics.ruled_out(count)
        reason = f"the same in all {count}: with 95% confidence at most {most:.2g}% would differ"
        if count >= LEAST_EQUIVALENT:
            return Judgement(Verdict.EQUIVALENT, reason)
        return Judgement(Verdict.INCONCLUSIVE, reason, LEAST_EQUIVALENT)
    reason = f"differs in {differing} of {count}, the placebo in none"
    if p > level * _SLACK:
        reason += f", which may be chance (p = {p:.2g})"
        return Judgement(Verdict.INCONCLUSIVE, reason, _exact_needed(evidence, p, level))
    if not evidence.one_way:
        # That worlds differ is shown, which way they do is not.
        reason += f"; up in {evidence.above}, down in {differing - evidence.above}"
    elif evidence.matters:
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
    tried = range(evidence.blocks + 1, 1000)
    p_values = statistics.differing_ps([round(share * blocks) for blocks in tried], tried)
    for blocks, found in zip(tried, p_values, strict=True):
        if raised * found <= level * _SLACK:
            return blocks
    return _MOST_NEEDED
