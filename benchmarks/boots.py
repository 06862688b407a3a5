# SPDX-License-Identifier: GPL-2.0-or-later
"""Many boots of a good kernel in a row: each must be told as good."""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.alternate import BenchmarkError
from harness.errors import PatchbedError
from harness.guest.batch import run_batch
from harness.guest.guest import Guest
from harness.guest.image import build_image
from harness.guest.machine import Machine, load_machine
from harness.guest.scratch import private_folder
from harness.guest.script import ScriptResult, Step, carry_out
from harness.guest.snapshot import restored
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.variant import parse

WAYS = ("cold", "snapshot", "batch", "world")
STEPS = (
    Step("release", "uname -r"),
    Step("work", "cat /proc/vmstat > /tmp/a && cmp /tmp/a /tmp/a", files=("/proc/meminfo",)),
)
_COUNT = 200


@dataclass(frozen=True)
class Verdict:
    """What a boot was told to be, and how long the whole of it took in seconds."""

    way: str
    good: bool
    told: str
    seconds: float


def boot_once(kernel: Kernel, image: Path, way: str, machine: str) -> Verdict:
    """Boot, do the steps, end; nothing that goes wrong is raised."""
    start = time.monotonic()
    try:
        with private_folder() as folder:
            chosen = load_machine("deterministic" if way == "world" else machine)
            result = _carry(kernel, image, chosen, folder, way)
        told = result.error.outcome if result.error else "pass"
        bad = [step for step in result.steps if step.outcome != "pass"]
        good = result.error is None and not bad
        if good:
            done = result["release"].completed
            good = done is not None and done.stdout.decode().strip() == kernel.release
        elif bad:
            told = bad[0].outcome
    except PatchbedError as error:
        good, told = False, f"{error.outcome}: {error.message}"
    return Verdict(way, good, str(told), time.monotonic() - start)


def table(verdicts: list[Verdict]) -> str:
    """Return a row for each way: how many, how many good, how long."""
    lines = [f"{'way':10} {'boots':>6} {'good':>6} {'median s':>9} {'fastest':>9} {'slowest':>9}"]
    for way in dict.fromkeys(verdict.way for verdict in verdicts):
        mine = [verdict for verdict in verdicts if verdict.way == way]
        seconds = [verdict.seconds for verdict in mine]
        lines.append(
            f"{way:10} {len(mine):6} {sum(verdict.good for verdict in mine):6} "
            f"{statistics.median(seconds):9.2f} {min(seconds):9.2f} {max(seconds):9.2f}"
        )
    wrong = Counter(f"{verdict.way}: {verdict.told}" for verdict in verdicts if not verdict.good)
    lines += [f"not good: {what} ({count})" for what, count in wrong.items()]
    return "\n".join(lines)


def main(count: int = _COUNT, variant: str = "debian-6.1", machine: str = "q35-4g") -> None:
    """Boot `count` times, each way in turn, and print the table.

    Raises:
        BenchmarkError: a boot was not told as good.
    """
    kernel = obtain(parse(variant), "fast", listen=lambda event: None)
    image = build_image({})
    verdicts: list[Verdict] = []
    for number in range(count):
        verdict = boot_once(kernel, image, WAYS[number % len(WAYS)], machine)
        verdicts.append(verdict)
        sys.stderr.write(
            f"{number + 1}/{count}: {verdict.way} {verdict.told} {verdict.seconds:.2f} s\n"
        )
    sys.stdout.write(table(verdicts) + "\n")
    wrong = sum(not verdict.good for verdict in verdicts)
    if wrong:
        raise BenchmarkError(f"{wrong} of {count} boots of a good kernel were not told as good")


def _carry(kernel: Kernel, image: Path, machine: Machine, folder: Path, way: str) -> ScriptResult:
    if way in ("batch", "world"):
        return run_batch(kernel, image, machine, STEPS, folder)
    if way == "snapshot":
        with restored(kernel, image, machine, folder) as guest:
            return carry_out(guest, STEPS)
    with Guest(kernel, image, machine, folder) as guest:
        return carry_out(guest, STEPS)
