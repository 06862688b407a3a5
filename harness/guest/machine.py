# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines that guests run on, one TOML file each under guest-config/machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import UserError
from harness.paths import MACHINES


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine: what QEMU is to make, and how it starts a kernel on it.

    `memory_mib` is in MiB. `boot` is "pvh" (vmlinux, with nothing to unpack: fast,
    but without address randomisation) or "bzimage". `kernel_args` come after ours on the
    kernel's command line. Memory and CPUs are shared out evenly among `nodes`. `disk_mib` is the
    size of a virtio disk in MiB, 0 for none: empty at every boot, kept in the host's memory as far
    as it is written to, and gone with the guest.

    A `deterministic` machine counts instructions instead of time and has no device that another
    thread of the host serves: what its guest does depends on its files and its world alone. It
    has no network, so only a batch can run on it.
    """

    description: str
    board: Literal["q35", "pc"] = "q35"
    memory_mib: int
    cpus: int = 1
    cpu: str = "max"
    boot: Literal["pvh", "bzimage"] = "pvh"
    kernel_args: tuple[str, ...] = ()
    nodes: int = 1
    disk_mib: int = 0
    deterministic: bool = False


def make_machine(values: Mapping[str, Any]) -> Machine:
    """Return the machine of plain values, as TOML and JSON have them: sequences are lists."""
    return Machine(**{**values, "kernel_args": tuple(values["kernel_args"])})


def list_machines(folder: Path = MACHINES) -> list[str]:
    """Return the names of all machines, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_machine(name: str, folder: Path = MACHINES) -> Machine:
    """Return the machine called `name`.

    Raises:
        UserError: there is none of that name.
        ConfigError: its file has an unknown key or a wrong value.
    """
    # A boot that knows its machine does without what checks the file.
    from harness.guest.machine_file import read_machine

    known = list_machines(folder)
    if name not in known:
        raise UserError(f"no machine {name!r}", hint=f"choose from: {', '.join(known)}")
    return read_machine(folder / f"{name}.toml")


def check_interactive(machine: Machine) -> None:
    """Raise UserError for a machine whose guests take no commands."""
    if machine.deterministic:
        raise UserError(
            "a deterministic machine takes no commands: nothing goes in after its start",
            hint="run them as a batch: `patchbed boot --machine deterministic -- COMMAND`",
        )
