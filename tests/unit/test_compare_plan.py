# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.config import PathsTable, Settings
from harness.errors import UserError
from harness.measure.comparison import Measured, Pair, compare
from harness.measure.verdicts import Verdict
from harness.outcomes import Outcome
from harness.paths import KERNEL_PATCHES, TESTCASES
from harness.report.comparison import Compared, declared, exit_code, report_lines
from harness.results.measurements import StoredPlan
from harness.run.compare_plan import (
    Design,
    arms,
    boots_of,
    control_pair,
    make_compare_plan,
    pairs_for,
)

SETTINGS = Settings(paths=PathsTable(kernel_patches=str(KERNEL_PATCHES), testcases=str(TESTCASES)))
THREE = ["debian-6.1", "debian-6.1+gfp-unmapped@v1", "debian-6.1+gfp-unmapped@v2"]
PLACEBO = "debian-6.1+placebo@v1"


def plan(
    variants: list[str] = THREE, workloads: Sequence[str] = (), **design: object
) -> StoredPlan:
    how = Design(**design)  # type: ignore[arg-type]
    return make_compare_plan(SETTINGS, Path("/"), variants, ["patchbed"], workloads, how)


def test_the_placebo_is_an_arm_of_its_own() -> None:
    made = plan(seed=3)
    assert arms(made) == [*THREE, PLACEBO]
    assert control_pair(made) == Pair("debian-6.1", PLACEBO)
    patched = plan(THREE[1:])
    assert arms(patched) == [*THREE[1:], "debian-6.1", PLACEBO]
    assert control_pair(plan(placebo="none")) is None


def test_every_block_has_every_arm_once() -> None:
    made = plan(blocks=4, seed=3, workloads=["idle-boot", "secretmem-idle"])
    *boots, check = boots_of(made)
    assert check.repetition
    counts = Counter((boot.workload, boot.block) for boot in boots)
    assert set(counts.values()) == {4}
    assert len(set(boots)) == len(boots) == 4 * 2 * 4
    # What there is after so many boots are whole blocks.
    assert {boot.block for boot in boots[:8]} == {1}


def test_the_order_is_shuffled_and_the_seed_s() -> None:
    orders = {tuple(boots_of(plan(seed=seed, blocks=3))) for seed in (1, 1, 2)}
    assert len(orders) == 2
    firsts = {boot.variant for boot in boots_of(plan(seed=1, blocks=20))[::4]}
    assert len(firsts) == 4


def test_a_machine_without_worlds_has_no_self_check() -> None:
    assert not any(boot.repetition for boot in boots_of(plan(machine="smp-4", blocks=2)))


def test_six_gates_at_most() -> None:
    assert plan().gates == [
        ["secretmem-fragmented", "level2_splits"],
        ["modules-fragmented", "level2_splits"],
    ]


@pytest.mark.parametrize(
    ("variants", "options", "words"),
    [
        (["debian-6.1"], {}, "nothing to compare"),
        (["debian-6.1", "debian-6.1"], {}, "nothing to compare"),
        (THREE, {"workloads": ["nonesuch"]}, "no workload"),
        (THREE, {"machine": "nonesuch"}, "no machine"),
        (THREE, {"placebo": "nonesuch"}, "no SERIES@VERSION"),
    ],
)
def test_what_can_t_be_compared(variants: list[str], options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        plan(variants, **options)


@pytest.mark.parametrize(
    ("variants", "options"),
    [
        (["debian-6.1", PLACEBO], {}),
        ([PLACEBO, "debian-6.1"], {}),
        ([*THREE, PLACEBO], {}),
        (["debian-6.1", PLACEBO], {"per_patch": True}),
        (THREE, {"placebo": "gfp-unmapped@v1"}),
    ],
)
def test_the_placebo_is_no_version_of_its_own_comparison(
    variants: list[str], options: dict[str, Any]
) -> None:
    """If this failed, its metrics would be of classes that they set themselves, and no gates."""
    with pytest.raises(UserError, match="is the placebo of this comparison") as error:
        plan(variants, **options)
    assert "--placebo none" in error.value.hint


def test_a_placebo_that_is_refused_ends_with_2_before_anything_is_kept(tmp_path: Path) -> None:
    arguments = ["compare", "debian-6.1", PLACEBO, "--runs", str(tmp_path)]
    with pytest.raises(UserError) as error:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert error.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_without_a_placebo_the_placebo_is_a_version_like_others() -> None:
    """It is the A/A comparison: gates, a table, and all that is told of a version."""
    made = plan(["debian-6.1", PLACEBO], placebo="none", seed=1, blocks=8)
    assert made.gates
    assert control_pair(made) is None
    measured = [
        Measured(name, workload, world, Outcome.PASS, {metric.source: 50.0 + world % 3})
        for name in made.variants
        for workload, metrics in made.metrics.items()
        for metric in metrics
        if metric.gate
        for world in made.blocks
    ]
    pairs = pairs_for(made, made.variants, {})
    gates = [(workload, metric) for workload, metric in made.gates]
    found = compare(measured, made.metrics, pairs, placebo=None, gates=gates)
    assert {(one.workload, one.metric.name) for one in found.gates()} == set(gates)
    assert {one.verdict for one in found.gates()} == {Verdict.EQUIVALENT}
    shown = Compared("a", made, found, {}, wanted=len(measured), same=True)
    assert exit_code(shown) == 0
    assert {one.metric.name for one in declared(shown, gates[0][0])} >= {gates[0][1]}
    head = f"Gates (*): {len(gates)} tests"
    assert [line for line in report_lines(shown) if line.startswith(head)]


def test_what_is_resumed_keeps_its_plan() -> None:
    """If this failed, `--resume last --force` would be taken and do nothing of it."""
    arguments = ["compare", "--resume", "last", "--worlds", "3", "--force"]
    with pytest.raises(UserError, match="--worlds, --force"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_what_matters_is_stored_before_the_first_boot() -> None:
    """If this failed, a margin could be changed once the boots are known."""
    stored = plan()
    [splits] = [one for one in stored.metrics["secretmem-fragmented"] if one.gate]
    assert splits.name == "level2_splits"
    assert StoredPlan.model_validate_json(stored.model_dump_json()) == stored
