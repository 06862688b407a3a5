# SPDX-License-Identifier: GPL-2.0-or-later
"""The TOML file of a machine: what may be in it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from harness.config import Model, load_toml
from harness.guest.machine import Machine, make_machine


class MachineFile(Model):
    """The keys of a machine's file; `harness.guest.machine.Machine` says what they mean."""

    description: str = Field(min_length=1)
    board: Literal["q35", "pc"] = "q35"
    memory_mib: int = Field(ge=64, le=1 << 20)
    cpus: int = Field(default=1, ge=1, le=255)
    cpu: str = Field(default="max", pattern=r"^[a-zA-Z0-9][\w.,+=-]*$")
    boot: Literal["pvh", "bzimage"] = "pvh"
    kernel_args: list[str] = Field(default_factory=list)
    nodes: int = Field(default=1, ge=1, le=8)
    disk_mib: int = Field(default=0, ge=0, le=1 << 20)
    deterministic: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cpus % self.nodes or self.memory_mib % self.nodes:
            raise ValueError("cpus and memory_mib can't be shared out evenly among nodes")
        if self.deterministic and (self.cpus > 1 or self.boot != "bzimage"):
            raise ValueError('a deterministic machine has one CPU and boot = "bzimage"')
        if self.deterministic and self.disk_mib:
            raise ValueError("a deterministic machine has no disk: another thread would serve it")
        return self


def read_machine(path: Path) -> Machine:
    """Return the machine in the file at `path`.

    Raises:
        ConfigError: as `load_toml` has it.
    """
    return make_machine(load_toml(path, MachineFile).model_dump())
