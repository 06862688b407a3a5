# SPDX-License-Identifier: GPL-2.0-or-later
"""Deciding a bisection: which commit is asked next, which side it is on, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.measure import statistics
from harness.measure.metric import Metric, MetricClass, Smallest
from harness.measure.statistics import Block, make_blocks
from harness.measure.verdicts import LEVEL, Evidence, Judgement, assess, judge
from harness.measure.workload import Workload

# A metric's value by world.
Values = Mapping[int, float]
# With fewer worlds, that all of them agree says too little.
LEAST_EXACT = 3
_UNDECLARED = Smallest(absolute=1, relative=0.1)


class Side(StrEnum):
    """Where a commit stands; `skip` where it can't be told."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"


@dataclass(frozen=True)
class Decision:
    """Which side a commit is on, by how many `worlds`, and why.

    `wrong` is at most the probability that chance put it there; it is 0 where no world of the
    three commits disagreed with another. `value` is the mean over the worlds. `needed` is how
    many worlds it would take where it is undecided (0: not known).
    """

    side: Side
    reason: str
    worlds: int
    value: float | None = None
    wrong: float = 0.0
    needed: int = 0

    @property
    def exact(self) -> bool:
        """Whether chance has no part in it."""
        return self.side is not Side.SKIP and self.wrong == 0


def metric_of(workload: Workload, name: str) -> Metric:
    """Return the metric of a workload that is called `name`, declared or not.

    Everything that is pulled can be asked for, by the name that a comparison gives it.
    """
    for metric in workload.metrics:
        if name in (metric.name, metric.source, metric.source.replace(":", ".")):
            return metric
    source = name
    for span in ("at", "end"):
        if name.startswith(f"{span}."):
            source = f"{span}:{name.removeprefix(f'{span}.')}"
    plain = source.replace(":", ".")
    return Metric(name=plain, source=source, smallest=_UNDECLARED, declared=False)


def tell_apart(metric: Metric, good: Values, bad: Values, seed: int) -> tuple[Evidence, Judgement]:
    """Return what the worlds say of BAD against GOOD, and the verdict, as a comparison gives it.

    Where each of the two is the same in all its worlds, there is no noise: then the metric is
    judged as an exact one is.
    """
    shared = [world for world in good if world in bad]
    blocks = make_blocks(
        {world: [good[world]] for world in shared}, {world: [bad[world]] for world in shared}
    )
    if _constant(good, shared) and _constant(bad, shared):
        evidence = assess(metric, blocks, [], seed, MetricClass.EXACT)
        judgement = judge(metric, evidence, 0.0)
        if judgement.verdict.differs:
            judgement = replace(judgement, reason="each the same in all its worlds")
        return evidence, judgement
    kind = MetricClass.COUNT if metric.kind is MetricClass.EXACT else metric.kind
    evidence = assess(metric, blocks, [], seed, kind)
    return evidence, judge(metric, evidence, evidence.p)


def decide(
    good: Values, bad: Values, found: Values, seed: int = 0, level: float = LEVEL
) -> Decision:
    """Return which of two commits, told apart before, a third is like.

    A commit is bad where it is nearer to BAD than to GOOD. It is exactly so where every world is
    that of one of them, or nothing varies from world to world; else the worlds' distances from
    the middle are tested as a comparison tests differences, signs flipped within worlds.
    """
    worlds = sorted(world for world in found if world in good and world in bad)
    if not worlds:
        return Decision(Side.SKIP, "there is no world that it and both ends came through", 0)
    value = _mean(found, worlds)
    like = _same_as(good, bad, found, worlds)
    if like is not None:
        name = "GOOD" if like is Side.GOOD else "BAD"
        return Decision(like, f"as {name} in all {len(worlds)} worlds", len(worlds), value)
    middle = {world: (good[world] + bad[world]) / 2 for world in worlds}
    changes = [found[world] - middle[world] for world in worlds]
    towards = _mean(bad, worlds) - _mean(good, worlds)
    effect = sum(changes) / len(changes)
    side = Side.BAD if effect * towards > 0 else Side.GOOD
    constant = all(_constant(one, worlds) for one in (good, bad, found))
    if constant and effect and len(worlds) >= LEAST_EXACT:
        reason = f"nearer to {side.value.upper()}, the same in all {len(worlds)} worlds"
        return Decision(side, reason, len(worlds), value)
    blocks = [Block((middle[world],), (found[world],)) for world in worlds]
    p = statistics.permutation_p(blocks, seed)
    if p > level:
        spread = statistics.standard_deviation(changes)
        needed = max(
            len(worlds) + 1, statistics.blocks_needed(spread, abs(effect), level) if effect else 0
        )
        reason = f"between the two (p = {p:.2g})"
        return Decision(Side.SKIP, reason, len(worlds), value, needed=needed)
    reason = f"nearer to {side.value.upper()} (p = {p:.2g})"
    return Decision(side, reason, len(worlds), value, wrong=p)


def _same_as(good: Values, bad: Values, found: Values, worlds: Sequence[int]) -> Side | None:
    """Return which end a commit is the same as in every world, None where it is neither."""
    telling = sum(good[world] != bad[world] for world in worlds)
    if telling < LEAST_EXACT:
        return None
    if all(found[world] == good[world] for world in worlds):
        return Side.GOOD
    if all(found[world] == bad[world] for world in worlds):
        return Side.BAD
    return None


def choose(candidates: Sequence[tuple[str, int]], bad: str, skipped: Collection[str]) -> str | None:
    """Return the commit to ask about next, None where there is no other to ask about.

    `candidates` are the commits that may be the first bad one, with what the answer about each
    rules out, the best first. Where one can't be judged, its neighbours often can't either: with
    each that was skipped, the next is looked for further from the middle.
    """
    known = [commit for commit, _ in candidates]
    left = [commit for commit in known if commit != bad and commit not in skipped]
    if not left:
        return None
    tried = sum(commit in skipped for commit in known)
    return left[min(len(left) - 1, ((1 << tried) - 1) // 2)]


def wrong_at_most(decisions: Iterable[Decision]) -> float:
    """Return at most how likely it is that one of the decisions is wrong: their sum.

    By Bonferroni; each is how likely its worlds are for a commit that is on the other side.
    """
    return min(1.0, sum(one.wrong for one in decisions))


def steps_left(candidates: int) -> int:
    """Return about how many commits have to be asked about where one of so many is the first."""
    return max(0, candidates - 1).bit_length()


def _constant(values: Values, worlds: Sequence[int]) -> bool:
    return len(worlds) >= LEAST_EXACT and len({values[world] for world in worlds}) == 1


def _mean(values: Values, worlds: Sequence[int]) -> float:
    return sum(values[world] for world in worlds) / len(worlds)
