# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from harness.config import PathsTable, Settings
from harness.errors import UserError
from harness.kernel.artifact import Kernel
from harness.kernel.series import load_series, subject
from harness.kernel.variant import Variant, parse
from harness.measure.comparison import Measured, Pair, compare
from harness.measure.metric import Better, Metric, Smallest
from harness.measure.verdicts import Verdict
from harness.measure.workload import load_workload
from harness.outcomes import Outcome
from harness.paths import KERNEL_PATCHES, TESTCASES
from harness.report.compare_figures import figures_of
from harness.report.compare_html import comparison_html
from harness.report.comparison import (
    Compared,
    as_json,
    exit_code,
    mail_text,
    markdown_text,
    report_lines,
)
from harness.report.per_patch import Step, courses_of, moved, steps_of
from harness.results.measurements import (
    Boot,
    BootRecord,
    StoredPlan,
    new_folder,
    read_plan,
)
from harness.run.compare_job import KERNELS, analyse
from harness.run.compare_plan import Design, boots_of, make_compare_plan, pairs_for
from harness.run.per_patch import after_each, booted_bytes, the_series, twins

SETTINGS = Settings(paths=PathsTable(kernel_patches=str(KERNEL_PATCHES), testcases=str(TESTCASES)))
V1 = "debian-6.1+gfp-unmapped@v1"
WORKLOAD = "secretmem-fragmented"
SUBJECTS = ["Move a header", "Add a cache", "Document it", "Use the cache " + "everywhere " * 9]
VARIANTS = ["mini", "mini+s@v1:1", "mini+s@v1:2", "mini+s@v1:3", "mini+s@v1"]
SPLITS = Metric(
    name="level2_splits",
    source="vmstat.splits",
    unit="splits",
    better=Better.LESS,
    smallest=Smallest(absolute=2, relative=0.1),
    gate=True,
)
REACH = Metric(name="reach", source="leaves.all", better=Better.LESS, smallest=Smallest(absolute=9))


def plan(variants: Sequence[str] = VARIANTS, worlds: int = 6) -> StoredPlan:
    return StoredPlan(
        command=["patchbed"],
        variants=list(variants),
        control=["mini", "mini+placebo@v1"],
        profile="fast",
        machine="deterministic",
        accelerator="auto",
        workloads=[WORKLOAD],
        blocks=list(range(1, worlds + 1)),
        seed=7,
        gates=[[WORKLOAD, "level2_splits"]],
        version="0.1.0",
        patches=SUBJECTS,
    )


def compared(
    splits: Mapping[str, float],
    *,
    worlds: int = 6,
    same: Mapping[str, str] | None = None,
    not_built: Mapping[str, str] | None = None,
) -> Compared:
    """Return a comparison whose boots are made up: `splits` by variant, the same in all worlds."""
    made, same, not_built = plan(worlds=worlds), same or {}, not_built or {}
    boots = [
        Measured(
            variant,
            WORKLOAD,
            world,
            Outcome.PASS,
            {SPLITS.source: value + world, REACH.source: 600.0},
        )
        for variant, value in {**splits, "mini+placebo@v1": splits["mini"]}.items()
        for world in made.blocks
    ]
    there = [variant for variant in VARIANTS if variant not in not_built]
    comparison = compare(
        boots,
        {WORKLOAD: [SPLITS, REACH]},
        pairs_for(made, there, same),
        placebo=Pair("mini", "mini+placebo@v1"),
        gates=[(WORKLOAD, "level2_splits")],
    )
    return Compared(
        name="20261123-000000-abcd",
        plan=made,
        comparison=comparison,
        descriptions={WORKLOAD: "Pages of secretmem"},
        wanted=len(boots),
        same=True,
        boots=boots,
        same_bytes=same,
        not_built=not_built,
        footprint={name: {"text_bytes": 8236970, "new_lines": 1} for name in there},
    )


ALL = dict(zip(VARIANTS, (1000.0, 1000.0, 1000.0, 1000.0, 3.0), strict=True))


def test_a_variant_stands_after_each_patch() -> None:
    whole = parse(V1)
    assert [str(one) for one in after_each(whole, 3)] == [
        "debian-6.1",
        f"{V1}:1",
        f"{V1}:2",
        V1,
    ]
    part = parse(f"{V1}:2")
    assert after_each(part, 2) == [Variant("debian-6.1"), parse(f"{V1}:1"), part]


@pytest.mark.parametrize(
    "variants",
    [["debian-6.1"], [V1, "debian-6.1+gfp-unmapped@v2"], ["debian-6.12", V1], []],
)
def test_it_is_one_series_on_its_base(variants: list[str]) -> None:
    assert the_series([parse("debian-6.1"), parse(V1)]) == the_series([parse(V1)]) == parse(V1)
    with pytest.raises(UserError, match="one series"):
        the_series([parse(text) for text in variants])


