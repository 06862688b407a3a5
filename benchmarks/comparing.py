# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed compare` as a process of its own, in a folder that the next call finds again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.alternate import BenchmarkError
from harness import paths
from harness.errors import UserError
from harness.measure.workload import load_workload
from harness.outcomes import ExitCode
from harness.results.measurements import (
    PLAN,
    BootRecord,
    CompareFolder,
    StoredPlan,
    read_plan,
    read_records,
    still_missing,
)
from harness.run.compare_plan import MACHINE, NO_PLACEBO, boots_of

BASE = "debian-6.1"
V1, V2 = "debian-6.1+gfp-unmapped@v1", "debian-6.1+gfp-unmapped@v2"
PLACEBO = "debian-6.1+placebo@v1"
PROFILE = "fast"
SEED = 20230308
# Beside the runs, not among them: what is measured here is nobody's last comparison.
RUNS = paths.PROJECT / "runs" / "bench"


@dataclass(frozen=True)
class Wanted:
    """A comparison in deterministic worlds: which variants do which workloads, and where.

    The worlds are `count` of them, from number `first` on; `placebo` is SERIES@VERSION or none.
    """

    variants: Sequence[str]
    workloads: Sequence[str]
    count: int
    first: int = 1
    placebo: str = NO_PLACEBO

    @property
    def arguments(self) -> list[str]:
        """What `patchbed compare` is called with."""
        words = [*self.variants, "--profile", PROFILE, "--placebo", self.placebo]
        words += ["--worlds", str(self.count), "--first", str(self.first), "--seed", str(SEED)]
        return [*words, *(word for name in self.workloads for word in ("-w", name))]

    def planned_by(self, plan: StoredPlan) -> bool:
        """Return whether `plan` boots the same, perhaps in another order."""
        keys = [load_workload(name, paths.TESTCASES).key for name in self.workloads]
        placebos = [] if self.placebo == NO_PLACEBO else [BASE, f"{BASE}+{self.placebo}"]
        return (
            plan.variants == list(self.variants)
            and plan.workloads == keys
            and plan.control == placebos
            and plan.blocks == list(range(self.first, self.first + self.count))
            and (plan.machine, plan.profile) == (MACHINE, PROFILE)
            and not plan.patches
        )


def find_comparison(runs: Path, wanted: Wanted) -> CompareFolder | None:
    """Return the latest comparison in `runs` that is the `wanted` one, None where there is none."""
    for path in sorted(runs.glob(f"*/{PLAN}"), reverse=True):
        folder = CompareFolder(path.parent)
        try:
            if wanted.planned_by(read_plan(folder)):
                return folder
        except UserError:
            continue  # Of another version.
    return None


def measured(runs: Path, wanted: Wanted) -> CompareFolder:
    """Return the `wanted` comparison with all of its boots; what is missing is booted.

    One that was begun with other kernels can't be gone on with: another is begun.

    Raises:
        BenchmarkError: boots are missing all the same.
        KeyboardInterrupt: cancelled; what came through is kept.
    """
    known = find_comparison(runs, wanted)
    if known is not None:
        tell(f"bench: going on with {known.path}")
        if run_compare(["--resume", str(known.path)]) != ExitCode.USAGE:
            return whole(known)
        tell("bench: that can't be gone on with; beginning anew")
    return begun(runs, wanted)


def begun(runs: Path, wanted: Wanted, at_once: int = 0) -> CompareFolder:
    """Return the `wanted` comparison, begun anew in `runs`, with all of its boots.

    `at_once` guests run side by side, 0 for as many as the host has room for.

    Raises:
        BenchmarkError: it has come to nothing, or boots are missing.
        KeyboardInterrupt: cancelled; what came through is kept.
    """
    before = find_comparison(runs, wanted)
    run_compare([*wanted.arguments, "--runs", str(runs), "--jobs", str(at_once)])
    folder = find_comparison(runs, wanted)
    if folder is None or (before is not None and before.path == folder.path):
        raise BenchmarkError("`patchbed compare` has begun no comparison")
    return whole(folder)


def whole(folder: CompareFolder) -> CompareFolder:
    """Return `folder`, none of whose boots is missing.

    Raises:
        BenchmarkError: some are.
    """
    missing = still_missing(boots_of(read_plan(folder)), read_records(folder))
    if missing:
        raise BenchmarkError(f"{folder.path}: {len(missing)} boots are missing; call it again")
    return folder


def run_compare(arguments: Sequence[str]) -> int:
    """Return the exit code of `patchbed compare`, which says on standard error how far it is.

    Its report is left in its folder.

    Raises:
        KeyboardInterrupt: cancelled, and it has ended.
    """
    argv = [sys.executable, "-m", "harness.cli.main", "compare", *arguments]
    with subprocess.Popen(
        argv, cwd=paths.PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has told it, too: it keeps what it has, and ends its guests.
            process.wait()
            raise


def counting(folder: CompareFolder) -> list[BootRecord]:
    """Return the boots that are measured, without the self-check, in the plan's order."""
    order = {boot: place for place, boot in enumerate(boots_of(read_plan(folder)))}
    records = [one for one in read_records(folder) if not one.boot.repetition]
    return sorted(records, key=lambda one: order[one.boot])


def tell(text: str) -> None:
    """Say how far we are, on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
