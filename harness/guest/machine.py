# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines that guests run on, one TOML file each under guest-config/machines."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from harness.config import Model, load_toml
from harness.errors import UserError
from harness.paths import MACHINES


class Machine(Model):
    """A machine: what QEMU is to make, and how it starts a kernel on it.

    `memory_mib` is in MiB. `boot` is "pvh" (vmlinux, with nothing to unpack: fast,
    but without address randomisation) or "bzimage". `kernel_args` come after ours on the
    kernel's command line. Memory and CPUs are shared out evenly among `nodes`.

    A `deterministic` machine counts instructions instead of time and has no device that another
    thread of the host serves: what its guest does depends on its files and its world alone. It
    has no network, so only a batch can run on it.
    """

    description: str = Field(min_length=1)
    board: Literal["q35", "pc"] = "q35"
    memory_mib: int = Field(ge=64, le=1 << 20)
    cpus: int = Field(default=1, ge=1, le=255)
    cpu: str = Field(default="max", pattern=r"^[a-zA-Z0-9][\w.,+=-]*$")
    boot: Literal["pvh", "bzimage"] = "pvh"
    kernel_args: list[str] = Field(default_factory=list)
    nodes: int = Field(default=1, ge=1, le=8)
    deterministic: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cpus % self.nodes or self.memory_mib % self.nodes:
            raise ValueError("cpus and memory_mib can't be shared out evenly among nodes")
        if self.deterministic and (self.cpus > 1 or self.boot != "bzimage"):
            raise ValueError('a deterministic machine has one CPU and boot = "bzimage"')
        return self


def list_machines(folder: Path = MACHINES) -> list[str]:
    """Return the names of all machines, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_machine(name: str, folder: Path = MACHINES) -> Machine:
    """Return the machine called `name`.

    Raises:
        UserError: there is none of that name.
        ConfigError: its file has an unknown key or a wrong value.
    """
    known = list_machines(folder)
    if name not in known:
        raise UserError(f"no machine {name!r}", hint=f"choose from: {', '.join(known)}")
    return load_toml(folder / f"{name}.toml", Machine)


def check_interactive(machine: Machine) -> None:
    """Raise UserError for a machine whose guests take no commands."""
    if machine.deterministic:
        raise UserError(
            "a deterministic machine takes no commands: nothing goes in after its start",
            hint="run them as a batch: `patchbed boot --machine deterministic -- COMMAND`",
        )
