# SPDX-License-Identifier: GPL-2.0-or-later
"""Measured boots of several variants, compared metric by metric."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from harness.measure import statistics
from harness.measure.metric import Metric, MetricClass, Smallest, settle_class
from harness.measure.statistics import Block, Interval
from harness.measure.verdicts import LEVEL, Evidence, Judgement, Verdict, assess, judge
from harness.outcomes import Outcome

MOST_GATES = 6
# What nobody declared is looked at all the same; this much of it is worth a word.
_UNDECLARED = Smallest(absolute=1, relative=0.1)


@dataclass(frozen=True)
class Measured:
    """One boot: of which variant, doing what, in which block, how it ended, and its values."""

    variant: str
    workload: str
    block: int
    outcome: Outcome
    values: Mapping[str, float] = field(default_factory=dict)
    title: str = ""


@dataclass(frozen=True)
class Pair:
    """Two variants, `new` judged against `reference`."""

    reference: str
    new: str


@dataclass(frozen=True)
class Finding:
    """A metric of a workload for a pair: the evidence, p adjusted for its family, the verdict.

    `family` is "gate", "exploratory" or "placebo".
    """

    workload: str
    pair: Pair
    metric: Metric
    family: str
    evidence: Evidence
    p: float
    judgement: Judgement

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
    """All that the boots say."""

    findings: tuple[Finding, ...]
    failures: tuple[Failures, ...]
    kept: tuple[Kept, ...]
    boots: int
    placebo: str

    @property
    def false_alarms(self) -> tuple[Finding, ...]:
        """Differences that the placebo was found to make."""
        return tuple(
            one for one in self.findings if one.family == "placebo" and one.verdict.differs
        )

    def gates(self) -> list[Finding]:
        return [one for one in self.findings if one.family == "gate"]


def pairs_of(reference: str, variants: Sequence[str]) -> list[Pair]:
    """Return the pairs to judge: each variant against the reference, then against the one before.

    With base, v1 and v2 these are v1-base, v2-base and v2-v1.
    """
    new = [variant for variant in variants if variant != reference]
    pairs = [Pair(reference, variant) for variant in new]
    return pairs + [Pair(earlier, later) for earlier, later in pairwise(new)]


def choose_gates(
    metrics: Mapping[str, Sequence[Metric]], pairs: Sequence[Pair]
) -> list[tuple[str, str]]:
    """Return the (workload, metric) that are gates: those declared, while 6 tests are enough."""
    most = MOST_GATES // max(1, len(pairs))
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

    A metric's class comes from the `placebo` pair's boots, which are judged as all others are.
    """
    table = _Table(boots)
    chosen = set(gates)
    found: dict[str, list[_Raw]] = {"gate": [], "exploratory": [], "placebo": []}
    for workload in metrics:
        for metric in _with_undeclared(metrics[workload], table.names(workload)):
            control = table.blocks(workload, metric.source, placebo) if placebo else []
            kind = settle_class(metric.kind, statistics.differences(control))
            for pair in [*pairs, *([placebo] if placebo else [])]:
                raw = _raw(table, workload, pair, metric, control, kind, seed)
                if raw is not None:
                    is_gate = (workload, metric.name) in chosen
                    family = "gate" if is_gate else "exploratory"
                    found["placebo" if pair == placebo else family].append(raw)
    findings = [
        *_judged("gate", found["gate"], statistics.holm, level),
        *_judged("exploratory", found["exploratory"], statistics.benjamini_hochberg, level),
        *_judged("placebo", found["placebo"], statistics.benjamini_hochberg, level),
    ]
    every = [*pairs, *([placebo] if placebo else [])]
    return Comparison(
        findings=tuple(findings),
        failures=tuple(_failures(table, list(metrics), every, level)),
        kept=tuple(_kept(table, findings, pairs, metrics, seed)),
        boots=len(boots),
        placebo=placebo.new if placebo else "",
    )


@dataclass(frozen=True)
class _Raw:
    workload: str
    pair: Pair
    metric: Metric
    evidence: Evidence


