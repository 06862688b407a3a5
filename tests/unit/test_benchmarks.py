# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import alternate, boot, boots, reporting
from benchmarks.alternate import BenchmarkError, Timing, alternate_calls, time_together
from benchmarks.boots import Verdict
from harness.results.measurements import CompareFolder, read_plan, read_records
from harness.run.compare_plan import boots_of


def test_several_at_once_overlap() -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    one = time_together(argv, 1)
    assert time_together(argv, 3) < 2.5 * one


def test_one_that_fails_is_told() -> None:
    with pytest.raises(BenchmarkError, match="exit 3"):
        time_together([sys.executable, "-c", "raise SystemExit(3)"], 2)


def test_the_first_round_does_not_count() -> None:
    values = iter([9.0, 1.0, 2.0])
    assert alternate_calls({"one": lambda: next(values)}, 2) == {"one": Timing((1.0, 2.0))}
    assert alternate.ratios({"a": Timing((2.0, 6.0)), "b": Timing((1.0, 2.0))}, "b")["a"] == 2.5


def test_what_there_are_aims_for_is_compared() -> None:
    timings = {
        boot.BARE: Timing((1.0, 2.0)),
        boot.together(boot.BARE): Timing((2.0, 4.0)),
        boot.OURS: Timing((1.25, 2.5)),
        f"{boot.OURS} --snapshot": Timing((0.5, 1.0)),
        boot.together(boot.OURS): Timing((2.5, 5.0)),
        boot.PEER: Timing((5.0, 10.0)),
    }
    assert boot.comparisons(timings) == {
        "patchbed boot / bare QEMU": 1.25,
        "patchbed boot --snapshot / patchbed boot": 0.4,
        "vng -- uname -r / patchbed boot": 4.0,
        "throughput of 4 at once / of one: bare QEMU": 2.0,
        "throughput of 4 at once / of one: patchbed boot": 2.0,
    }
    assert "patchbed boot --snapshot" in boot.report(timings)


def test_a_boot_that_was_not_told_as_good_is_seen() -> None:
    verdicts = [Verdict("cold", True, "pass", 1.0), Verdict("batch", False, "kernel.lost", 2.0)]
    table = boots.table(verdicts)
    assert "cold            1      1      1.00" in table
    assert "batch           1      0" in table
    assert "not good: batch: kernel.lost (1)" in table


def test_simulated_boots_are_a_comparison_s(tmp_path: Path) -> None:
    path = reporting.write_comparison(tmp_path, 32)
    folder = CompareFolder(path)
    records = read_records(folder)
    wanted = {boot for boot in boots_of(read_plan(folder)) if not boot.repetition}
    assert {one.boot for one in records} == wanted
    assert len(records) == 32
    assert min(len(one.values) for one in records) > 290
    assert reporting.parse_seconds(path / "boots.jsonl") > 0
