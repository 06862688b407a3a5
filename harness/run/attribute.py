# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots the variants of a comparison once more, to ask who splits the direct map."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from harness.errors import PatchbedError
from harness.events import Listener
from harness.measure.attribution import CONFIG, counted, steps_of
from harness.measure.workload import Workload
from harness.outcomes import Outcome
from harness.results.attribution import (
    FOLDER,
    AttributedBoot,
    Attribution,
    attributed,
    read_attribution,
    write_attribution,
    write_folded,
)
from harness.results.measurements import Boot, CompareFolder, StoredPlan
from harness.run.compare_local import NotBuilt, Places, Ready, ending, prepare, run_steps

# Has kprobes and histograms; what is measured has another profile, and is booted apart.
PROFILE = "trace"


def begin_attribution(folder: CompareFolder, plan: StoredPlan) -> None:
    """Note in a comparison's folder that it is to be asked who splits the direct map.

    Raises:
        InfrastructureError: the disk does not take it.
    """
    if read_attribution(folder.path) is None:
        write_attribution(folder.path, Attribution(profile=PROFILE, world=plan.blocks[0]))


def asked_of(plan: StoredPlan, workloads: Mapping[str, Workload]) -> list[tuple[str, str]]:
    """Return the (variant, workload) that are asked: the placebo is not, nor what does nothing."""
    return [
        (variant, key)
        for key, workload in workloads.items()
        if any(step.phase == "work" for step in workload.file.steps)
        for variant in plan.variants
    ]


@dataclass
class Attributing:
    """Boots what is missing of a comparison's attribution, and keeps what each guest said.

    `tell` hears of each boot as it ends, `listen` what happens while kernels are built.
    """

    plan: StoredPlan
    workloads: Mapping[str, Workload]
    folder: CompareFolder
    places: Places
    listen: Listener
    tell: Callable[[AttributedBoot], None]
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def execute(self, at_once: int) -> None:
        """Boot `at_once` guests at a time; a variant that can't be asked says why.

        Raises:
            UserError: what is kept can't be used.
            KeyboardInterrupt: cancelled; what came through is kept, no guest is left.
            InfrastructureError: the disk is full.
        """
        found = read_attribution(self.folder.path) or Attribution(
            profile=PROFILE, world=self.plan.blocks[0]
        )
        asked = asked_of(self.plan, self.workloads)
        missing = [kind for kind in asked if not found.settled(*kind)]
        if not missing:
            return
        ready = self._prepare(list(dict.fromkeys(variant for variant, _ in missing)))
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            try:
                futures = [pool.submit(self._ask, ready[one], key) for one, key in missing]
                for future in as_completed(futures):
                    boot = future.result()
                    found = found.with_boot(boot).ordered(asked)
                    write_attribution(self.folder.path, found)
                    self.tell(boot)
            except BaseException:
                self._cancelled.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _prepare(self, variants: Sequence[str]) -> dict[str, Ready | NotBuilt]:
        plan = self.plan.model_copy(update={"profile": PROFILE})
        workloads = list(self.workloads.values())
        made = prepare(plan, variants, workloads, self.places, self.listen)
        return {one.variant: one for one in made}

    def _ask(self, one: Ready | NotBuilt, key: str) -> AttributedBoot:
        if isinstance(one, NotBuilt):
            return AttributedBoot(
                variant=one.variant, workload=key, outcome=one.outcome, title=one.message
            )
        config = one.circumstances.config
        lacking = [name for name in CONFIG if config.get(name) != "y"]
        lacking += self.workloads[key].lacks(config)
        if lacking:
            names = ", ".join(f"CONFIG_{name}" for name in lacking)
            title = f"its kernel with profile {PROFILE} has no {names}"
            return AttributedBoot(
                variant=one.variant, workload=key, outcome=Outcome.SKIP, title=title
            )
        return self._boot(one, key)

    def _boot(self, ready: Ready, key: str) -> AttributedBoot:
        world = self.plan.blocks[0]
        measured = self.folder.boot_folder(Boot(ready.variant, key, world))
        folder = self.folder.path / FOLDER / measured.relative_to(self.folder.path / "boots")
        shutil.rmtree(folder, ignore_errors=True)
        steps = steps_of(self.workloads[key], world)
        limits = self.places.limits
        try:
            result = run_steps(ready, self.plan, steps, world, folder, limits, self._cancelled)
            outcome, title = ending(result)
            if outcome is Outcome.PASS:
                boot = attributed(ready.variant, key, counted(result))
                write_folded(folder, boot)
                return boot
        except PatchbedError as error:
            outcome, title = error.outcome, error.message
        return AttributedBoot(variant=ready.variant, workload=key, outcome=outcome, title=title)
