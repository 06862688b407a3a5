# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from pydantic import ValidationError

from harness.measure.comparison import (
    Comparison,
    Finding,
    Measured,
    Pair,
    choose_gates,
    compare,
    kept_share,
    pairs_of,
)
from harness.measure.metric import Better, Metric, MetricClass, Smallest, settle_class
from harness.measure.statistics import Block, benjamini_hochberg
from harness.measure.verdicts import Judgement, Verdict, assess, judge
from harness.outcomes import Outcome

SPLITS = Metric(
    name="splits",
    source="vmstat.splits",
    unit="splits",
    better=Better.LESS,
    smallest=Smallest(absolute=4, relative=0.1),
    gate=True,
)
LATENCY = Metric(
    name="fault",
    source="out.fault",
    unit="ns",
    kind=MetricClass.LATENCY,
    better=Better.LESS,
    smallest=Smallest(relative=0.05),
)
BASE, V1, V2, PLACEBO = "base", "base+s@v1", "base+s@v2", "base+placebo@v1"


def blocks(reference: Sequence[float], new: Sequence[float]) -> list[Block]:
    return [Block((a,), (b,)) for a, b in zip(reference, new, strict=True)]


def verdict(metric: Metric, reference: Sequence[float], new: Sequence[float]) -> Judgement:
    evidence = assess(metric, blocks(reference, new), (), seed=1)
    return judge(metric, evidence, evidence.p)


def test_a_difference_that_is_sure_and_matters() -> None:
    noise = [0, 3, 1, -2, 2, -1, 0, 1]
    base = [100 + one for one in noise]
    assert verdict(SPLITS, base, [50 - one for one in noise]).verdict is Verdict.IMPROVED
    assert verdict(SPLITS, base, [150 - one for one in noise]).verdict is Verdict.REGRESSED
    neutral = SPLITS.model_copy(update={"better": Better.NEITHER})
    assert verdict(neutral, base, [150 - one for one in noise]).verdict is Verdict.CHANGED


def test_sure_but_too_small_to_matter_is_equivalent() -> None:
    base = [100.0, 101, 99, 102, 98, 100, 103, 97]
    found = verdict(SPLITS, base, [one - 1 for one in base])
    assert found.verdict is Verdict.EQUIVALENT


def test_neither_is_inconclusive_and_says_what_it_would_take() -> None:
    base = [100.0, 140, 60, 120, 80, 150, 50, 100]
    new = [130.0, 80, 90, 100, 110, 90, 120, 60]
    found = verdict(SPLITS, base, new)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.needed > len(base)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_blocks_are_never_equivalent(count: int) -> None:
    """If this failed, two boots that came out alike would pass for a proof."""
    for kind in MetricClass:
        metric = SPLITS.model_copy(update={"kind": kind})
        control = blocks([7.0] * count, [7.0] * count)
        evidence = assess(metric, control, control, seed=0, kind=kind)
        found = judge(metric, evidence, evidence.p)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.needed == 6


def test_nothing_to_compare() -> None:
    evidence = assess(SPLITS, [Block((1.0,), ()), Block((), (2.0,))], (), seed=0)
    assert (evidence.blocks, evidence.lost) == (0, 2)
    assert judge(SPLITS, evidence, 1.0).verdict is Verdict.INCONCLUSIVE


def test_exact_means_any_difference() -> None:
    base = [5.0] * 6
    control = blocks(base, base)
    metric = SPLITS.model_copy(update={"smallest": Smallest(absolute=3)})

    def found(new: Sequence[float]) -> Judgement:
        evidence = assess(metric, blocks(base, new), control, seed=0, kind=MetricClass.EXACT)
        return judge(metric, evidence, evidence.p)

    assert found([6.0] * 6).verdict is Verdict.CHANGED
    assert found([9.0] * 6).verdict is Verdict.REGRESSED
    assert found([1.0] * 6).verdict is Verdict.IMPROVED
    assert found(base).verdict is Verdict.EQUIVALENT
    assert "at most 39% would differ" in found(base).reason
    once = found([6.0, 5, 5, 5, 5, 5])
    assert once.verdict is Verdict.INCONCLUSIVE
    assert once.needed > 6


