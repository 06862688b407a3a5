# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/bench worlds`: how long a comparison takes, as a ratio to its boots one at a time.

The comparison is the one that the project is for: the base, v1, v2 and the placebo do secretmem
and modules, idle and fragmented. Beside it, half before and half after, so that a drift of the
host touches both, a world's boots are done one at a time: what the same takes without
guests in parallel. That first world also makes what is still to be made (kernels, modules,
images), so that the comparison finds it warm.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.alternate import BenchmarkError
from benchmarks.comparing import (
    BASE,
    RUNS,
    V1,
    V2,
    Wanted,
    begun,
    counting,
    tell,
)
from harness.outcomes import Outcome
from harness.report.words import duration
from harness.results.measurements import BootRecord, CompareFolder
from harness.run.compare_plan import DEFAULT_WORKLOADS
from harness.run.compare_plan import PLACEBO as PLACEBO_SERIES

WORLDS = 20
# 20 worlds in half an hour on 2 cores.
SECONDS_A_WORLD = 90.0


@dataclass(frozen=True)
class Pace:
    """How long a comparison took: `seconds` from its command to its report, for `records`.

    `alone` are the boots that were done one at a time. `load` is the host's load average before
    any of it: what others took.
    """

    worlds: int
    seconds: float
    records: Sequence[BootRecord]
    alone: Sequence[BootRecord]
    load: float = 0.0

    @property
    def one_at_a_time(self) -> float:
        """How many seconds the same boots would take one at a time."""
        return statistics.fmean(one.seconds for one in self.alone) * len(self.records)

    @property
    def goal(self) -> float:
        """How many seconds it may take."""
        return SECONDS_A_WORLD * self.worlds

    def report(self, cores: int) -> str:
        """Return what it took: all of it, a boot, a world, and beside boots one at a time."""
        boots, seconds = len(self.records), self.seconds
        by_itself = statistics.fmean(one.seconds for one in self.alone)
        each = statistics.fmean(one.seconds for one in self.records)
        ratio = self.one_at_a_time / seconds
        met = "met" if seconds <= self.goal else "missed"
        rows = [
            (
                "all of it",
                f"{duration(seconds)} on {cores} cores, at most {duration(self.goal)}: {met}",
            ),
            ("a world", duration(seconds / self.worlds)),
            (
                "a boot",
                f"{seconds / boots:.1f} s of the whole; {each:.1f} s from its start to its end",
            ),
            (
                "one at a time",
                f"{duration(self.one_at_a_time)}: {by_itself:.1f} s a boot, by {len(self.alone)} "
                "of them beside it",
            ),
            ("ratio", f"{ratio:.2f} times as fast as one at a time"),
            ("others", f"load average {self.load:.1f} before it began"),
        ]
        return "\n".join(f"  {name:14} {text}" for name, text in rows)


def compared(runs: Path, wanted: Wanted, at_once: int = 0) -> tuple[CompareFolder, float]:
    """Return a new comparison in `runs`, and how many seconds it took, all in all.

    `at_once` guests run side by side, 0 for as many as the host has room for.

    Raises:
        BenchmarkError: not every boot came through.
    """
    began = time.monotonic()
    folder = begun(runs, wanted, at_once)
    seconds = time.monotonic() - began
    bad = [one for one in counting(folder) if one.outcome is not Outcome.PASS]
    if bad:
        raise BenchmarkError(
            f"{folder.path}: {len(bad)} boots did not come through, so the time says nothing: "
            f"{bad[0].boot.variant} {bad[0].boot.workload}: {bad[0].outcome}"
        )
    return folder, seconds


def sample(wanted: Wanted, world: int) -> list[BootRecord]:
    """Return the boots of one world of `wanted`, done one at a time."""
    one = Wanted(wanted.variants, wanted.workloads, 1, first=world, placebo=wanted.placebo)
    tell(f"bench: world {world}, one boot at a time")
    with tempfile.TemporaryDirectory(prefix="patchbed-bench-") as folder:
        return counting(compared(Path(folder), one, at_once=1)[0])


def main(
    worlds: int = WORLDS, workloads: Sequence[str] = DEFAULT_WORKLOADS, runs: Path = RUNS
) -> None:
    """Compare, and print how long it took; the comparison is kept in `runs`.

    Raises:
        BenchmarkError: it took longer than it may, or not every boot came through.
        UserError: there is no such workload.
    """
    wanted = Wanted([BASE, V1, V2], workloads, worlds, placebo=PLACEBO_SERIES)
    load = os.getloadavg()[0]
    alone = sample(wanted, 1)
    tell(f"bench: {worlds} worlds, guests side by side")
    folder, seconds = compared(runs, wanted)
    alone += sample(wanted, worlds)
    pace = Pace(worlds, seconds, counting(folder), alone, load)
    sys.stdout.write(
        f"{worlds} worlds, 4 kernels, {', '.join(wanted.workloads)}: {len(pace.records)} boots\n"
        f"{pace.report(os.cpu_count() or 1)}\n{folder.path}\n"
    )
    if seconds > pace.goal:
        raise BenchmarkError(f"{worlds} worlds took {duration(seconds)}")
