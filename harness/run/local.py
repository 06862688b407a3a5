# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries a plan out on this machine: builds, guests, tests."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.errors import BuildError, InfrastructureError, PatchbedError
from harness.events import BuildFinished, BuildStarted, Listener, Message
from harness.guest.image import boot_files, build_image
from harness.guest.machine import Machine, check_interactive, load_machine
from harness.guest.programs import build_programs
from harness.guest.snapshot import check_machine
from harness.guest.speed import scaled
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.modules import build_modules
from harness.kernel.prebuilt import check_base
from harness.kernel.profile import load_profile
from harness.kernel.series import SeriesFile, load_series_file
from harness.kernel.variant import Variant
from harness.outcomes import Outcome
from harness.run.cell_process import CellProcess
from harness.run.plan import Plan, check_selection
from harness.run.selftest_folders import SelftestFolders, selftests_for
from harness.testing.cell import CellIssue, CellKernel, CellPlan


@dataclass(frozen=True)
class Built:
    """A variant that is ready to boot: its kernel and the image with its test modules.

    `modules` is their folder on the host; `no_modules` is why there are none, "" where there are.
    """

    variant: Variant
    kernel: Kernel
    image: Path
    series: SeriesFile | None
    modules: Path | None = None
    no_modules: str = ""
    selftests: SelftestFolders = field(default_factory=SelftestFolders)


@dataclass(frozen=True)
class CheckedPlan:
    """What a plan names, found to exist: its machine, and each variant's series, if it has one."""

    machine: Machine
    series: dict[Variant, SeriesFile | None]


def check_plan(plan: Plan) -> CheckedPlan:
    """Find everything that `plan` names, before anything is made.

    Raises:
        UserError: a machine, profile, base, series or version does not exist, the machine can't
            do it, or the selection is no expression; the message lists what there is.
        ConfigError: a file of one of them can't be used.
    """
    load_profile(plan.profile)
    for variant in plan.variants:
        check_base(variant, plan.bases)
    check_selection(plan.selection)
    machine = load_machine(plan.machine)
    check_interactive(machine)
    if plan.snapshot:
        check_machine(machine)
    series = {
        variant: load_series_file(variant.series, variant.version, plan.kernel_patches)
        if variant.patched
        else None
        for variant in plan.variants
    }
    return CheckedPlan(machine, series)


@dataclass
class LocalRun:
    """One run on this machine; `folder` is its run folder, `jobs` make's (0: every core)."""

    plan: Plan
    checked: CheckedPlan
    folder: Path
    listen: Listener
    jobs: int = 0
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def execute(self) -> None:
        """Build every variant, then test each on a guest of its own.

        A variant that can't be built is a result; the others go on. Everything that happens is
        told to `listen`.

        Raises:
            UserError: a series has no patches for a variant's base.
            KeyboardInterrupt: cancelled; no process of the run is left.
        """
        built = [
            ready
            for variant, series in self.checked.series.items()
            if (ready := self._build(variant, series)) is not None
        ]
        self._test(built, self.checked.machine)

    def _build(self, variant: Variant, series: SeriesFile | None) -> Built | None:
        profile = self.plan.profile
        self.listen(BuildStarted(variant=str(variant), profile=profile))
        start = time.monotonic()
        try:
            kernel = obtain(
                variant,
                profile,
                listen=self.listen,
                jobs=self.jobs or None,
                aliases=self.plan.bases,
                series_folder=self.plan.kernel_patches,
            )
            modules, no_modules = modules_for(kernel, self.plan.testcases)
            image = build_image(guest_files(kernel, self.plan.testcases, modules))
            selftests = selftests_for(kernel, variant, self.plan, self.listen)
        except (BuildError, InfrastructureError) as error:
            self._build_failed(variant, error, time.monotonic() - start)
            return None
        self.listen(
            BuildFinished(
                variant=str(variant),
                profile=profile,
                outcome=Outcome.PASS,
                cached=kernel.cached,
                seconds=time.monotonic() - start,
                key=kernel.key,
                release=kernel.release,
                tree=kernel.tree,
                config=str(kernel.config_file),
                compiler=kernel.compiler,
            )
        )
        return Built(variant, kernel, image, series, modules, no_modules, selftests)

    def _build_failed(self, variant: Variant, error: PatchbedError, seconds: float) -> None:
        self.listen(
            BuildFinished(
                variant=str(variant),
                profile=self.plan.profile,
                outcome=error.outcome,
                seconds=seconds,
                message=error.message,
                lines=list(error.lines) if isinstance(error, BuildError) else [],
                log=str(error.log or ""),
            )
        )

    def _test(self, built: Sequence[Built], machine: Machine) -> None:
        at_once = guests_at_once(len(built), machine.memory_mib)
        if not built:
            return
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            cells = [pool.submit(self._run_cell, ready) for ready in built]
            try:
                wait(cells)
            except BaseException:
                self._cancelled.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        for cell in cells:
            cell.result()

    def _run_cell(self, ready: Built) -> None:
        if self._cancelled.is_set():
            return
        plan = cell_plan(self.plan, ready, self.folder)
        with CellProcess(plan, self.plan.testcases, self.plan.selection, self.listen) as process:
            process.wait(self._cancelled)
        if self._cancelled.is_set():
            self.listen(Message(level="warning", text=f"{plan.cell}: cancelled"))