def judged_exact(changes: Sequence[float], smallest: float = 0.1) -> Judgement:
    """Return the verdict on an exact metric that a series changes by so much, world by world."""
    base = [100.0] * len(changes)
    metric = SPLITS.model_copy(update={"smallest": Smallest(absolute=smallest)})
    new = [100.0 + change for change in changes]
    kind = MetricClass.EXACT
    evidence = assess(metric, blocks(base, new), blocks(base, base), seed=0, kind=kind)
    return judge(metric, evidence, evidence.p)


def test_an_exact_metric_gets_no_direction_from_the_sign_of_its_mean() -> None:
    """If this failed, noise that a series adds would be better or worse by the toss of a coin."""
    up_and_down = [3.0, -2, 5, -4, 1, -1, 2, -3, 4, -2, 3, -5, 2, -1, 4, -3, 1, 2, -2, 1]
    for sign in (1, -1):
        found = judged_exact([sign * change for change in up_and_down])
        assert found.verdict is Verdict.CHANGED
    assert judged_exact(up_and_down).reason.endswith("the placebo in none; up in 11, down in 9")


@pytest.mark.parametrize("count", [3, 4, 5, 6, 20])
def test_an_exact_metric_that_goes_one_way_has_its_direction(count: int) -> None:
    for way, expected in ((1.0, Verdict.REGRESSED), (-1.0, Verdict.IMPROVED)):
        assert judged_exact([way] * count).verdict is expected
        assert judged_exact([way * (1 + 7 * (one % 2)) for one in range(count)]).verdict is expected
    assert judged_exact([1.0] * count, smallest=2).verdict is Verdict.CHANGED
    # One world that goes the other way, by as much as the others together.
    mixed = judged_exact([*[1.0] * (count - 1), -0.9 * (count - 1)], smallest=0.001)
    assert mixed.verdict is Verdict.CHANGED


def test_noise_around_the_same_mean_seldom_has_a_direction() -> None:
    generator = np.random.default_rng(4)
    drawn = [np.rint(generator.normal(0, 20, 20)).tolist() for _ in range(200)]
    found = [judged_exact(changes).verdict for changes in drawn]
    assert all(verdict.differs for verdict in found)
    assert found.count(Verdict.CHANGED) >= 180


def test_one_world_that_goes_the_other_way_counts_among_few() -> None:
    assert judged_exact([10.0] * 19 + [-1.0]).verdict is Verdict.REGRESSED
    assert judged_exact([10.0] * 4 + [-1.0]).verdict is Verdict.CHANGED


def test_worlds_that_do_not_differ_do_not_take_a_direction_away() -> None:
    assert judged_exact([2.0, 2, 0, 2, 2]).verdict is Verdict.REGRESSED
    assert judged_exact([2.0] * 6 + [0.0] * 14).verdict is Verdict.REGRESSED


def test_three_worlds_are_enough_where_all_differ() -> None:
    """1 of the 20 ways to choose 3 of 6 worlds: 5%, which counts as significant."""
    base = [1024.0] * 3
    found = assess(SPLITS, blocks(base, [3.0] * 3), blocks(base, base), 0, MetricClass.EXACT)
    assert judge(SPLITS, found, found.p).verdict is Verdict.IMPROVED
    assert judge(SPLITS, found, 0.0501).needed == 4


def test_the_placebo_settles_the_class() -> None:
    assert settle_class(MetricClass.COUNT, [0.0, 0.0]) is MetricClass.EXACT
    assert settle_class(MetricClass.EXACT, [0.0, 1.0]) is MetricClass.COUNT
    assert settle_class(MetricClass.LATENCY, [0.0, 1.0]) is MetricClass.LATENCY
    # Without a placebo nothing shows what a metric does of itself.
    assert settle_class(MetricClass.EXACT, []) is MetricClass.COUNT
    assert settle_class(MetricClass.GAUGE, []) is MetricClass.GAUGE


