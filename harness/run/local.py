# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries a plan out on this machine: builds, guests, tests."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import psutil

from harness.errors import BuildError, InfrastructureError, PatchbedError
from harness.events import BuildFinished, BuildProgress, BuildStarted, Event, Listener
from harness.guest.image import boot_files, build_image
from harness.guest.machine import Machine, check_interactive, load_machine
from harness.guest.programs import build_programs
from harness.guest.snapshot import check_machine
from harness.guest.speed import scaled
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.modules import build_modules
from harness.kernel.prebuilt import check_base, find_prebuilt
from harness.kernel.profile import group_profiles
from harness.kernel.series import SeriesFile, load_series_file
from harness.kernel.variant import Variant
from harness.outcomes import Outcome
from harness.run.crew import Crew
from harness.run.durations import durations_file, load_durations
from harness.run.plan import Plan, check_selection
from harness.run.selftest_folders import SelftestFolders, selftests_for
from harness.testing.cell import CellIssue, CellKernel, CellPlan


@dataclass(frozen=True)
class Target:
    """A kernel to build and test: a variant, and the names of all profiles that ask for it."""

    variant: Variant
    profiles: tuple[str, ...]

    @property
    def profile(self) -> str:
        """Return the profiles' names in one word, as `--profile` takes them."""
        return ",".join(self.profiles)


@dataclass(frozen=True)
class Built:
    """A target that is ready to boot: its kernel and the image with its test modules.

    `modules` is their folder on the host; `no_modules` is why there are none, "" where there are.
    """

    target: Target
    kernel: Kernel
    image: Path
    series: SeriesFile | None
    modules: Path | None = None
    no_modules: str = ""
    selftests: SelftestFolders = field(default_factory=SelftestFolders)


@dataclass(frozen=True)
class CheckedPlan:
    """What a plan names, found to exist: its machine, and each variant's series, if it has one.

    `targets` are the kernels to build, profile by profile.
    """

    machine: Machine
    series: dict[Variant, SeriesFile | None]
    targets: tuple[Target, ...]


def check_plan(plan: Plan) -> CheckedPlan:
    """Find everything that `plan` names, before anything is made.

    Raises:
        UserError: a machine, profile, base, series or version does not exist, the machine can't
            do it, or the selection is no expression; the message lists what there is.
        ConfigError: a file of one of them can't be used.
    """
    groups = group_profiles(plan.profiles)
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
    return CheckedPlan(machine, series, targets_of(plan, groups))


def targets_of(plan: Plan, groups: Sequence[tuple[str, ...]]) -> tuple[Target, ...]:
    """Return the kernels that `plan` needs; `groups` are the profiles, by kernel.

    A kernel that was built elsewhere is the same whatever the profile: it is one target.
    """
    targets = [
        Target(variant, plan.profiles if find_prebuilt(variant, plan.bases) else group)
        for group in groups
        for variant in plan.variants
    ]
    return tuple(dict.fromkeys(targets))


@dataclass
class LocalRun:
    """One run on this machine; `folder` is its run folder, `jobs` make's (0: every core)."""

    plan: Plan
    checked: CheckedPlan
    folder: Path
    listen: Listener
    jobs: int = 0

    def execute(self) -> None:
        """Build every variant, then test each on a guest of its own.

        A variant that can't be built is a result; the others go on. Everything that happens is
        told to `listen`.

        Raises:
            UserError: a series has no patches for a variant's base.
            KeyboardInterrupt: cancelled; no process of the run is left.
        """
        built = [
            ready for target in self.checked.targets if (ready := self._build(target)) is not None
        ]
        self._test(built, self.checked.machine)

    def _build(self, target: Target) -> Built | None:
        variant, profile = target.variant, target.profile
        self.listen(BuildStarted(variant=str(variant), profile=profile))
        start = time.monotonic()
        try:
            kernel = obtain(
                variant,
                target.profiles[0],
                listen=_renamed(self.listen, profile),
                jobs=self.jobs or None,
                aliases=self.plan.bases,
                series_folder=self.plan.kernel_patches,
            )
            modules, no_modules = modules_for(kernel, self.plan.testcases)
            image = build_image(guest_files(kernel, self.plan.testcases, modules))
            selftests = selftests_for(kernel, variant, self.plan, self.listen)
        except (BuildError, InfrastructureError) as error:
            self._build_failed(target, error, time.monotonic() - start)
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
        series = self.checked.series[variant]
        return Built(target, kernel, image, series, modules, no_modules, selftests)

    def _build_failed(self, target: Target, error: PatchbedError, seconds: float) -> None:
        self.listen(
            BuildFinished(
                variant=str(target.variant),
                profile=target.profile,
                outcome=error.outcome,
                seconds=seconds,
                message=error.message,
                lines=list(error.lines) if isinstance(error, BuildError) else [],
                log=str(error.log or ""),
            )
        )

    def _test(self, built: Sequence[Built], machine: Machine) -> None:
        cells = [cell_plan(self.plan, ready, self.folder) for ready in built]
        Crew(self.plan, cells, self.listen, guests_at_once(machine.memory_mib)).run()


def _renamed(listen: Listener, profile: str) -> Listener:
    """Return a listener that calls a build's profile by all the names that it was asked for by."""

    def tell(event: Event) -> None:
        named = isinstance(event, BuildProgress)
        listen(event.model_copy(update={"profile": profile}) if named else event)

    return tell


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


def guests_at_once(memory_mib: int) -> int:
    """Return how many guests of `memory_mib` MiB this host should run side by side, at least 1.

    One a core and one more, for a guest waits now and then, within three quarters of the memory
    that is free now.
    """
    free = psutil.virtual_memory().available * 3 // 4
    return max(1, min(len(os.sched_getaffinity(0)) + 1, free // (memory_mib << 20)))


def again_argv(plan: Plan, target: Target) -> tuple[str, ...]:
    """Return the command that runs a target's cell once more."""
    argv = ["patchbed", "run", "--variant", str(target.variant), "--profile", target.profile]
    argv += ["--machine", plan.machine, "--accel", plan.accelerator]
    argv += ["--snapshot"] if plan.snapshot else []
    argv += ["--stress", f"{plan.stress:g}"] if plan.stress != 1.0 else []
    return (*argv, "-k", plan.selection) if plan.selection else tuple(argv)


def cell_plan(plan: Plan, ready: Built, folder: Path) -> CellPlan:
    """Return what the pytest process of a target's cell needs to know."""
    kernel, target = ready.kernel, ready.target
    issues = ready.series.known_issues if ready.series else []
    return CellPlan(
        cell=plan.cell(target.variant, target.profile),
        profile=target.profile,
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
        again=again_argv(plan, target),
        issues=[
            CellIssue(
                testcase=issue.testcase,
                check=issue.check,
                outcome=issue.outcome,
                reason=issue.reason,
                sometimes=issue.sometimes,
            )
            for issue in issues
            if any(fnmatchcase(name, issue.profile) for name in target.profiles)
        ],
        accelerator=plan.accelerator,
        boot_limit=scaled(plan.limits.boot),
        silence_limit=scaled(plan.limits.silence),
        test_limit=scaled(plan.limits.test),
        snapshot=plan.snapshot,
        stress=plan.stress,
        durations=load_durations(durations_file(kernel.variant, target.profile, plan.machine)),
    )
