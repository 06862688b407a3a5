# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries a comparison's plan out on this machine: kernels, guests side by side, the self-check."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from harness.config import LimitsTable, Settings
from harness.errors import BuildError, InfrastructureError, PatchbedError
from harness.events import Listener
from harness.guest import qemu
from harness.guest.batch import Batch
from harness.guest.image import build_image
from harness.guest.machine import Machine, load_machine
from harness.guest.script import ScriptResult, Step
from harness.guest.speed import scaled
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.series import load_series
from harness.kernel.variant import Variant, parse
from harness.measure.comparability import Circumstances, defined_symbols, own_symbols
from harness.measure.values import values_of
from harness.measure.workload import Workload
from harness.outcomes import Outcome
from harness.results.measurements import Boot, BootRecord, CompareFolder, StoredPlan
from harness.run.local import guest_files, modules_for

# What leaves a deterministic guest, and so has to be the same when it is booted again.
_REPEATABLE = ("console.log", "results.raw")
_MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Ready:
    """A variant that can be booted, and what it is compared by."""

    variant: str
    kernel: Kernel
    image: Path
    circumstances: Circumstances


@dataclass(frozen=True)
class NotBuilt:
    """A variant that there is no kernel of, and why."""

    variant: str
    outcome: Outcome
    message: str


@dataclass(frozen=True)
class Places:
    """Where things are: the folders of series and testcases, and the short names of bases."""

    kernel_patches: Path
    testcases: Path
    bases: Mapping[str, str] = field(default_factory=dict)
    limits: LimitsTable = field(default_factory=LimitsTable)


def places_of(settings: Settings, folder: Path) -> Places:
    """Return where things are by `settings`, whose paths begin at `folder`."""
    return Places(
        folder / settings.paths.kernel_patches,
        folder / settings.paths.testcases,
        settings.bases,
        settings.limits,
    )


def prepare(
    plan: StoredPlan,
    variants: Sequence[str],
    workloads: Sequence[Workload],
    places: Places,
    listen: Listener,
) -> list[Ready | NotBuilt]:
    """Return each of `variants` with its kernel and its image; what can't be built says why.

    Raises:
        UserError: a series or profile does not exist.
    """
    machine = load_machine(plan.machine)
    return [_prepare(plan, variant, workloads, places, machine, listen) for variant in variants]


def _prepare(
    plan: StoredPlan,
    name: str,
    workloads: Sequence[Workload],
    places: Places,
    machine: Machine,
    listen: Listener,
) -> Ready | NotBuilt:
    variant = parse(name)
    try:
        kernel = obtain(
            variant,
            plan.profile,
            listen=listen,
            aliases=places.bases,
            series_folder=places.kernel_patches,
        )
        modules, why = modules_for(kernel, places.testcases)
        if modules is None:
            return NotBuilt(name, Outcome.BUILD_COMPILE, why)
        files = guest_files(kernel, places.testcases, modules)
        image = build_image(files)
    except (BuildError, InfrastructureError) as error:
        return NotBuilt(name, error.outcome, error.message)
    facts = {
        "compiler": kernel.compiler,
        "image": _image_digest(files, places.testcases),
        "QEMU": qemu_version(),
        "command line": " ".join(_argv(machine, plan.accelerator)),
        **{f"workload {one.key}": one.digest for one in workloads},
    }
    return Ready(
        name, kernel, image, Circumstances(facts, kernel.config(), _own(variant, kernel, places))
    )


def _own(variant: Variant, kernel: Kernel, places: Places) -> frozenset[str]:
    if not variant.patched:
        return frozenset()
    series = load_series(
        variant.series, variant.version, major_minor(kernel), places.kernel_patches
    ).upto(variant.upto)
    texts = [patch.read_text(encoding="utf-8", errors="replace") for patch in series.patches]
    return own_symbols(series.config).union(*map(defined_symbols, texts))


def major_minor(kernel: Kernel) -> str:
    """Return the VERSION.PATCHLEVEL of a kernel's release: "6.1" of "6.1.192"."""
    return ".".join(kernel.release.split(".")[:2])