class _Table:
    """Values by workload, variant and block."""

    def __init__(self, boots: Sequence[Measured]) -> None:
        self._boots: dict[tuple[str, str], list[Measured]] = defaultdict(list)
        self._names: dict[str, dict[str, None]] = defaultdict(dict)
        for boot in boots:
            self._boots[boot.workload, boot.variant].append(boot)
            self._names[boot.workload].update(dict.fromkeys(boot.values))

    def names(self, workload: str) -> list[str]:
        return list(self._names[workload])

    def arm(self, workload: str, variant: str) -> list[Measured]:
        return self._boots.get((workload, variant), [])

    def values(self, workload: str, variant: str, source: str) -> dict[int, list[float]]:
        """Return an arm's values by block; a boot that did not come through has none."""
        values: dict[int, list[float]] = {}
        for boot in self.arm(workload, variant):
            mine = values.setdefault(boot.block, [])
            if boot.outcome is Outcome.PASS and source in boot.values:
                mine.append(boot.values[source])
        return values

    def blocks(self, workload: str, source: str, pair: Pair) -> list[Block]:
        return statistics.make_blocks(
            self.values(workload, pair.reference, source), self.values(workload, pair.new, source)
        )


def _with_undeclared(declared: Sequence[Metric], names: Sequence[str]) -> list[Metric]:
    known = {metric.source for metric in declared}
    rest = [
        Metric(name=name.replace(":", "."), source=name, smallest=_UNDECLARED, declared=False)
        for name in names
        if name not in known
    ]
    return [*declared, *rest]


def _raw(
    table: _Table,
    workload: str,
    pair: Pair,
    metric: Metric,
    control: Sequence[Block],
    kind: MetricClass,
    seed: int,
) -> _Raw | None:
    blocks = table.blocks(workload, metric.source, pair)
    has_any = any(block.reference or block.new for block in blocks)
    if not has_any and not metric.declared:
        return None
    # What only one of them has, like a counter that the series adds, is shown where declared.
    if not metric.declared and not any(block.whole for block in blocks):
        return None
    return _Raw(workload, pair, metric, assess(metric, blocks, control, seed, kind))


def _judged(
    family: str,
    raws: Sequence[_Raw],
    adjust: Callable[[Sequence[float]], list[float]],
    level: float,
) -> list[Finding]:
    adjusted = adjust([raw.evidence.p for raw in raws])
    return [
        Finding(
            raw.workload,
            raw.pair,
            raw.metric,
            family,
            raw.evidence,
            p,
            judge(raw.metric, raw.evidence, p, level),
        )
        for raw, p in zip(raws, adjusted, strict=True)
    ]


def _failures(
    table: _Table, workloads: Sequence[str], pairs: Sequence[Pair], level: float
) -> list[Failures]:
    rows: list[tuple[str, Pair, int, int, int, int, float]] = []
    for workload in workloads:
        for pair in pairs:
            reference, new = (table.arm(workload, name) for name in (pair.reference, pair.new))
            counts = (_failed(reference), len(reference), _failed(new), len(new))
            if counts[0] or counts[2]:
                rows.append((workload, pair, *counts, statistics.boschloo_p(*counts)))
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
    steps = [pair for pair in pairs if pair.reference != reference]
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
                share, interval = kept_share(*arms, seed=seed)
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
) -> tuple[float | None, Interval | None]:
    """Return (base - later) / (base - earlier) of the arms' means over blocks that all three have.

    With its interval, blocks resampled. None where there is no such block, or no gain.
    """
    import numpy as np

    shared = [key for key in base if base[key] and earlier.get(key) and later.get(key)]
    if not shared:
        return None, None
    gains = [np.mean(base[key]) - np.mean(earlier[key]) for key in shared]
    keeps = [np.mean(base[key]) - np.mean(later[key]) for key in shared]
    total = float(np.mean(gains))
    if total == 0 or not math.isfinite(total):
        return None, None
    # A block is (gain of the earlier, gain of the later): the ratio of their means is wanted.
    blocks = [
        Block((float(gain),), (float(keep),)) for gain, keep in zip(gains, keeps, strict=True)
    ]
    interval = statistics.bootstrap_interval(
        blocks, lambda gain, keep: np.asarray(keep.mean(axis=1) / gain.mean(axis=1)), seed
    )
    return float(np.mean(keeps)) / total, interval