def guest_files(kernel: Kernel, testcases: Path, modules: Path | None) -> dict[str, Path]:
    """Return what goes into the guest of `kernel` beside its system: guest path to host file.

    `modules` is the folder of the test modules, if there are any.
    """
    files = {f"/patchbed/bin/{file.name}": file for file in build_programs(testcases).iterdir()}
    if modules is not None:
        files |= {f"/patchbed/modules/{file.name}": file for file in modules.glob("*.ko")}
    return boot_files(kernel) | files


def modules_for(kernel: Kernel, testcases: Path) -> tuple[Path | None, str]:
    """Return the folder of the test modules that were built for `kernel`.

    A kernel that was built elsewhere may have no headers, or no compiler here that they go with:
    then there is none, and the second value says why.

    Raises:
        BuildError: they do not compile for a kernel that patchbed built.
    """
    needs = f"needs the test modules, which {kernel.variant} has not"
    if "headers" in kernel.lacks:
        return None, f"{needs}: there are no headers to build them against"
    try:
        return build_modules(kernel, testcases), ""
    except BuildError as error:
        if "image" not in kernel.meta:
            raise
        return None, f"{needs}: {'; '.join((error.message, *error.lines[:1]))}"


def guests_at_once(cells: int, memory_mib: int) -> int:
    """Return how many guests of `memory_mib` MiB this host can run side by side, at least 1.

    Bounded by its cores, and by three quarters of the memory that is free now.
    """
    free = psutil.virtual_memory().available * 3 // 4
    return max(1, min(cells, os.cpu_count() or 1, free // (memory_mib << 20)))


def again_argv(plan: Plan, variant: Variant) -> tuple[str, ...]:
    """Return the command that runs a variant's cell once more."""
    argv = ["patchbed", "run", "--variant", str(variant), "--profile", plan.profile]
    argv += ["--machine", plan.machine, "--accel", plan.accelerator]
    argv += ["--snapshot"] if plan.snapshot else []
    argv += ["--stress", f"{plan.stress:g}"] if plan.stress != 1.0 else []
    return (*argv, "-k", plan.selection) if plan.selection else tuple(argv)


def cell_plan(plan: Plan, ready: Built, folder: Path) -> CellPlan:
    """Return what the pytest process of a variant's cell needs to know."""
    kernel = ready.kernel
    issues = ready.series.known_issues if ready.series else []
    return CellPlan(
        cell=plan.cell(ready.variant),
        kernel=CellKernel(
            key=kernel.key,
            variant=kernel.variant,
            profile=kernel.profile,
            release=kernel.release,
            tree=kernel.tree,
            compiler=kernel.compiler,
            folder=kernel.folder,
        ),
        machine=plan.machine,
        image=ready.image,
        folder=folder,
        patched=ready.series is not None,
        probe=ready.series.probe if ready.series else "",
        no_modules=ready.no_modules,
        modules=ready.modules,
        selftests=ready.selftests.usual,
        no_selftests=ready.selftests.reason,
        kselftests=ready.selftests.asked,
        again=again_argv(plan, ready.variant),
        issues=[
            CellIssue(
                testcase=issue.testcase,
                check=issue.check,
                outcome=issue.outcome,
                reason=issue.reason,
            )
            for issue in issues
        ],
        accelerator=plan.accelerator,
        boot_limit=scaled(plan.limits.boot),
        silence_limit=scaled(plan.limits.silence),
        test_limit=scaled(plan.limits.test),
        snapshot=plan.snapshot,
        stress=plan.stress,
    )
