# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/bench placebo`: how often real boots of two kernels that do the same are told apart.

The base and the base with a patch that only moves code about are booted in 60 worlds each. Of
those boots 50 comparisons are made, each as `patchbed compare` makes one: in 20 worlds the placebo
is taken for a new version of a series, and judged against the base; the placebo that sets the
metrics' classes, and has to come out clean, is the same two kernels in 20 other worlds.

Why other worlds: were classes set by the boots that are judged, a metric would be exact just where
nothing differs, and there could be no false alarm of an exact metric at all. Why 20 of them and
not all 40 that are left: that is as much as a comparison of 20 worlds knows of its placebo, and
with more of them it would less often take for exact what varies seldom. Why no world twice in one
comparison: the same world again is the same bytes again, and would count for two. It is a bit
harder than a real comparison, where the two pairs share the boots of the base.

The comparisons share worlds, so they are not independent, and the interval is a guide only. And
what it shows is no more than this: the two kernels differ in their layout, and as they are the
same two each time, a small difference between them that is always there is found each time, if
the smallest difference that matters does not cover it.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.alternate import BenchmarkError
from benchmarks.comparing import BASE, PLACEBO, RUNS, SEED, Wanted, counting, measured, tell
from harness import paths
from harness.measure.comparison import Comparison, Measured, Pair, compare
from harness.measure.metric import Metric
from harness.measure.verdicts import Verdict
from harness.measure.workload import load_workload
from harness.report.words import counted
from harness.results.measurements import read_plan

WORLDS = 60
COMPARISONS = 50
# So many worlds a comparison has: what `patchbed compare` takes if nothing is said.
EACH = 20
WORKLOADS = ("secretmem-idle", "modules-fragmented")
JUDGED = Pair("base", "taken for a new version")
CONTROL = Pair("base in other worlds", "placebo in other worlds")
_FAILURES = "boots that failed"
_ANY = "any of them"
_MOST_SHOWN = 10
_EVERY = 10


def draw_worlds(worlds: Sequence[int], number: int) -> tuple[list[int], list[int]]:
    """Return the worlds of comparison `number`: those that are judged, and those of its placebo.

    They are as many of either, EACH where there are twice as many, and no world is drawn twice.
    """
    each = min(EACH, len(worlds) // 2)
    drawn = random.Random(f"{SEED} {number}").sample(sorted(worlds), 2 * each)  # noqa: S311
    return drawn[:each], drawn[each:]


def recast(
    boots: Sequence[Measured], judged: Sequence[int], control: Sequence[int]
) -> list[Measured]:
    """Return the boots of these worlds, each as one of the arm that it stands for."""
    arms = {
        **{(BASE, world): JUDGED.reference for world in judged},
        **{(PLACEBO, world): JUDGED.new for world in judged},
        **{(BASE, world): CONTROL.reference for world in control},
        **{(PLACEBO, world): CONTROL.new for world in control},
    }
    return [
        Measured(arms[key], boot.workload, boot.block, boot.outcome, boot.values, boot.title)
        for boot in boots
        if (key := (boot.variant, boot.block)) in arms
    ]


@dataclass
class Tally:
    """The verdicts of many comparisons, by family, and in how many of them there was an alarm.

    A family is one whose p are adjusted together; the placebo's gates are adjusted apart from its
    other metrics, and counted with them. `named` counts what alarms were of.
    """

    comparisons: int = 0
    verdicts: dict[str, Counter[Verdict]] = field(default_factory=dict)
    alarmed: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)

    def add(self, found: Comparison) -> None:
        """Count a comparison's verdicts."""
        self.comparisons += 1
        told = [
            (one.family, one.verdict, f"{one.workload} {one.metric.name}") for one in found.findings
        ]
        told += [(_FAILURES, one.verdict, one.workload) for one in found.failures]
        for family, verdict, name in told:
            self.verdicts.setdefault(family, Counter())[verdict] += 1
            if verdict.differs:
                self.named[f"{family}: {name} {verdict}"] += 1
        alarmed = {family for family, verdict, _ in told if verdict.differs}
        self.alarmed.update([*alarmed, *([_ANY] if alarmed else [])])

    def table(self) -> str:
        """Return how many of each verdict, and the share of comparisons with an alarm."""
        head = "".join(f"{verdict:>14}" for verdict in Verdict)
        lines = [f"{'':18}{head}"]
        for family in self.families:
            cells = "".join(f"{self.verdicts[family][verdict]:14,}" for verdict in Verdict)
            lines.append(f"{family:18}{cells}")
        lines += [
            "",
            f"{'any false alarm':18}{'comparisons':>14}{'share':>14}   95% (Clopper-Pearson)",
        ]
        for family in (*self.families, _ANY):
            alarms = self.alarmed[family]
            low, high = exact_interval(alarms, self.comparisons)
            share = alarms / self.comparisons
            many = f"{alarms} of {self.comparisons}"
            lines.append(f"{family:18}{many:>14}{share:14.1%}   {low:.1%} to {high:.1%}")
        shown = self.named.most_common(_MOST_SHOWN)
        lines += [f"  {name} in {counted(count, 'comparison')}" for name, count in shown]
        if len(self.named) > len(shown):
            lines.append(f"  ... {len(self.named) - len(shown)} more")
        return "\n".join(lines)

    @property
    def families(self) -> list[str]:
        """The families in which something was judged, the gates first."""
        known = ("gate", "exploratory", "placebo", _FAILURES)
        return [family for family in known if family in self.verdicts]