def test_without_a_placebo_nothing_is_exact() -> None:
    """If this failed, what differs in all worlds would be told as chance, whatever the number."""
    exact = SPLITS.model_copy(update={"kind": MetricClass.EXACT, "smallest": Smallest(absolute=1)})
    measured = [*boots(BASE, [7.0] * 20), *boots(V1, [8.0] * 20)]
    found = compare(
        measured, {"w": [exact]}, [Pair(BASE, V1)], placebo=None, gates=[("w", "splits")]
    )
    [gate] = found.gates()
    assert (gate.evidence.kind, gate.verdict) == (MetricClass.COUNT, Verdict.REGRESSED)
    assert "placebo" not in gate.judgement.reason
    # As many boots of a placebo of which none came through say as little.
    dead = [Measured(PLACEBO, "w", one, Outcome.KERNEL_PANIC) for one in range(1, 21)]
    [gate] = compare(
        [*measured, *dead],
        {"w": [exact]},
        [Pair(BASE, V1)],
        placebo=Pair(BASE, PLACEBO),
        gates=[("w", "splits")],
    ).gates()
    assert (gate.evidence.kind, gate.verdict) == (MetricClass.COUNT, Verdict.REGRESSED)
    evidence = assess(exact, blocks([7.0] * 20, [8.0] * 20), (), seed=0)
    assert judge(exact, evidence, evidence.p).verdict is Verdict.REGRESSED


def test_latency_is_a_ratio_of_medians() -> None:
    base = [1000.0, 1010, 990, 1020, 980, 1000, 1005, 100000]
    evidence = assess(LATENCY, blocks(base, [one * 0.8 for one in base]), (), seed=0)
    assert evidence.effect / evidence.reference == pytest.approx(-0.2)
    assert evidence.interval is not None
    assert evidence.interval.high / evidence.reference < -0.15


def test_a_latency_is_not_called_better_where_most_of_its_mean_is_worse() -> None:
    """If this failed, 9 worlds of 20 that take five times as long would be an improvement."""
    base = [1000.0] * 20
    new = [900.0] * 11 + [5000.0] * 9
    evidence = assess(LATENCY, blocks(base, new), (), seed=1)
    assert evidence.effect == -100
    assert evidence.p == 1
    assert verdict(LATENCY, base, new).verdict is Verdict.INCONCLUSIVE


def test_a_latency_s_verdict_needs_an_interval_on_one_side() -> None:
    """A quarter of the worlds decides the test of the mean, the median's interval includes 0."""
    base = [1000.0 + one for one in range(16)]
    new = [one * 0.93 for one in base[:9]] + [one * 1.002 for one in base[9:]]
    evidence = assess(LATENCY, blocks(base, new), (), seed=1)
    assert evidence.p < 0.05
    assert evidence.interval is not None
    assert evidence.interval.low < 0 < evidence.interval.high
    assert not verdict(LATENCY, base, new).verdict.differs


