# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import alternate, boot, boots, comparing, placebo, reporting, worlds
from benchmarks.alternate import BenchmarkError, Timing, alternate_calls, time_together
from benchmarks.boots import Verdict
from benchmarks.comparing import BASE, PLACEBO, Wanted
from harness.config import PathsTable, Settings
from harness.measure.comparison import Measured
from harness.measure.metric import Better, Metric, Smallest
from harness.outcomes import ExitCode, Outcome
from harness.paths import KERNEL_PATCHES, TESTCASES
from harness.results.measurements import (
    PLAN,
    Boot,
    BootRecord,
    CompareFolder,
    StoredPlan,
    new_folder,
    read_plan,
    read_records,
)
from harness.run.compare_plan import Design, boots_of, make_compare_plan


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


SETTINGS = Settings(paths=PathsTable(kernel_patches=str(KERNEL_PATCHES), testcases=str(TESTCASES)))
IDLE = Wanted([BASE, PLACEBO], ["idle-boot"], 3)


def plan_for(wanted: Wanted) -> StoredPlan:
    """Return the plan that `patchbed compare` makes of what it would be called with."""
    design = Design(wanted.count, wanted.first, placebo=wanted.placebo, seed=1)
    return make_compare_plan(
        SETTINGS, Path("/"), wanted.variants, ["patchbed"], wanted.workloads, design
    )


def end_boots(folder: CompareFolder, count: int | None = None) -> None:
    """Let the first `count` boots of a plan that are not known yet, or all, come through."""
    known = {record.boot for record in read_records(folder)}
    left = [one for one in boots_of(read_plan(folder)) if one not in known]
    with folder:
        for one in left[:count]:
            same = True if one.repetition else None
            folder.append(BootRecord(one, Outcome.PASS, seconds=6.0, same=same))


def test_a_comparison_of_before_is_found_again(tmp_path: Path) -> None:
    assert comparing.find_comparison(tmp_path, IDLE) is None
    kept = new_folder(tmp_path, plan_for(IDLE))
    for other in (
        Wanted([BASE, PLACEBO], ["idle-boot"], 4),
        Wanted([BASE, PLACEBO], ["idle-boot"], 3, first=2),
        Wanted([BASE, PLACEBO], ["idle-boot"], 3, placebo="gfp-unmapped@v1"),
        Wanted([BASE, comparing.V1], ["idle-boot"], 3),
        Wanted([BASE, PLACEBO], ["secretmem-idle:pages=64"], 3),
    ):
        new_folder(tmp_path, plan_for(other))
    broken = tmp_path / "99991231-000000-ffff"
    broken.mkdir()
    (broken / PLAN).write_text("{}")
    found = comparing.find_comparison(tmp_path, IDLE)
    assert found is not None and found.path == kept.path


def test_what_was_booted_before_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = new_folder(tmp_path, plan_for(IDLE))
    end_boots(kept, 4)
    called: list[Sequence[str]] = []

    def resumed(arguments: Sequence[str]) -> int:
        called.append(arguments)
        end_boots(kept)
        return ExitCode.FAILURE

    monkeypatch.setattr(comparing, "run_compare", resumed)
    assert comparing.measured(tmp_path, IDLE).path == kept.path
    assert called == [["--resume", str(kept.path)]]
    assert len(comparing.counting(kept)) == 6


def test_with_other_kernels_another_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path / "20200101-000000-0000"
    new_folder(tmp_path, plan_for(IDLE)).path.rename(before)

    def begun(arguments: Sequence[str]) -> int:
        if "--resume" in arguments:
            return ExitCode.USAGE
        end_boots(new_folder(tmp_path, plan_for(IDLE)), 7)
        return ExitCode.OK

    monkeypatch.setattr(comparing, "run_compare", begun)
    assert comparing.measured(tmp_path, IDLE).path != before


def test_boots_that_are_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = new_folder(tmp_path, plan_for(IDLE))
    end_boots(kept, 5)
    monkeypatch.setattr(comparing, "run_compare", lambda arguments: ExitCode.INFRASTRUCTURE)
    with pytest.raises(BenchmarkError, match="2 boots are missing"):
        comparing.measured(tmp_path, IDLE)
    with pytest.raises(BenchmarkError, match="no comparison"):
        comparing.begun(tmp_path, IDLE)


