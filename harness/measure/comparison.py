# SPDX-License-Identifier: GPL-2.0-or-later
"""Measured boots of several variants, compared metric by metric."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING

from harness.measure import statistics
from harness.measure.arms import (
    Arms,
    arms_of,
    paired_arms,
    resampled_means,
    resampled_medians,
)
from harness.measure.metric import Metric, MetricClass, Smallest, settle_class
from harness.measure.statistics import Block, Interval
from harness.measure.verdicts import (
    LEVEL,
    Evidence,
    Judgement,
    Question,
    Verdict,
    assess_all,
    judge,
)
from harness.outcomes import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_GATES = 6
# What nobody declared is looked at all the same; this much of it is worth a word.
_UNDECLARED = Smallest(absolute=1, relative=0.1)


@dataclass(frozen=True)
class Measured:
    """One boot: of which variant, doing what, in which block, how it ended, and its values.

    `splits` are those of 2M mappings by percent of the work done; no verdict is about them.
    """

    variant: str
    workload: str
    block: int
    outcome: Outcome
    values: Mapping[str, float] = field(default_factory=dict)
    title: str = ""
    splits: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Two variants, `new` judged against `reference`."""

    reference: str
    new: str


@dataclass(frozen=True)
class Finding:
    """A metric of a workload for a pair: the evidence, p adjusted for its family, the verdict.

    `family` is "gate", "exploratory" or "placebo". The metric is a `gate` or not in the placebo's
    rows, too: there gates have their p adjusted as gates have it, and apart from all else.
    """

    workload: str
    pair: Pair
    metric: Metric
    family: str
    evidence: Evidence
    p: float
    judgement: Judgement
    gate: bool = False

    @property
    def verdict(self) -> Verdict:
        return self.judgement.verdict


@dataclass(frozen=True)
class Failures:
    """How many boots of a workload did not come through, in each arm of a pair."""

    workload: str
    pair: Pair
    failed: int
    boots: int
    new_failed: int
    new_boots: int
    p: float
    verdict: Verdict


@dataclass(frozen=True)
class Kept:
    """How much of an earlier version's gain a later one keeps: a share, 1 for all of it.

    `share` is None where the earlier one's gain is not shown.
    """

    workload: str
    metric: Metric
    reference: str
    earlier: str
    later: str
    share: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Comparison:
    """All that the boots say.

    `unmeasured` are the workloads for which there is no block that both the placebo and its
    reference came through.
    """

    findings: tuple[Finding, ...]
    failures: tuple[Failures, ...]
    kept: tuple[Kept, ...]
    boots: int
    placebo: str
    unmeasured: tuple[str, ...] = ()

    @property
    def false_alarms(self) -> tuple[Finding, ...]:
        """Differences that the placebo was found to make."""
        return tuple(
            one for one in self.findings if one.family == "placebo" and one.verdict.differs
        )

    @property
    def placebo_failures(self) -> tuple[Failures, ...]:
        """How many of the placebo's boots did not come through, where any of either arm did not."""
        return tuple(one for one in self.failures if one.pair.new == self.placebo)

    @property
    def clean(self) -> bool:
        """Whether nothing speaks against the placebo, or there is none.

        Against it speak metrics that differ, boots that fail more or less often, and workloads of
        which it says nothing.
        """
        failing = any(one.verdict.differs for one in self.placebo_failures)
        return not (self.false_alarms or failing or self.unmeasured)

    def gates(self) -> list[Finding]:
        return [one for one in self.findings if one.family == "gate"]


def pairs_of(reference: str, variants: Sequence[str]) -> list[Pair]:
    """Return the pairs to judge: each variant against the reference, then against the one before.

    With base, v1 and v2 these are v1-base, v2-base and v2-v1.
    """
    new = [variant for variant in variants if variant != reference]
    pairs = [Pair(reference, variant) for variant in new]
    return pairs + successive(new)


def successive(variants: Sequence[str]) -> list[Pair]:
    """Return the pairs of variants that follow each other."""
    return [Pair(earlier, later) for earlier, later in pairwise(variants)]