@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_a_latency_s_verdict_is_its_medians(ratio: float) -> None:
    base = [1000.0, 1010, 990, 1020, 980, 1000, 1005, 100000]
    found = verdict(LATENCY, base, [one * ratio for one in base])
    assert found.verdict is (Verdict.IMPROVED if ratio < 1 else Verdict.REGRESSED)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"kind": "gauge", "smallest": {"relative": 0.1}}, "absolute"),
        ({"gate": True, "better": "neither"}, "better"),
        ({"smallest": {}}, "more than 0"),
        ({"kind": "fast"}, "exact"),
    ],
)
def test_declarations_that_make_no_sense(update: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Metric.model_validate({"name": "x", "source": "vmstat.x"} | update)


def boots(
    variant: str, values: Sequence[float], source: str = "vmstat.splits", workload: str = "w"
) -> list[Measured]:
    return [
        Measured(variant, workload, number, Outcome.PASS, {source: value, "vmstat.other": 3.0})
        for number, value in enumerate(values, start=1)
    ]


NOISE = (0.0, 3, 1, -2, 2, -1, 0, 1, 4, -3)


def whole_comparison() -> Comparison:
    measured = [
        *boots(BASE, [1000 + one for one in NOISE]),
        *boots(V1, [10 - one for one in NOISE]),
        *boots(V2, [208 + one for one in NOISE]),
        *boots(PLACEBO, [1000 - one for one in NOISE]),
    ]
    return compare(
        measured,
        {"w": [SPLITS]},
        pairs_of(BASE, [BASE, V1, V2]),
        placebo=Pair(BASE, PLACEBO),
        gates=[("w", "splits")],
    )


def test_three_variants_make_three_pairs() -> None:
    assert pairs_of(BASE, [BASE, V1, V2]) == [Pair(BASE, V1), Pair(BASE, V2), Pair(V1, V2)]
    assert pairs_of(BASE, [BASE, V1]) == [Pair(BASE, V1)]


def test_a_whole_comparison() -> None:
    found = whole_comparison()
    verdicts = {one.pair: one.verdict for one in found.gates()}
    assert verdicts == {
        Pair(BASE, V1): Verdict.IMPROVED,
        Pair(BASE, V2): Verdict.IMPROVED,
        Pair(V1, V2): Verdict.REGRESSED,
    }
    assert not found.false_alarms
    others = [one for one in found.findings if one.metric.name == "vmstat.other"]
    assert {one.verdict for one in others} == {Verdict.EQUIVALENT}
    assert {one.evidence.kind for one in others} == {MetricClass.EXACT}
    [kept] = found.kept
    assert kept.share == pytest.approx(0.8, abs=0.01)
    assert kept.share is not None
    assert kept.interval is not None
    assert 0.79 < kept.interval.low <= kept.share <= kept.interval.high < 0.81


def test_what_never_differs_does_not_hide_an_alarm() -> None:
    """If this failed, the placebo would be clean whatever it does to a counter or two."""
    still = {f"vmstat.still_{number}": 7.0 for number in range(2000)}
    base = [
        Measured(
            BASE, "w", number, Outcome.PASS, {"vmstat.odd": 100.0 + NOISE[number % 10], **still}
        )
        for number in range(20)
    ]
    new = [
        Measured(PLACEBO, "w", one.block, one.outcome, {**one.values, "vmstat.odd": 300.0})
        for one in base
    ]
    found = compare([*base, *new], {"w": []}, [], placebo=Pair(BASE, PLACEBO))
    assert [one.metric.name for one in found.false_alarms] == ["vmstat.odd"]


GATE_NOISE = (-1.0, 2, 1, -1, 2, 0, 1, -2, 3, 1, 0, 2, -1, 1, 2, 0, -1, 3, 1, -2)


def noisy_placebo(counters: int) -> list[Measured]:
    """Return boots whose placebo has somewhat more splits, among counters that are only noisy."""
    generator = np.random.default_rng(2)
    measured: list[Measured] = []
    for name in (BASE, PLACEBO):
        for world in range(20):
            values = {f"vmstat.noisy_{one}": generator.normal(9, 1) for one in range(counters)}
            more = 1.5 if name == PLACEBO else 0.0
            values["vmstat.splits"] = 100 + more + (GATE_NOISE[world] if more else 0.0)
            measured.append(Measured(name, "w", world, Outcome.PASS, values))
    return measured


def test_the_placebo_s_gates_are_judged_as_gates_are() -> None:
    """If this failed, a gate would be tested harder than the placebo that vouches for it."""
    metric = SPLITS.model_copy(update={"smallest": Smallest(absolute=0.5)})
    pair = Pair(BASE, PLACEBO)
    boots_ = noisy_placebo(counters=100)
    as_gate = compare(boots_, {"w": [metric]}, [], placebo=pair, gates=[("w", "splits")])
    as_version = compare(boots_, {"w": [metric]}, [pair], placebo=None, gates=[("w", "splits")])
    [alarm] = as_gate.false_alarms
    [gate] = as_version.gates()
    assert (alarm.metric.name, alarm.family, alarm.gate) == ("splits", "placebo", True)
    assert (alarm.p, alarm.verdict) == (gate.p, gate.verdict) == (gate.evidence.p, gate.verdict)
    # The same metric, where nobody has chosen it beforehand, is one of many.
    [other] = [
        one
        for one in compare(boots_, {"w": [metric]}, [], placebo=pair).findings
        if one.metric.name == "splits"
    ]
    assert not other.gate
    assert other.p > alarm.p


def test_the_rest_of_the_placebo_is_adjusted_without_its_gates() -> None:
    found = compare(
        noisy_placebo(counters=3),
        {"w": [SPLITS]},
        [],
        placebo=Pair(BASE, PLACEBO),
        gates=[("w", "splits")],
    )
    rest = [one for one in found.findings if not one.gate]
    assert [one.p for one in rest] == benjamini_hochberg([one.evidence.p for one in rest])
    assert {one.family for one in found.findings} == {"placebo"}


def test_what_is_kept_of_a_latency_is_kept_by_medians() -> None:
    """If this failed, one world that is far off would decide what the table does not show."""
    arms = [{block: [value + block] for block in range(15)} for value in (1000.0, 500.0, 600.0)]
    arms[2][14] = [90000.0]
    share, interval = kept_share(*arms, by_median=True)
    assert share == pytest.approx(0.8)
    assert interval is not None
    assert 0.7 < interval.low <= interval.high < 0.9


def test_no_gain_is_never_kept() -> None:
    assert kept_share({1: [5.0]}, {1: [5.0]}, {1: [5.0]}) == (None, None)
    assert kept_share({1: [5.0]}, {2: [5.0]}, {1: [5.0]}) == (None, None)
    measured = [boot for name in (BASE, V1, V2) for boot in boots(name, [100.0] * 8)]
    found = compare(measured, {"w": [SPLITS]}, pairs_of(BASE, [BASE, V1, V2]), placebo=None)
    assert not found.kept


def test_an_arm_that_crashed_is_shown() -> None:
    died = [
        Measured(V1, "w", number, Outcome.KERNEL_PANIC, title="Kernel panic")
        for number in range(1, 11)
    ]
    measured = [*boots(BASE, [100.0] * 10), *died]
    found = compare(measured, {"w": [SPLITS]}, [Pair(BASE, V1)], placebo=None)
    [failures] = found.failures
    assert (failures.failed, failures.new_failed, failures.new_boots) == (0, 10, 10)
    assert failures.verdict is Verdict.REGRESSED
    [declared] = [one for one in found.findings if one.metric.name == "splits"]
    assert declared.verdict is Verdict.INCONCLUSIVE
    assert (declared.evidence.blocks, declared.evidence.lost) == (0, 10)


def test_few_crashes_are_shown_without_a_verdict() -> None:
    measured = [*boots(BASE, [100.0] * 10), *boots(V1, [100.0] * 9)]
    measured.append(Measured(V1, "w", 10, Outcome.KERNEL_OOPS))
    found = compare(measured, {"w": [SPLITS]}, [Pair(BASE, V1)], placebo=None)
    assert found.failures[0].verdict is Verdict.INCONCLUSIVE
    [declared] = [one for one in found.findings if one.metric.name == "splits"]
    assert (declared.evidence.blocks, declared.evidence.lost) == (9, 1)


def test_gates_are_few() -> None:
    other = SPLITS.model_copy(update={"name": "other"})
    third = SPLITS.model_copy(update={"name": "third"})
    metrics = {"a": [SPLITS, other], "b": [third]}
    pairs = pairs_of(BASE, [BASE, V1, V2])
    assert choose_gates(metrics, pairs) == [("a", "splits"), ("a", "other")]
    assert len(choose_gates(metrics, pairs[:1])) == 3
    # Without any, nothing would be decided.
    assert choose_gates(metrics, pairs * 3) == [("a", "splits")]


def test_gates_are_held_to_a_stricter_level_together() -> None:
    """If this failed, each of six gates would have a false alarm of its own."""
    generator = np.random.default_rng(11)
    names = [f"m{number}" for number in range(6)]
    metrics = {
        name: [SPLITS.model_copy(update={"smallest": Smallest(relative=0.001)})] for name in names
    }
    measured: list[Measured] = []
    for name in names:
        shift = 2.4 if name == "m0" else 0.0
        base, new = generator.normal(100, 3, 8), generator.normal(100 + shift, 3, 8)
        measured += boots(BASE, list(base), workload=name) + boots(V1, list(new), workload=name)
    gates = [(name, "splits") for name in names]
    found = compare(measured, metrics, [Pair(BASE, V1)], placebo=None, gates=gates)
    first: Finding = found.gates()[0]
    assert first.p == pytest.approx(min(1.0, 6 * first.evidence.p), abs=0.2)
    assert first.p > first.evidence.p


def test_the_same_boots_give_the_same_findings() -> None:
    assert whole_comparison() == whole_comparison()