def test_the_plan_knows_the_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base is played: where its source is not installed there is none to ask."""

    class Played:
        series_version = "6.1"

    monkeypatch.setattr("harness.run.per_patch.obtain_base", lambda *_: Played())
    made = make_compare_plan(
        SETTINGS, Path("/"), [V1], ["patchbed"], [WORKLOAD], Design(per_patch=True, seed=1)
    )
    patches = load_series("gfp-unmapped", "v1").patches
    assert made.patches == [subject(patch) for patch in patches]
    assert made.variants[0] == "debian-6.1"
    assert made.variants[1] == f"{V1}:1"
    assert made.variants[-1] == V1
    assert len(made.variants) == len(patches) + 1
    # Five tests of one gate, more than the six would allow for two.
    assert made.gates == [[WORKLOAD, "level2_splits"]]


def test_what_boots_the_same_bytes_is_not_booted_twice(tmp_path: Path) -> None:
    def kernel(key: str, image: str) -> Kernel:
        sums = {"bzImage": image, "vmlinux": image, "config": key}
        return Kernel(key, "", "", "", "", "", tmp_path, meta={"checksums": sums})

    one = booted_bytes(kernel("a", "x"), Path("1.cpio.gz"))
    assert booted_bytes(kernel("b", "x"), Path("1.cpio.gz")) == one
    assert booted_bytes(kernel("b", "y"), Path("1.cpio.gz")) != one
    assert booted_bytes(kernel("b", "x"), Path("2.cpio.gz")) != one
    assert twins(zip("abcde", "xyxxy", strict=True)) == {"c": "a", "d": "a", "e": "b"}


def test_pairs_follow_each_other_and_none_is_of_the_same_bytes() -> None:
    assert pairs_for(plan(), VARIANTS, {}) == [Pair(*pair) for pair in pairwise(VARIANTS)]
    same = {VARIANTS[2]: VARIANTS[1], VARIANTS[3]: VARIANTS[1]}
    assert pairs_for(plan(), VARIANTS, same) == [
        Pair(VARIANTS[0], VARIANTS[1]),
        Pair(VARIANTS[1], VARIANTS[4]),
    ]
    whole = plan().model_copy(update={"patches": []})
    assert len(pairs_for(whole, VARIANTS, {})) == 7


def test_the_patch_that_moved_it_is_named() -> None:
    found = compared(ALL)
    text = "\n".join(report_lines(found))
    assert "patch 4 (Use the cache everywhere" in text
    assert "secretmem-fragmented level2_splits: 1,004 to 6.50, IMPROVED" in text
    assert "reach: 600 after every patch" in text
    [(step, [finding])] = moved(courses_of(found.comparison, WORKLOAD, found.steps)).items()
    assert (step.number, finding.metric.name) == (4, "level2_splits")
    assert exit_code(found) == 0
    document = json.loads(json.dumps(as_json(found), allow_nan=False))["per_patch"]
    assert [one["number"] for one in document["patches"]] == [1, 2, 3, 4]
    assert [(one["patch"], one["metric"]) for one in document["moved"]] == [(4, "level2_splits")]
    assert "patch 4 (Use the cache" in markdown_text(found)
    page = comparison_html(found, figures_of(found))
    assert "Which patch moved what" in page
    assert "patchbed compare --per-patch mini mini+s@v1 " in page


def test_what_a_version_keeps_of_another_s_gain_is_no_question() -> None:
    found = compared({**dict.fromkeys(VARIANTS, 3.0), VARIANTS[0]: 1000.0})
    assert found.comparison.gates()[0].verdict is Verdict.IMPROVED
    assert found.comparison.kept == ()


def test_a_patch_that_makes_it_worse_is_a_failure() -> None:
    worse = {**ALL, VARIANTS[2]: 2000.0, VARIANTS[3]: 2000.0}
    found = compared(worse)
    courses = courses_of(found.comparison, WORKLOAD, found.steps)
    assert [step.number for step in moved(courses)] == [2, 4]
    assert exit_code(found) == 1


def test_too_few_worlds_show_nothing_and_say_what_it_would_take() -> None:
    found = compared(ALL, worlds=3)
    text = "\n".join(report_lines(found))
    assert "none is shown to have moved anything" in text
    assert "patch 4 (Use the cache" in text
    assert "may have moved" in text
    assert "INCONCLUSIVE, it would take n = 5" in text
    [row] = [line for line in mail_text(found).splitlines() if line.startswith("    4 ")]
    assert row.endswith("INCONCL. 5")


def test_the_same_bytes_have_no_change_and_cost_no_test() -> None:
    same = {VARIANTS[2]: VARIANTS[1]}
    splits = {name: value for name, value in ALL.items() if name not in same}
    found = compared(splits, same=same)
    gates = found.comparison.gates()
    assert [one.pair for one in gates] == pairs_for(plan(), VARIANTS, same)
    text = "\n".join(report_lines(found))
    assert "2 Add a cache                " in text
    [row] = [line for line in text.splitlines() if line.startswith("    2 Add a cache")]
    assert row.split()[-3:] == ["1,004", "same", "bytes"]
    assert "patch 2: the kernel is that after patch 1, byte for byte; not booted" in text


def test_a_patch_that_does_not_build_shares_the_blame() -> None:
    splits = {name: value for name, value in ALL.items() if name != VARIANTS[3]}
    found = compared(splits, not_built={VARIANTS[3]: "build.compile: no"})
    text = "\n".join(report_lines(found))
    assert "patches 3 to 4 (Use the cache" in text
    assert "not built" in text
    assert exit_code(found) == 1
    steps = steps_of(found.plan, {}, found.not_built)
    assert steps[3] == Step(3, "Document it", VARIANTS[3], "", 3)
    assert steps[4].first == 3


def test_a_patch_after_which_boots_are_lost_is_marked() -> None:
    """Patch 2 is judged by the worlds that both came through, and patch 3 has none."""
    lost = {(VARIANTS[2], 1), *((VARIANTS[3], world) for world in range(1, 7))}
    whole = compared(ALL)
    boots = [
        replace(one, outcome=Outcome.KERNEL_PANIC, values={}, title="dead")
        if (one.variant, one.block) in lost
        else one
        for one in whole.boots
    ]
    comparison = compare(
        boots,
        {WORKLOAD: [SPLITS, REACH]},
        pairs_for(whole.plan, VARIANTS, {}),
        placebo=Pair("mini", "mini+placebo@v1"),
        gates=[(WORKLOAD, "level2_splits")],
    )
    text = "\n".join(report_lines(replace(whole, comparison=comparison, boots=boots)))
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("    ")}
    assert rows["2"].endswith("INCONCL.~ 6")
    assert rows["3"].endswith("no boot")
    assert "~" not in rows["1"]
    assert "~ only worlds that both came through count: patch 2 5 of 6;" in text
    assert "v1:3 secretmem-fragmented: 6 x kernel.panic: dead (world 1 first)" in text


@pytest.mark.parametrize("width", [100, 78])
def test_sizes_of_every_kind_have_room(width: int) -> None:
    sizes = dict.fromkeys(("text_bytes", "data_bytes", "bss_bytes"), 12_345_678)
    sizes |= dict.fromkeys(("new_lines", "changed_lines", "changed_files"), 12_345)
    sizes |= {"gfp_bits": 1, "page_flags": 1}
    shown = replace(compared(ALL), footprint=dict.fromkeys(VARIANTS, sizes))
    lines = report_lines(shown, width)
    start = lines.index("What it costs who does not use it, bytes and lines after each patch:")
    table = lines[start + 1 : start + 8]
    assert max(map(len, table)) <= width
    assert [line.split()[0] for line in table[2:]] == ["base", "1", "2", "3", "4"]


@pytest.mark.parametrize("width", [100, 78])
def test_no_line_is_too_wide(width: int) -> None:
    text = mail_text(compared(ALL)) if width == 78 else "\n".join(report_lines(compared(ALL)))
    lines = text.rstrip().splitlines()
    assert [line for line in lines if len(line) > width] == []
    assert "..." in text


def test_it_is_reported_from_the_folder(tmp_path: Path) -> None:
    """As --report and --resume do: the kernels that are the same are known from a file."""
    made = plan()
    folder = new_folder(tmp_path, made)
    same = {VARIANTS[2]: VARIANTS[1]}
    shared = {"accelerator": "tcg"}
    (folder.path / KERNELS).write_text(json.dumps({"same": same, "shared": shared}))
    with folder:
        for boot in boots_of(made):
            if boot.variant not in same and not boot.repetition:
                folder.append(record(boot))
    found = analyse(folder, read_plan(folder), {WORKLOAD: load_workload(WORKLOAD, TESTCASES)})
    assert (found.wanted, found.comparison.boots) == (30, 30)
    assert found.shared == shared
    courses = courses_of(found.comparison, WORKLOAD, found.steps)
    assert [step.number for step in moved(courses)] == [4]


def record(boot: Boot) -> BootRecord:
    values = {"vmstat.direct_map_level2_splits": 3.0 if boot.variant == VARIANTS[4] else 1000.0}
    return BootRecord(boot, Outcome.PASS, values=values)
