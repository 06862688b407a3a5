# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries a comparison's plan out on this machine: kernels, guests side by side, the self-check."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.config import LimitsTable, Settings
from harness.errors import BuildError, InfrastructureError, PatchbedError, UserError
from harness.events import Listener
from harness.guest import qemu
from harness.guest.accelerator import choose_accelerator, host
from harness.guest.batch import Batch
from harness.guest.image import build_image
from harness.guest.machine import Machine, load_machine
from harness.guest.script import ScriptResult, Step
from harness.guest.speed import scaled
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain, plan_build
from harness.kernel.cache import digest_json
from harness.kernel.prebuilt import find_prebuilt
from harness.kernel.request import Where
from harness.kernel.series import load_series
from harness.kernel.variant import Variant, parse
from harness.measure.comparability import Circumstances, defined_symbols, own_symbols
from harness.measure.values import splits_of, values_of
from harness.measure.workload import Workload
from harness.outcomes import Outcome
from harness.results.measurements import (
    Boot,
    BootRecord,
    CompareFolder,
    StoredPlan,
    attempts_at,
    read_records,
)
from harness.run.local import guest_files, guests_at_once, modules_for

# What leaves a deterministic guest, and so has to be the same when it is booted again.
_REPEATABLE = ("console.log", "results.raw")
_MOST_ATTEMPTS = 3
# What a host that is too busy looks like, too.
_SILENT = (Outcome.KERNEL_BOOT_TIMEOUT, Outcome.KERNEL_LOST)


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
        UserError: a series or profile does not exist; nothing was built then.
        InfrastructureError: the host can't build.
    """
    machine = measured_machine(plan)
    for variant in variants:
        _check_source(plan, variant, places, listen)
    return [_prepare(plan, variant, workloads, places, machine, listen) for variant in variants]


def _check_source(plan: StoredPlan, name: str, places: Places, listen: Listener) -> None:
    """Refuse a variant that there is no source of, before minutes go into the others."""
    variant = parse(name)
    if find_prebuilt(variant, places.bases) is not None:
        return
    where = Where(series=places.kernel_patches, bases=places.bases)
    try:
        plan_build(variant, plan.profile, listen=listen, where=where)
    except BuildError:
        # Told as what came of building it.
        return
    except UserError as error:
        if name in plan.control and name not in plan.variants:
            hint = "write one for such kernels, or say --placebo none"
            raise UserError(f"no placebo for this base: {error.message}", hint=hint) from error
        raise


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
    except BuildError as error:
        return NotBuilt(name, error.outcome, error.message)
    facts = {
        "compiler": kernel.compiler,
        "image": _image_digest(files, places.testcases),
        "QEMU": qemu_version(),
        **_place(plan, machine),
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


def measured_machine(plan: StoredPlan) -> Machine:
    """Return the machine that a comparison boots.

    Never without address randomisation, which PVH is: all boots of a kernel would have one
    layout, and what that layout does would be told as what the series does.
    """
    return replace(load_machine(plan.machine), boot="bzimage")


def accelerator_of(plan: StoredPlan, machine: Machine) -> str:
    """Return what runs the guests, the same for all boots: "tcg" or "kvm".

    KVM is taken only where it has been proven on this host before.

    Raises:
        UserError: the plan names no accelerator.
        InfrastructureError: it names KVM, which can't be opened.
    """
    return "tcg" if machine.deterministic else choose_accelerator(plan.accelerator, None).name


def _place(plan: StoredPlan, machine: Machine) -> dict[str, str]:
    """Return the facts on where guests run: the same for all boots of a comparison."""
    accelerator = accelerator_of(plan, machine)
    files = qemu.Files("KERNEL", "INITRD", console="CONSOLE", results="RESULTS")
    facts = {
        "accelerator": accelerator,
        "command line": " ".join(qemu.qemu_argv(files, machine, accelerator)),
    }
    # What is deterministic is the same on every host.
    return facts if machine.deterministic else {**facts, "host": digest_json(host())[:12]}


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


def _with_blocks(failed: Sequence[Boot], boots: Sequence[Boot]) -> list[Boot]:
    """Return those of `boots` that are in a block in which one has failed."""
    blocks = {(boot.workload, boot.block) for boot in failed}
    return [boot for boot in boots if (boot.workload, boot.block) in blocks]


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
        """Boot `missing`, in order; what the host fails in is tried again, three attempts in all.

        Attempts of earlier calls count; one more there is in any case. On a deterministic machine
        the boot alone is tried again, which is the same whenever it is booted; on others the whole
        block. Those are booted one after the other, where `at_once` says nothing else: guests side
        by side would measure each other.

        Raises:
            KeyboardInterrupt: cancelled; what came through is kept, no guest is left.
            InfrastructureError: the disk is full.
        """
        room = guests_at_once(measured_machine(self.plan).memory_mib) if self._deterministic else 1
        at_once = self.at_once or max(1, min(len(missing), room))
        # Last, when what they are held against is there.
        checks = [boot for boot in missing if boot.repetition]
        self._try([boot for boot in missing if not boot.repetition], at_once)
        self._try(checks, at_once)

    def _try(self, boots: Sequence[Boot], at_once: int) -> None:
        while boots:
            failed = self._round(boots, at_once)
            again = failed if self._deterministic else _with_blocks(failed, boots)
            attempts = self._attempts(again)
            boots = [boot for boot in again if attempts[boot] <= _MOST_ATTEMPTS]

    @property
    def _deterministic(self) -> bool:
        return load_machine(self.plan.machine).deterministic

    def _attempts(self, boots: Sequence[Boot]) -> dict[Boot, int]:
        """Return which attempt at each boot the next is; in a block it is the same for all."""
        tried = attempts_at(self.folder)
        if self._deterministic:
            return {boot: tried.get(boot, 0) + 1 for boot in boots}
        most: dict[tuple[str, int], int] = {}
        for boot, attempt in tried.items():
            block = (boot.workload, boot.block)
            most[block] = max(attempt, most.get(block, 0))
        return {boot: most.get((boot.workload, boot.block), 0) + 1 for boot in boots}

    def _round(self, boots: Sequence[Boot], at_once: int) -> list[Boot]:
        """Boot each once; return those that the host failed in."""
        failed: list[Boot] = []
        attempts = self._attempts(boots)
        left = list(reversed(boots))
        running: set[Future[BootRecord]] = set()
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            try:
                while left or running:
                    while left and len(running) < at_once:
                        boot = left.pop()
                        running.add(pool.submit(self._boot, boot, attempts[boot]))
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
        splits: dict[int, int] = {}
        try:
            result = self._run(boot, folder)
            outcome, title = ending(result)
            if outcome is Outcome.PASS:
                values = values_of(workload, result)
                splits = splits_of(workload, result)
        except PatchbedError as error:
            outcome, title = error.outcome, error.message
        if outcome in _SILENT:
            outcome, title = self._blame(boot, folder, outcome, title)
        same = None
        if boot.repetition and not outcome.infrastructure:
            same = self._same_again(boot, folder)
        seconds = time.monotonic() - start
        return BootRecord(boot, outcome, attempt, title, seconds, same, values, splits)

    def _blame(self, boot: Boot, folder: Path, outcome: Outcome, title: str) -> tuple[Outcome, str]:
        """Return how a boot ended that fell silent: by its kernel, or by the host.

        The reference is taken to be good. Where it does the same and is silent as well, or was it
        that fell silent, the host is at fault.
        """
        reference = self.plan.variants[0]
        if boot.variant == reference:
            return Outcome.INFRA_WORKER, f"the reference fell silent: {title}"
        if reference not in self.ready:
            return outcome, title
        aside = folder.with_name(f"{folder.name}-reference")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            ended, _ = ending(self._run(replace(boot, variant=reference), aside))
        except PatchbedError as error:
            ended = error.outcome
        if ended in _SILENT or ended.infrastructure:
            return Outcome.INFRA_WORKER, f"{title}; nor did the reference end well: {ended}"
        return outcome, title

    def _same_again(self, repetition: Boot, folder: Path) -> bool | None:
        """Return whether a repetition gave the bytes of the first, None where there was none."""
        first = replace(repetition, repetition=False)
        for record in read_records(self.folder):
            if record.boot == first and not record.outcome.infrastructure:
                return same_bytes(self.folder.boot_folder(first, record.attempt), folder)
        return None

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
    machine = measured_machine(plan)
    batch = _CancellableBatch(
        ready.kernel,
        ready.image,
        machine,
        steps,
        folder,
        boot_limit=_PATIENCE * scaled(limits.boot),
        silence_limit=_PATIENCE * scaled(limits.silence),
        accelerator=accelerator_of(plan, machine),
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