def _image_digest(files: Mapping[str, Path], testcases: Path) -> str:
    """Return what is the same for two images that differ in the kernel they are for alone.

    Modules are compiled for each kernel: of these the sources count.
    """
    digest = hashlib.sha256()
    for where, path in sorted(files.items()):
        digest.update(where.encode())
        if not where.endswith(".ko"):
            digest.update(path.read_bytes())
    for source in sorted(testcases.glob("*/kernel/*.[ch]")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _argv(machine: Machine, accelerator: str) -> list[str]:
    files = qemu.Files("KERNEL", "INITRD", console="CONSOLE", results="RESULTS")
    shown = "tcg" if machine.deterministic else accelerator
    return qemu.qemu_argv(files, machine, "kvm" if shown == "kvm" else "tcg")


def qemu_version() -> str:
    """Return QEMU's first line about itself, "" where there is none."""
    try:
        done = subprocess.run(
            [qemu.PROGRAM, "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.partition("\n")[0]


class _CancellableBatch(Batch):
    """A batch that ends where the whole comparison does."""

    cancelled: threading.Event

    def check(self) -> None:
        if self.cancelled.is_set():
            raise InfrastructureError(Outcome.INFRA_CANCELLED, "cancelled")
        super().check()


@dataclass
class LocalBoots:
    """Boots what is missing of a plan, several guests at a time, and keeps what came of each."""

    plan: StoredPlan
    ready: Mapping[str, Ready]
    workloads: Mapping[str, Workload]
    folder: CompareFolder
    places: Places
    tell: Callable[[BootRecord], None]
    at_once: int = 0
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def execute(self, missing: Sequence[Boot]) -> None:
        """Boot `missing`, in order; what the host fails in repeats its block, twice at most.

        Raises:
            KeyboardInterrupt: cancelled; what came through is kept, no guest is left.
            InfrastructureError: the disk is full.
        """
        at_once = self.at_once or max(1, min(len(missing), os.cpu_count() or 1))
        attempt = 1
        checks = [boot for boot in missing if boot.repetition]
        boots = [boot for boot in missing if not boot.repetition]
        while boots and attempt <= _MOST_ATTEMPTS:
            failed = self._round(boots, attempt, at_once)
            blocks = {(boot.workload, boot.block) for boot in failed}
            boots = [boot for boot in boots if (boot.workload, boot.block) in blocks]
            attempt += 1
        self._round(checks, 1, at_once)

    def _round(self, boots: Sequence[Boot], attempt: int, at_once: int) -> list[Boot]:
        """Boot each once; return those that the host failed in."""
        if not boots:
            return []
        failed: list[Boot] = []
        left = list(reversed(boots))
        running: set[Future[BootRecord]] = set()
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            try:
                while left or running:
                    while left and len(running) < at_once:
                        running.add(pool.submit(self._boot, left.pop(), attempt))
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        record = future.result()
                        self.folder.append(record)
                        self.tell(record)
                        if record.outcome.infrastructure:
                            failed.append(record.boot)
            except BaseException:
                self._cancelled.set()
                raise
        return failed

    def _boot(self, boot: Boot, attempt: int) -> BootRecord:
        start = time.monotonic()
        folder = self.folder.boot_folder(boot, attempt)
        shutil.rmtree(folder, ignore_errors=True)
        workload = self.workloads[boot.workload]
        values: dict[str, float] = {}
        same: bool | None = None
        try:
            result = self._run(boot, folder)
            outcome, title = ending(result)
            if outcome is Outcome.PASS:
                values = values_of(workload, result)
        except PatchbedError as error:
            outcome, title = error.outcome, error.message
        if boot.repetition:
            first = self.folder.boot_folder(Boot(boot.variant, boot.workload, boot.block))
            same = same_bytes(first, folder)
        seconds = time.monotonic() - start
        return BootRecord(boot, outcome, attempt, title, seconds, same, values)

    def _run(self, boot: Boot, folder: Path) -> ScriptResult:
        steps = self.workloads[boot.workload].steps(boot.block)
        ready = self.ready[boot.variant]
        return run_steps(
            ready, self.plan, steps, boot.block, folder, self.places.limits, self._cancelled
        )


def run_steps(
    ready: Ready,
    plan: StoredPlan,
    steps: Sequence[Step],
    world: int,
    folder: Path,
    limits: LimitsTable,
    cancelled: threading.Event,
) -> ScriptResult:
    """Boot a variant on the plan's machine, have `steps` done, and return what came of them.

    `folder` gets the raw files. A guest ends early, as infra.cancelled, once `cancelled` is set.
    """
    machine = load_machine(plan.machine)
    batch = _CancellableBatch(
        ready.kernel,
        ready.image,
        machine,
        steps,
        folder,
        boot_limit=_PATIENCE * scaled(limits.boot),
        silence_limit=_PATIENCE * scaled(limits.silence),
        accelerator=plan.accelerator,
        world=world if machine.deterministic else 0,
    )
    batch.cancelled = cancelled
    with batch:
        return batch.wait()


# A deterministic boot takes five to ten times as long as an ordinary one.
_PATIENCE = 5.0


def ending(result: ScriptResult) -> tuple[Outcome, str]:
    """Return a boot's outcome and, where it is no pass, why."""
    if result.error is not None:
        return result.error.outcome, result.error.message
    for step in result.steps:
        if step.outcome is not Outcome.PASS:
            said = step.completed.stderr.decode(errors="replace") if step.completed else ""
            words = " ".join([*step.problems, *said.split()])
            return step.outcome, f"step {step.name}: {words[:300]}"
    return Outcome.PASS, ""


def same_bytes(first: Path, second: Path) -> bool:
    """Return whether two boots of the same world left the same console and results."""
    try:
        return all(
            (first / name).read_bytes() == (second / name).read_bytes() for name in _REPEATABLE
        )
    except OSError:
        return False
