# SPDX-License-Identifier: GPL-2.0-or-later
"""Checking a series patch by patch: built, and booted where that is asked for."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import GuestDied
from harness.kernel.check import Probe, Step, check_series
from harness.kernel.request import Where
from harness.kernel.variant import parse
from harness.outcomes import ExitCode, Outcome
from harness.report.progress import Progress

if TYPE_CHECKING:
    from harness.kernel.artifact import Kernel

_SHOWN_LINES = 24


@dataclass(frozen=True)
class CheckRequest:
    """What the command line asks for: `first` is the number of the patch to begin with.

    `config` are lines of a configuration, as a .config has them or `CONFIG_X=n`.
    """

    variant: str
    where: Where
    profile: str = "fast"
    first: int = 1
    boot: bool = False
    machine: str = "q35-1g"
    accelerator: str = "auto"
    boot_timeout: float = 60.0
    jobs: int = 0
    as_json: bool = False
    config: tuple[str, ...] = ()


def execute_check(request: CheckRequest) -> int:
    """Check each patch, say what was found; return 0, or 2 where a patch breaks.

    Raises:
        UserError: there is no such variant or machine.
        InfrastructureError: the host can't do it.
    """
    probe = boot_probe(request) if request.boot else None
    with Progress() as progress:
        steps = check_series(
            parse(request.variant),
            request.profile,
            listen=progress,
            first=request.first,
            probe=probe,
            jobs=request.jobs or None,
            where=request.where,
            config=request.config,
        )
    broken = steps[-1] if steps[-1].outcome is not Outcome.PASS else None
    if request.as_json:
        sys.stdout.write(json.dumps(_document(request, steps, broken), indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(steps, boot=request.boot))
    return ExitCode.USAGE if broken else ExitCode.OK


def lines(steps: Sequence[Step], *, boot: bool) -> list[str]:
    """Return what was found as lines of text: one a patch, then why the last is broken."""
    good = "builds and boots" if boot else "builds"
    result = []
    for step in steps:
        if step.outcome is Outcome.PASS:
            result.append(f"{step.patch}: {good}")
            continue
        result.append(f"{step.patch}: {step.outcome}: {step.message}")
        result += [f"  {line}" for line in step.lines[:_SHOWN_LINES]]
        result += [f"log: {step.log}"] if step.log else []
        result.append(f"the first that breaks: patch {step.number}, {step.patch}")
    return result


def _document(request: CheckRequest, steps: Sequence[Step], broken: Step | None) -> object:
    return {
        "variant": request.variant,
        "profile": request.profile,
        "config": list(request.config),
        "boot": request.boot,
        "broken": broken.number if broken else None,
        "steps": [asdict(step) for step in steps],
    }


def boot_probe(request: CheckRequest) -> Probe:
    """Return what boots a kernel and runs `true` in it; it raises GuestDied where that fails."""
    from harness.guest.guest import Guest
    from harness.guest.image import boot_files, build_image
    from harness.guest.machine import load_machine

    machine = load_machine(request.machine)

    def probe(kernel: Kernel) -> None:
        with tempfile.TemporaryDirectory(prefix="patchbed-check-") as name:
            guest = Guest(
                kernel,
                build_image(boot_files(kernel)),
                machine,
                Path(name),
                boot_limit=request.boot_timeout,
                silence_limit=request.boot_timeout,
                accelerator=request.accelerator,
                keep_log=False,
            )
            with guest:
                done = guest.run("true")
                if done.status != 0:
                    raise GuestDied(Outcome.KERNEL_LOST, f"`true` ended with {done.status}")

    return probe
