# SPDX-License-Identifier: GPL-2.0-or-later
"""How long `patchbed compare --report` takes over many boots, made by simulation."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.alternate import LIMIT, BenchmarkError
from harness import paths
from harness.measure.metric import MetricClass
from harness.measure.workload import Workload, load_workload
from harness.outcomes import Outcome
from harness.results.measurements import (
    BOOTS,
    Boot,
    BootRecord,
    StoredPlan,
    dump_record,
    new_folder,
)
from harness.run.compare_plan import DEFAULT_WORKLOADS, MACHINE, gates_of

if TYPE_CHECKING:
    from numpy.random import Generator

BASE, V1, V2 = "debian-6.1", "debian-6.1+gfp-unmapped@v1", "debian-6.1+gfp-unmapped@v2"
PLACEBO = "debian-6.1+placebo@v1"
_FACTORS = {BASE: 1.0, V1: 0.01, V2: 0.02, PLACEBO: 1.0}
BOOTS_WANTED = 10_000
SECONDS = 10.0
SEED = 20230308
# What a recorded boot of secretmem-fragmented has beside the declared metrics: about 300 counters,
# of which 20 differ from world to world and 30 between variants, and the others never.
_CONSTANT, _NOISY, _MOVED = 240, 20, 30


def simulated_plan(workloads: Sequence[Workload], worlds: int) -> StoredPlan:
    """Return the plan of a comparison of three variants and a placebo."""
    variants = [BASE, V1, V2]
    return StoredPlan(
        command=["patchbed", "compare", *variants],
        variants=variants,
        control=[BASE, PLACEBO],
        profile="fast",
        machine=MACHINE,
        accelerator="tcg",
        workloads=[one.key for one in workloads],
        blocks=list(range(1, worlds + 1)),
        seed=SEED,
        gates=[list(gate) for gate in gates_of(workloads, variants)],
        version="simulated",
    )


def simulated_values(generator: Generator, workload: Workload, variant: str) -> dict[str, float]:
    """Return the values of one boot: the workload's metrics, and counters that nobody declared."""
    factor = _FACTORS[variant]
    values = {f"vmstat.constant_{number}": float(number % 7) for number in range(_CONSTANT)}
    for number in range(_MOVED):
        values[f"vmstat.moved_{number}"] = float(round(1000 * factor) + number)
    for number, drawn in enumerate(generator.poisson(100, _NOISY)):
        values[f"vmstat.noisy_{number}"] = float(drawn)
    for metric in workload.metrics:
        if metric.kind is MetricClass.LATENCY:
            values[metric.source] = float(round(generator.normal(10_000, 500)))
        else:
            values[metric.source] = float(round(1000 * factor) + generator.poisson(3))
    return values


def simulated_records(workloads: Sequence[Workload], worlds: int) -> Iterator[BootRecord]:
    """Yield every boot of `simulated_plan`; one in 500 panicked."""
    import numpy as np

    generator = np.random.default_rng(SEED)
    for world in range(1, worlds + 1):
        for workload in workloads:
            for variant in _FACTORS:
                boot = Boot(variant, workload.key, world)
                if generator.random() < 0.002:
                    yield BootRecord(boot, Outcome.KERNEL_PANIC, title="simulated", seconds=6.0)
                    continue
                values = simulated_values(generator, workload, variant)
                yield BootRecord(boot, Outcome.PASS, seconds=6.0, values=values)


def write_comparison(runs: Path, boots: int) -> Path:
    """Return a comparison's folder in `runs` with about so many simulated boots."""
    workloads = [load_workload(name, paths.TESTCASES) for name in DEFAULT_WORKLOADS]
    worlds = max(1, boots // (len(workloads) * len(_FACTORS)))
    folder = new_folder(runs, simulated_plan(workloads, worlds))
    with (folder.path / BOOTS).open("w", encoding="utf-8") as stream:
        for record in simulated_records(workloads, worlds):
            stream.write(dump_record(record) + "\n")
    return folder.path


def parse_seconds(path: Path) -> float:
    """Return how long it takes to read a file of JSON lines with json alone."""
    start = time.monotonic()
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            json.loads(line)
    return time.monotonic() - start


def report_seconds(folder: Path) -> float:
    """Return how long `patchbed compare --report` takes, as a process of its own.

    Raises:
        BenchmarkError: it did not report.
    """
    argv = [sys.executable, "-m", "harness.cli.main", "compare", "--report", str(folder), "--json"]
    start = time.monotonic()
    done = subprocess.run(argv, capture_output=True, cwd=paths.PROJECT, timeout=LIMIT, check=False)
    seconds = time.monotonic() - start
    found: Mapping[str, object] = json.loads(done.stdout) if done.stdout else {}
    if not found.get("findings"):
        raise BenchmarkError(f"no report: {done.stderr.decode(errors='replace')[-800:]}")
    return seconds


def main(boots: int = BOOTS_WANTED) -> None:
    """Print how long a report of many boots takes.

    Raises:
        BenchmarkError: it takes longer than it may.
    """
    with tempfile.TemporaryDirectory() as runs:
        folder = write_comparison(Path(runs), boots)
        parsed = min(parse_seconds(folder / BOOTS) for _ in range(3))
        seconds = min(report_seconds(folder) for _ in range(3))
    sys.stdout.write(
        f"a report of {boots:,} boots: {seconds:.1f} s (at most {SECONDS:g}), "
        f"{seconds / parsed:.1f} times as long as reading them with json alone ({parsed:.1f} s)\n"
    )
    if seconds > SECONDS:
        raise BenchmarkError(f"a report of {boots:,} boots takes {seconds:.1f} s")
