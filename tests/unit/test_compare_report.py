# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import pytest

from harness.measure.comparability import Difference
from harness.measure.comparison import Measured, Pair, compare, pairs_of
from harness.measure.metric import Better, Metric, MetricClass, Smallest
from harness.outcomes import Outcome
from harness.report.comparison import (
    Compared,
    as_json,
    exit_code,
    mail_text,
    markdown_text,
    report_lines,
    short_labels,
)
from harness.report.comparison_words import number
from harness.results.measurements import StoredPlan

BASE, V1, V2 = "debian-6.1", "debian-6.1+gfp-unmapped@v1", "debian-6.1+gfp-unmapped@v2"
PLACEBO = "debian-6.1+placebo@v1"
SPLITS = Metric(
    name="level2_splits",
    source="vmstat.direct_map_level2_splits",
    unit="splits",
    better=Better.LESS,
    smallest=Smallest(absolute=2, relative=0.1),
    gate=True,
)
FAULT = Metric(
    name="fault_median",
    source="out.fault_median",
    unit="ns",
    kind=MetricClass.LATENCY,
    better=Better.LESS,
    smallest=Smallest(relative=0.05),
)
CENTRES = {BASE: 1024.0, V1: 3.0, V2: 12.0, PLACEBO: 1024.0}
NOISE = (0.0, 3, 1, -2, 2, -1, 0, 1, 2, -3)


def boots(centres: dict[str, float], worlds: int = 10) -> list[Measured]:
    return [
        Measured(
            variant,
            workload,
            world,
            Outcome.PASS,
            {
                SPLITS.source: centre + NOISE[(world + len(variant)) % 10],
                FAULT.source: 1_234_567_890.0 + centre * 1000 + NOISE[(world * len(variant)) % 10],
                "vmstat.pgalloc_normal": 5000.0 + centre,
            },
        )
        for variant, centre in centres.items()
        for workload in ("secretmem-fragmented", "secretmem-idle")
        for world in range(1, worlds + 1)
    ]


def compared(centres: dict[str, float] = CENTRES, worlds: int = 10) -> Compared:
    return make_compared(tuple(centres.items()), worlds)


@cache
def make_compared(items: tuple[tuple[str, float], ...], worlds: int) -> Compared:
    centres = dict(items)
    plan = StoredPlan(
        command=["patchbed"],
        variants=[BASE, V1, V2],
        control=[BASE, PLACEBO],
        profile="fast",
        machine="deterministic",
        accelerator="auto",
        workloads=["secretmem-fragmented", "secretmem-idle"],
        blocks=list(range(1, worlds + 1)),
        seed=7,
        gates=[["secretmem-fragmented", "level2_splits"]],
        version="0.1.0",
    )
    measured = boots(centres, worlds)
    comparison = compare(
        measured,
        {name: [SPLITS, FAULT] for name in plan.workloads},
        pairs_of(BASE, plan.variants),
        placebo=Pair(BASE, PLACEBO),
        gates=[("secretmem-fragmented", "level2_splits")],
        seed=7,
    )
    return Compared(
        name="20261123-000000-abcd",
        plan=plan,
        comparison=comparison,
        descriptions={"secretmem-idle": "Pages of secretmem, " * 12},
        wanted=len(measured),
        same=True,
        footprint={BASE: {"text_bytes": 8236970}, V1: {"text_bytes": 8238262, "new_lines": 287}},
    )


@pytest.mark.parametrize("width", [100, 78])
def test_no_line_is_too_wide(width: int) -> None:
    """The last line alone may be: a command that is broken over two lines can't be copied."""
    *lines, command = report_lines(compared(), width)
    assert command.startswith("  patchbed compare debian-6.1 ")
    assert [line for line in lines if len(line) > width] == []
    assert max(len(line) for line in lines) > width - 12


def test_a_report_says_what_was_found() -> None:
    text = " ".join(mail_text(compared()).split())
    assert "IMPROVED" in text
    assert "v2 keeps 99." in text
    assert "Placebo (the base, its code moved about): clean" in text
    assert "gave the same bytes" in text
    assert "--seed 7" in text
    assert "| level2_splits (gate) | v1-base | 1,02" in markdown_text(compared())


def test_the_same_boots_make_the_same_bytes() -> None:
    make_compared.cache_clear()
    first = json.dumps(as_json(compared()))
    make_compared.cache_clear()
    assert json.dumps(as_json(compared())) == first


def test_json_has_no_numbers_that_json_has_not() -> None:
    found = json.loads(json.dumps(as_json(compared()), allow_nan=False))
    assert found["exit_code"] == 1
    families = {one["family"] for one in found["findings"]}
    assert families == {"gate", "exploratory", "placebo"}


def test_exit_codes() -> None:
    same = {BASE: 1024.0, V1: 3.0, V2: 3.0, PLACEBO: 1024.0}
    # v2 has 9 splits more than v1: worse, and the gate says so.
    assert exit_code(compared()) == 1
    assert exit_code(compared(same)) == 0
    assert exit_code(replace(compared(same), same=False)) == 3
    assert exit_code(replace(compared(same), wanted=99)) == 3
    assert exit_code(replace(compared(same), not_built={V2: "build.compile: x"})) == 1
    assert exit_code(compared(same, worlds=3)) == 3
    empty = replace(compared(same).comparison, boots=0, findings=())
    assert exit_code(replace(compared(same), comparison=empty, wanted=0)) == 4


def test_what_was_forced_is_labelled() -> None:
    forced = compared().plan.model_copy(update={"forced": True})
    differs = [Difference(V2, "compiler", "gcc 12", "clang 14")]
    text = mail_text(replace(compared(), plan=forced, differences=differs))
    assert "FORCED: these variants are not comparable:" in text
    assert "clang 14" in text


def test_labels_are_short_and_unique() -> None:
    labels = short_labels([BASE, V1, V2, PLACEBO])
    assert list(labels.values()) == ["base", "v1", "v2", "placebo"]
    two = short_labels(["debian-6.1+a@v1", "debian-6.1+b@v1"])
    assert list(two.values()) == ["a@v1", "b@v1"]
    bases = short_labels(["debian-6.1", "debian-6.12"])
    assert list(bases.values()) == ["debian-6.1", "debian-6.12"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1024.0, "1,024"), (0.0, "0"), (2.5, "2.50"), (66.25, "66.2"), (12345.6, "12,346")],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


def test_the_command_to_measure_the_same_again_names_what_is_unusual() -> None:
    usual = compared()
    assert not {"--first", "--accel", "--placebo"} & set(usual.again.split())
    changed = {"blocks": [5, 6], "accelerator": "tcg", "control": []}
    other = replace(usual, plan=usual.plan.model_copy(update=changed))
    assert "--worlds 2 --seed 7 --first 5 --accel tcg --placebo none" in other.again
