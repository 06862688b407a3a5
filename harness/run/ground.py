# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot stands on: its machine, its kernel, and what patchbed.toml says about limits."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths
from harness.files import replace_text
from harness.guest.machine import Machine, make_machine
from harness.kernel.artifact import Kernel
from harness.kernel.cache import default_cache
from harness.kernel.filestate import file_states
from harness.kernel.recall import Question, recall, remember
from harness.kernel.variant import parse

if TYPE_CHECKING:
    from harness.events import Event, Listener

_HARNESS = Path(__file__).resolve().parent.parent
# What they make of a file may be another thing once they change.
_READERS = [_HARNESS / name for name in ("config.py", "guest/machine.py", "guest/machine_file.py")]


@dataclass(frozen=True)
class Ground:
    """A machine, a kernel, and the limits `boot` and `silence` in seconds."""

    machine: Machine
    kernel: Kernel
    boot: float
    silence: float


@dataclass(frozen=True)
class Settled:
    """What the files of a person's settings say, in plain values that can be kept as JSON."""

    machine: dict[str, Any]
    boot: float
    silence: float
    bases: dict[str, str]
    series: str

    def found_machine(self) -> Machine:
        """Return the machine."""
        return make_machine(self.machine)


def find_ground(
    variant: str,
    profile: str,
    machine: str,
    settings: Path,
    *,
    check: Callable[[Machine], None],
    listen: Listener,
) -> Ground:
    """Return what a boot of `variant` stands on; its kernel is built if need be.

    `settings` is the patchbed.toml; `check` gets the machine before anything is built. What was
    found once is remembered for as long as no file that it depends on has changed: to read and to
    check them all takes as long as a fifth of a boot.

    Raises:
        PatchbedError: there is no such variant or machine, or it can't be built; and as `check`.
    """
    settled = settle(machine, settings)
    found = settled.found_machine()
    check(found)
    question = Question(parse(variant), profile, Path(settled.series))
    kernel = recall(question, settled.bases, default_cache())
    if kernel is None:
        kernel = _obtain(question, settled.bases, listen)
    return Ground(found, kernel, settled.boot, settled.silence)


def _obtain(question: Question, bases: dict[str, str], listen: Listener) -> Kernel:
    from harness.events import Message
    from harness.kernel.builder import obtain

    warned = []

    def hear(event: Event) -> None:
        warned.extend([event] if isinstance(event, Message) else [])
        listen(event)

    kernel = obtain(
        question.variant,
        question.profile,
        listen=hear,
        aliases=bases,
        series_folder=question.series,
        config_folder=question.config,
    )
    # What there is to say is said each time.
    if not warned:
        remember(question, kernel, bases, default_cache())
    return kernel


def settle(machine: str, settings: Path) -> Settled:
    """Return what the file of `machine` and the patchbed.toml `settings` say, remembered or read.

    Raises:
        UserError: there is no such machine.
        ConfigError: a file can't be used.
    """
    sources = [settings.resolve(), paths.MACHINES / f"{machine}.toml", *_READERS]
    name = hashlib.sha256(json.dumps([str(path) for path in sources]).encode()).hexdigest()
    memory = default_cache().root / "settings" / f"{name[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(memory.read_bytes())
        if known["states"] == [file_states(path) for path in sources]:
            return Settled(**known["settled"])
    settled = _read(machine, settings)
    # Lists as JSON has them: what is read is what was written.
    settled.machine["kernel_args"] = list(settled.machine["kernel_args"])
    with contextlib.suppress(OSError):
        states = [file_states(path) for path in sources]
        replace_text(memory, json.dumps({"states": states, "settled": asdict(settled)}))
    return settled


def _read(machine: str, settings: Path) -> Settled:
    from harness.config import load_settings
    from harness.guest.machine import load_machine

    told = load_settings(settings)
    return Settled(
        machine=asdict(load_machine(machine)),
        boot=told.limits.boot,
        silence=told.limits.silence,
        bases=dict(told.bases),
        series=str(settings.resolve().parent / told.paths.kernel_patches),
    )
