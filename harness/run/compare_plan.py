# SPDX-License-Identifier: GPL-2.0-or-later
"""What `patchbed compare` is going to boot: decided and stored before anything is built."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import __version__
from harness.config import Settings
from harness.errors import UserError
from harness.guest.machine import load_machine
from harness.kernel.default_base import settle
from harness.kernel.variant import Variant, parse
from harness.measure.comparison import Pair, choose_gates, pairs_of, successive
from harness.measure.workload import Workload, load_workload
from harness.report.progress import Progress
from harness.results.measurements import Boot, StoredPlan
from harness.run.per_patch import patch_by_patch

DEFAULT_WORKLOADS = (
    "secretmem-idle",
    "secretmem-fragmented",
    "modules-idle",
    "modules-fragmented",
)
PLACEBO = "placebo@v1"
NO_PLACEBO = "none"
MACHINE = "deterministic"


@dataclass(frozen=True)
class Design:
    """How to compare: `blocks` boots of each variant and workload, `first` the first's number.

    `placebo` is SERIES@VERSION or none; without a `seed` one is drawn; `forced` also compares what
    is not comparable. `per_patch` compares a series after each of its patches.
    """

    blocks: int = 20
    first: int = 1
    profile: str = "fast"
    machine: str = MACHINE
    accelerator: str = "auto"
    placebo: str = PLACEBO
    seed: int | None = None
    forced: bool = False
    per_patch: bool = False


def make_compare_plan(
    settings: Settings,
    folder: Path,
    variants: Sequence[str],
    command: Sequence[str],
    workloads: Sequence[str] = (),
    design: Design | None = None,
) -> StoredPlan:
    """Return the plan of a comparison of `variants`, the first of which is the reference.

    `folder` is where the settings' paths begin. Patch by patch, the base's source is brought here,
    as it says which patches are for it.

    Raises:
        UserError: a variant, workload or machine does not exist, there is nothing to compare, or
            the placebo is to be judged as a version.
    """
    design = design or Design()
    patches = folder / settings.paths.kernel_patches
    testcases = folder / settings.paths.testcases
    asked = settle([parse(text) for text in variants], settings.bases, patches)
    parsed = list(dict.fromkeys(asked))
    subjects: list[str] = []
    if design.per_patch:
        with Progress() as progress:
            parsed, subjects = patch_by_patch(parsed, patches, settings.bases, progress)
    if len(parsed) < 2:
        raise UserError("there is nothing to compare", hint="name two variants or more: REF NEW...")
    load_machine(design.machine)
    chosen = [load_workload(text, testcases) for text in workloads or DEFAULT_WORKLOADS]
    keys = list(dict.fromkeys(one.key for one in chosen))
    names = [str(variant) for variant in parsed]
    return StoredPlan(
        command=list(command),
        variants=names,
        control=_control(parsed, design),
        profile=design.profile,
        machine=design.machine,
        accelerator=design.accelerator,
        workloads=keys,
        blocks=list(range(design.first, design.first + design.blocks)),
        seed=secrets.randbelow(2**31) if design.seed is None else design.seed,
        gates=[list(gate) for gate in gates_of(chosen, names, per_patch=design.per_patch)],
        version=__version__,
        forced=design.forced,
        patches=subjects,
        metrics={one.key: one.metrics for one in chosen},
    )


def gates_of(
    workloads: Sequence[Workload], variants: Sequence[str], *, per_patch: bool = False
) -> list[tuple[str, str]]:
    """Return the gates: (workload, metric), as many as six tests are enough for.

    It is one at least, where one is declared, however many variants or patches there are.
    """
    metrics = {one.key: one.metrics for one in workloads}
    return choose_gates(metrics, _planned_pairs(variants, per_patch=per_patch))


def _planned_pairs(variants: Sequence[str], *, per_patch: bool) -> list[Pair]:
    return successive(variants) if per_patch else pairs_of(variants[0], variants)


def pairs_for(plan: StoredPlan, variants: Sequence[str], same: Mapping[str, str]) -> list[Pair]:
    """Return the pairs of `variants`, those of the plan that could be built, that are judged.

    `same` says of a variant which earlier one boots the same bytes, and is measured for both:
    between the two there is no question.
    """
    if not plan.patches:
        return pairs_of(plan.variants[0], variants)
    pairs = successive([same.get(variant, variant) for variant in variants])
    return list(dict.fromkeys(pair for pair in pairs if pair.reference != pair.new))


def _control(variants: Sequence[Variant], design: Design) -> list[str]:
    if design.placebo == NO_PLACEBO:
        return []
    base = variants[0].base
    series, at, version = design.placebo.partition("@")
    if not (series and at and version):
        raise UserError(f"--placebo {design.placebo!r} is no SERIES@VERSION", hint="or say: none")
    control = [base, str(Variant(base, series, version))]
    # A placebo that is judged itself would settle the classes that it is judged by.
    for pair in _planned_pairs([str(one) for one in variants], per_patch=design.per_patch):
        if {pair.reference, pair.new} == {*control}:
            raise UserError(
                f"{control[1]} is the placebo of this comparison, it can't be judged as a version",
                hint="--placebo none judges it as one; --placebo SERIES@VERSION takes another",
            )
    return control


def control_pair(plan: StoredPlan) -> Pair | None:
    """Return the pair that differs in nothing but a placebo, if there is one."""
    return Pair(plan.control[0], plan.control[1]) if plan.control else None


def arms(plan: StoredPlan) -> list[str]:
    """Return all variants that are booted, each once."""
    return list(dict.fromkeys([*plan.variants, *plan.control]))


def boots_of(plan: StoredPlan) -> list[Boot]:
    """Return all boots in their order: block by block, shuffled within it, the self-check last.

    Each block holds every variant once, so that what drifts on the host meets all alike, and
    what there is at any moment are whole blocks.
    """
    generator = random.Random(plan.seed)  # noqa: S311
    order: list[Boot] = []
    for block in plan.blocks:
        for workload in plan.workloads:
            mine = [Boot(variant, workload, block) for variant in arms(plan)]
            generator.shuffle(mine)
            order += mine
    if load_machine(plan.machine).deterministic:
        order.append(Boot(plan.variants[0], plan.workloads[0], plan.blocks[0], repetition=True))
    return order