def placebo_boots(count: int, shift: float = 0.0) -> list[Measured]:
    """Return boots of the base and the placebo; `shift` is between them in every world."""
    chance = random.Random(1)  # noqa: S311
    return [
        Measured(
            variant,
            "w",
            world,
            Outcome.PASS,
            {
                "noisy": chance.gauss(1000, 10) + shift * (variant == PLACEBO),
                "constant": 7.0,
            },
        )
        for world in range(1, count + 1)
        for variant in (BASE, PLACEBO)
    ]


NOISY = Metric(
    name="noisy", source="noisy", better=Better.LESS, smallest=Smallest(absolute=20), gate=True
)
CONSTANT = Metric(name="constant", source="constant")


def test_each_comparison_has_as_many_worlds_for_its_placebo_and_none_twice() -> None:
    every = list(range(1, 61))
    drawn = [placebo.draw_worlds(every, number) for number in range(10)]
    assert drawn == [placebo.draw_worlds(every, number) for number in range(10)]
    assert len({tuple(judged) for judged, _ in drawn}) == 10
    for judged, control in drawn:
        assert len(judged) == len(control) == 20
        assert len({*judged, *control}) == 40
    judged, control = placebo.draw_worlds(every[:5], 0)
    assert (len(judged), len(control)) == (2, 2)


def test_the_placebo_s_boots_stand_for_a_version_and_for_the_placebo() -> None:
    boots_ = placebo.recast(placebo_boots(5), [1, 2], [4])
    assert [(one.variant, one.block) for one in boots_] == [
        (placebo.JUDGED.reference, 1),
        (placebo.JUDGED.new, 1),
        (placebo.JUDGED.reference, 2),
        (placebo.JUDGED.new, 2),
        (placebo.CONTROL.reference, 4),
        (placebo.CONTROL.new, 4),
    ]
    assert boots_[1].values == placebo_boots(5)[1].values


def test_kernels_that_do_the_same_are_not_told_apart() -> None:
    tally = placebo.resample(placebo_boots(60), {"w": [NOISY, CONSTANT]}, [("w", "noisy")], 20)
    assert not tally.alarmed
    assert {family: counts.total() for family, counts in tally.verdicts.items()} == {
        "gate": 20,
        "exploratory": 20,
        "placebo": 40,
    }
    table = tally.table()
    assert "0 of 20          0.0%   0.0% to 16.8%" in table
    assert max(map(len, table.splitlines())) <= 100


def test_a_difference_between_them_is_counted_in_each_family() -> None:
    boots_ = placebo_boots(60, shift=50)
    tally = placebo.resample(boots_, {"w": [NOISY, CONSTANT]}, [("w", "noisy")], 10)
    assert tally.alarmed == {"gate": 10, "placebo": 10, "any of them": 10}
    assert tally.named["gate: w noisy REGRESSED"] == 10
    assert "gate: w noisy REGRESSED in 10 comparisons" in tally.table()


def test_boots_that_fail_more_often_are_an_alarm() -> None:
    boots_ = [
        one
        if one.variant == BASE
        else Measured(one.variant, one.workload, one.block, Outcome.KERNEL_PANIC)
        for one in placebo_boots(60)
    ]
    tally = placebo.resample(boots_, {"w": [NOISY]}, [("w", "noisy")], 2)
    assert tally.alarmed["boots that failed"] == 2


def test_the_interval_of_a_share_is_clopper_and_pearson_s() -> None:
    low, high = placebo.exact_interval(0, 50)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 50))


def test_a_comparison_s_pace_is_a_ratio_to_boots_one_at_a_time() -> None:
    def ended(seconds: float, count: int) -> list[BootRecord]:
        return [
            BootRecord(Boot(BASE, "w", world), Outcome.PASS, seconds=seconds)
            for world in range(count)
        ]

    pace = worlds.Pace(20, 1200.0, ended(7.0, 320), ended(6.0, 16) + ended(8.0, 16), 0.25)
    assert pace.one_at_a_time == pytest.approx(320 * 7)
    said = pace.report(2)
    assert "20 min 00 s on 2 cores, at most 30 min 00 s: met" in said
    assert "1.87 times as fast" in said
    assert "load average 0.2 before" in said
    assert "a world        1 min 00 s" in said
    assert "3.8 s of the whole; 7.0 s" in said
    slow = worlds.Pace(20, 1900.0, ended(7.0, 320), ended(6.0, 16))
    assert "missed" in slow.report(2)