def exact_interval(found: int, of: int) -> tuple[float, float]:
    """Return the 95% interval of a share by Clopper and Pearson (1934)."""
    from scipy.stats import binomtest

    interval = binomtest(found, of).proportion_ci(0.95, method="exact")
    return float(interval.low), float(interval.high)


def resample(
    boots: Sequence[Measured],
    metrics: Mapping[str, Sequence[Metric]],
    gates: Sequence[tuple[str, str]],
    comparisons: int,
) -> Tally:
    """Return the verdicts of so many comparisons, each of worlds drawn anew from those of `boots`.

    `gates` are (workload, metric).

    Raises:
        BenchmarkError: there are too few worlds to draw from.
    """
    worlds = sorted({boot.block for boot in boots})
    if len(worlds) < 2:
        raise BenchmarkError("it takes two worlds at least: one to judge, one for the placebo")
    tally = Tally()
    for number in range(comparisons):
        chosen = recast(boots, *draw_worlds(worlds, number))
        tally.add(
            compare(chosen, metrics, [JUDGED], placebo=CONTROL, gates=gates, seed=SEED + number)
        )
        if (number + 1) % _EVERY == 0:
            tell(f"{number + 1}/{comparisons} comparisons")
    return tally


def main(
    worlds: int = WORLDS,
    comparisons: int = COMPARISONS,
    workloads: Sequence[str] = WORKLOADS,
    runs: Path = RUNS,
) -> None:
    """Boot what is missing, compare again and again, and print how often a difference is found.

    Raises:
        BenchmarkError: one was found, or there are boots missing.
        UserError: there is no such workload.
    """
    wanted = Wanted([BASE, PLACEBO], workloads, worlds)
    loaded = [load_workload(name, paths.TESTCASES) for name in workloads]
    folder = measured(runs, wanted)
    records = counting(folder)
    gates = [(gate[0], gate[1]) for gate in read_plan(folder).gates]
    metrics = {one.key: one.metrics for one in loaded}
    tally = resample([one.measured for one in records], metrics, gates, comparisons)
    each = min(EACH, worlds // 2)
    sys.stdout.write(
        f"{comparisons} comparisons of {counted(each, 'world')}, drawn from {worlds} of the base "
        f"and the placebo\n({', '.join(metrics)}; {len(records)} boots, "
        f"{counted(len(gates), 'gate')})\n\n{tally.table()}\n{folder.path}\n"
    )
    if tally.alarmed[_ANY]:
        raise BenchmarkError(
            f"in {tally.alarmed[_ANY]} of {comparisons} comparisons of kernels that do the same "
            "a difference was found"
        )