def choose_gates(
    metrics: Mapping[str, Sequence[Metric]], pairs: Sequence[Pair]
) -> list[tuple[str, str]]:
    """Return the (workload, metric) that are gates: those declared, while 6 tests are enough.

    One is taken however many pairs there are: without any, nothing would be decided.
    """
    most = max(1, MOST_GATES // max(1, len(pairs)))
    declared = [
        (workload, metric.name)
        for workload, all_ in metrics.items()
        for metric in all_
        if metric.gate
    ]
    return declared[:most]


def compare(
    boots: Sequence[Measured],
    metrics: Mapping[str, Sequence[Metric]],
    pairs: Sequence[Pair],
    *,
    placebo: Pair | None,
    gates: Iterable[tuple[str, str]] = (),
    seed: int = 0,
    level: float = LEVEL,
) -> Comparison:
    """Return what `boots` say of each of `metrics` (by workload) and what else they measured.

    A metric's class comes from the `placebo` pair's boots, which are judged as all others are: its
    gates by Holm's adjustment, the rest by Benjamini and Hochberg's, neither beside the versions'.
    """
    table = _Table(boots)
    found = _answered(_asked(table, metrics, pairs, placebo, set(gates)), seed)
    findings = [one for raws in found.values() for one in _judged(raws, level)]
    workloads = list(metrics)
    failures = _failures(table, workloads, pairs, level)
    unmeasured: list[str] = []
    if placebo:
        failures += _failures(table, workloads, [placebo], level)
        failures.sort(key=lambda one: workloads.index(one.workload))
        unmeasured = [workload for workload in workloads if not table.shares(workload, placebo)]
    return Comparison(
        findings=tuple(findings),
        failures=tuple(failures),
        kept=tuple(_kept(table, findings, pairs, metrics, seed)),
        boots=len(boots),
        placebo=placebo.new if placebo else "",
        unmeasured=tuple(unmeasured),
    )


@dataclass(frozen=True)
class _Asked:
    """A question of a workload's pair, and the family that the answer belongs to."""

    workload: str
    pair: Pair
    family: str
    gate: bool
    question: Question


@dataclass(frozen=True)
class _Raw:
    asked: _Asked
    evidence: Evidence


class _Arm:
    """The boots of a variant that did one workload; `single` where no block has two of them."""

    def __init__(self, boots: Sequence[Measured]) -> None:
        self.boots = boots
        self.blocks = [boot.block for boot in boots]
        self.single = len(set(self.blocks)) == len(boots)

    def rows(self, names: Sequence[str], blocks: Sequence[int]) -> Floats:
        """Return a row a name with a value a block, NaN where there is none."""
        import numpy as np

        rows = np.full((len(blocks), len(names)), np.nan)
        places = {block: place for place, block in enumerate(blocks)}
        pick = itemgetter(*names) if len(names) > 1 else None
        for boot in self.boots:
            if boot.outcome is not Outcome.PASS:
                continue
            values: Sequence[float]
            try:
                values = pick(boot.values) if pick else [boot.values[name] for name in names]
            except KeyError:
                values = [boot.values.get(name, math.nan) for name in names]
            rows[places[boot.block]] = values
        return np.ascontiguousarray(rows.T)

    def values(self, source: str) -> dict[int, list[float]]:
        """Return the values by block; a boot that did not come through has none."""
        values: dict[int, list[float]] = {}
        for boot in self.boots:
            mine = values.setdefault(boot.block, [])
            if boot.outcome is Outcome.PASS and source in boot.values:
                mine.append(boot.values[source])
        return values

    @property
    def survived(self) -> set[int]:
        """The blocks in which a boot came through."""
        return {boot.block for boot in self.boots if boot.outcome is Outcome.PASS}


class _Table:
    """Values by workload, variant and block."""

    def __init__(self, boots: Sequence[Measured]) -> None:
        by_arm: dict[tuple[str, str], list[Measured]] = defaultdict(list)
        self._names: dict[str, dict[str, int]] = defaultdict(dict)
        for boot in boots:
            by_arm[boot.workload, boot.variant].append(boot)
            known = self._names[boot.workload]
            if not boot.values.keys() <= known.keys():
                for name in boot.values:
                    known.setdefault(name, len(known))
        self._arms = {key: _Arm(mine) for key, mine in by_arm.items()}
        self._rows: dict[tuple[str, str, tuple[int, ...]], Floats] = {}

    def names(self, workload: str) -> list[str]:
        return list(self._names[workload])

    def arm(self, workload: str, variant: str) -> _Arm:
        return self._arms.get((workload, variant)) or _Arm([])

    def values(self, workload: str, variant: str, source: str) -> dict[int, list[float]]:
        return self.arm(workload, variant).values(source)

    def shares(self, workload: str, pair: Pair) -> bool:
        """Return whether there is a block that both of a pair came through."""
        first, second = (self.arm(workload, name) for name in (pair.reference, pair.new))
        return not first.survived.isdisjoint(second.survived)

    def arms(self, workload: str, pair: Pair) -> Callable[[str], Arms]:
        """Return what gives a pair's arms for a value's name."""
        reference, new = (self.arm(workload, name) for name in (pair.reference, pair.new))
        if not (reference.single and new.single):
            return lambda source: arms_of(
                statistics.make_blocks(reference.values(source), new.values(source))
            )
        blocks = tuple(sorted({*reference.blocks, *new.blocks}))
        places = self._names[workload]
        first = self._all_rows(workload, pair.reference, blocks)
        second = self._all_rows(workload, pair.new, blocks)

        def arms(source: str) -> Arms:
            place = places.get(source)
            if place is None:
                return arms_of([Block((), ())] * len(blocks))
            return paired_arms(first[place], second[place])

        return arms

    def _all_rows(self, workload: str, variant: str, blocks: tuple[int, ...]) -> Floats:
        key = (workload, variant, blocks)
        if key not in self._rows:
            self._rows[key] = self.arm(workload, variant).rows(self.names(workload), blocks)
        return self._rows[key]


def _asked(
    table: _Table,
    metrics: Mapping[str, Sequence[Metric]],
    pairs: Sequence[Pair],
    placebo: Pair | None,
    gates: set[tuple[str, str]],
) -> list[_Asked]:
    """Return what is asked of each metric and pair, each workload's metrics in their order."""
    asked: list[_Asked] = []
    every = [*pairs, *([placebo] if placebo else [])]
    for workload in metrics:
        lookups = [(pair, table.arms(workload, pair)) for pair in every]
        for metric in _with_undeclared(metrics[workload], table.names(workload)):
            control = lookups[-1][1](metric.source) if placebo else None
            kind = settle_class(metric.kind, [] if control is None else control.changes.tolist())
            for pair, arms_for in lookups:
                arms = control if control is not None and pair == placebo else None
                arms = arms_for(metric.source) if arms is None else arms
                if not _worth_asking(metric, arms):
                    continue
                gate = (workload, metric.name) in gates
                family = "gate" if gate else "exploratory"
                family = "placebo" if pair == placebo else family
                question = Question(metric, kind, arms, control)
                asked.append(_Asked(workload, pair, family, gate, question))
    return asked


def _worth_asking(metric: Metric, arms: Arms) -> bool:
    if not arms.any and not metric.declared:
        return False
    # What only one of them has, like a counter that the series adds, is shown where declared.
    return metric.declared or len(arms) > 0


def _answered(asked: Sequence[_Asked], seed: int) -> dict[tuple[str, bool], list[_Raw]]:
    """Return the evidence on what is asked, by family and whether it is on gates, these first."""
    found: dict[tuple[str, bool], list[_Raw]] = {
        ("gate", True): [],
        ("exploratory", False): [],
        ("placebo", True): [],
        ("placebo", False): [],
    }
    answers = assess_all([one.question for one in asked], seed)
    for one, evidence in zip(asked, answers, strict=True):
        found[one.family, one.gate].append(_Raw(one, evidence))
    return found


def _with_undeclared(declared: Sequence[Metric], names: Sequence[str]) -> list[Metric]:
    known = {metric.source for metric in declared}
    rest = [
        Metric(name=name.replace(":", "."), source=name, smallest=_UNDECLARED, declared=False)
        for name in names
        if name not in known
    ]
    return [*declared, *rest]


def _judged(raws: Sequence[_Raw], level: float) -> list[Finding]:
    """Return the verdicts on a family, its p-values adjusted together: gates or none of them.

    Of what nobody has chosen beforehand, what can't be found counts for nothing (Tarone 1990): a
    metric that is the same in all blocks has p = 1 whatever the labels, and thousands of these
    would keep anything from being found, an alarm of the placebo first.
    """
    gates = any(raw.asked.gate for raw in raws)
    adjust = statistics.holm if gates else statistics.benjamini_hochberg
    tested = [index for index, raw in enumerate(raws) if gates or raw.evidence.differing]
    adjusted = [1.0] * len(raws)
    for index, p in zip(tested, adjust([raws[index].evidence.p for index in tested]), strict=True):
        adjusted[index] = p
    return [
        Finding(
            raw.asked.workload,
            raw.asked.pair,
            raw.asked.question.metric,
            raw.asked.family,
            raw.evidence,
            p,
            judge(raw.asked.question.metric, raw.evidence, p, level),
            raw.asked.gate,
        )
        for raw, p in zip(raws, adjusted, strict=True)
    ]


def _failures(
    table: _Table, workloads: Sequence[str], pairs: Sequence[Pair], level: float
) -> list[Failures]:
    rows: list[tuple[str, Pair, int, int, int, int, float]] = []
    for workload in workloads:
        for pair in pairs:
            reference = table.arm(workload, pair.reference).boots
            new = table.arm(workload, pair.new).boots
            counts = (_failed(reference), len(reference), _failed(new), len(new))
            if counts[0] or counts[2]:
                rows.append((workload, pair, *counts, statistics.rates_p(*counts)))
    adjusted = statistics.holm([row[-1] for row in rows])
    return [
        Failures(*row[:-1], p=p, verdict=_failure_verdict(*row[2:6], p, level))
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _failed(boots: Sequence[Measured]) -> int:
    return sum(boot.outcome is not Outcome.PASS for boot in boots)


def _failure_verdict(
    failed: int, boots: int, new_failed: int, new_boots: int, p: float, level: float
) -> Verdict:
    if p > level or not boots or not new_boots:
        return Verdict.INCONCLUSIVE
    worse = new_failed / new_boots > failed / boots
    return Verdict.REGRESSED if worse else Verdict.IMPROVED


def _kept(
    table: _Table,
    findings: Sequence[Finding],
    pairs: Sequence[Pair],
    metrics: Mapping[str, Sequence[Metric]],
    seed: int,
) -> list[Kept]:
    """Return for each version after the first what it keeps of the gain of the one before."""
    if len(pairs) < 3:
        return []
    reference = pairs[0].reference
    verdicts = {(one.workload, one.metric.name, one.pair): one.verdict for one in findings}
    # Two versions of a series: both have been held against the reference.
    steps = [
        pair for pair in pairs if pair.reference != reference and Pair(reference, pair.new) in pairs
    ]
    kept: list[Kept] = []
    for workload, declared in metrics.items():
        for metric in declared:
            for step in steps:
                gained = verdicts.get((workload, metric.name, Pair(reference, step.reference)))
                if gained is not Verdict.IMPROVED:
                    continue
                arms = [
                    table.values(workload, variant, metric.source)
                    for variant in (reference, step.reference, step.new)
                ]
                by_median = metric.kind is MetricClass.LATENCY
                share, interval = kept_share(*arms, seed=seed, by_median=by_median)
                kept.append(
                    Kept(workload, metric, reference, step.reference, step.new, share, interval)
                )
    return kept


def kept_share(
    base: Mapping[int, Sequence[float]],
    earlier: Mapping[int, Sequence[float]],
    later: Mapping[int, Sequence[float]],
    *,
    seed: int = 0,
    by_median: bool = False,
) -> tuple[float | None, Interval | None]:
    """Return (base - later) / (base - earlier) of the arms' means over blocks that all three have.

    Of their medians with `by_median`. With its interval, blocks resampled. None where there is no
    such block, or no gain.
    """
    import numpy as np

    shared = [key for key in base if base[key] and earlier.get(key) and later.get(key)]
    if not shared:
        return None, None
    means = [np.array([_mean(arm[key]) for key in shared]) for arm in (base, earlier, later)]
    if by_median:
        return _kept_of_medians(means, seed)
    gains, keeps = means[0] - means[1], means[0] - means[2]
    total = float(np.mean(gains))
    if total == 0 or not math.isfinite(total):
        return None, None
    gain, keep = resampled_means([gains, keeps], seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        interval = statistics.interval_of(keep / gain, len(shared))
    return float(np.mean(keeps)) / total, interval


def _kept_of_medians(arms: Sequence[Floats], seed: int) -> tuple[float | None, Interval | None]:
    import numpy as np

    base, earlier, later = (float(np.median(arm)) for arm in arms)
    if base == earlier:
        return None, None
    drawn = [resampled_medians(arm, seed) for arm in arms]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (drawn[0] - drawn[2]) / (drawn[0] - drawn[1])
    interval = statistics.interval_of(shares, len(arms[0]))
    return (base - later) / (base - earlier), interval


def _mean(values: Sequence[float]) -> float:
    import numpy as np

    return values[0] if len(values) == 1 else float(np.mean(values))
