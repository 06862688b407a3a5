# SPDX-License-Identifier: GPL-2.0-or-later
"""Workloads: what a guest does while it is measured; one folder each in testcases/workloads."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from harness.config import Model, load_toml
from harness.errors import UserError
from harness.guest.script import Step
from harness.measure.metric import Metric

FILE_NAME = "workload.toml"
FOLDER = "workloads"
# Pulled before what is measured, after it, and once all is given back.
BEFORE, AFTER, END = "pull before", "pull after", "pull end"
PULLED = (
    "/proc/vmstat",
    "/proc/meminfo",
    "/sys/kernel/debug/page_tables/kernel",
    "/sys/kernel/debug/unmapped_alloc",
    "/sys/kernel/debug/x86/cpa_stats",
    "/proc/interrupts",
)
_NAME = r"^[a-z][a-z0-9_]*$"


class Parameter(Model):
    """A number that can be set: `patchbed compare -w NAME:parameter=value`."""

    default: int
    least: int
    most: int
    description: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.least <= self.default <= self.most:
            raise ValueError("`default` has to be from `least` to `most`")
        return self


class Choice(Model):
    """Words that are drawn anew in each world, the same for every kernel.

    `count` is how many: a number, or a parameter's name.
    """

    values: list[str] = Field(min_length=1)
    count: str | int
    description: str = ""


class WorkloadStep(Model):
    """A command for the guest's shell, where each parameter and choice is a variable.

    `phase` is "prepare" before the first pull, "work" for what is measured, "release" for what
    gives back again. `limit` is in seconds of the guest's clock.
    """

    name: str = Field(min_length=1)
    command: str = Field(min_length=1)
    phase: Literal["prepare", "work", "release"] = "work"
    limit: float = Field(default=60.0, gt=0)


class WorkloadFile(Model):
    """The whole of a workload.toml."""

    description: str = Field(min_length=1)
    version: int = Field(ge=1)
    config: list[str] = Field(default_factory=list)
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    choices: dict[str, Choice] = Field(default_factory=dict)
    steps: list[WorkloadStep] = Field(default_factory=list)
    metrics: list[Metric] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        phases = [("prepare", "work", "release").index(step.phase) for step in self.steps]
        if phases != sorted(phases):
            raise ValueError("steps have to be in the order prepare, work, release")
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError("two metrics have the same name")
        for choice in self.choices.values():
            if isinstance(choice.count, str) and choice.count not in self.parameters:
                raise ValueError(f"no parameter {choice.count!r} for a choice's count")
        return self


@dataclass(frozen=True)
class Workload:
    """A workload with its parameters set.

    `key` names it with the parameters that are not the default: "secretmem-idle:pages=64".
    `digest` changes with anything that it does.
    """

    name: str
    file: WorkloadFile
    parameters: Mapping[str, int]
    digest: str

    @property
    def key(self) -> str:
        default = {name: one.default for name, one in self.file.parameters.items()}
        set_ = [
            f"{name}={value}" for name, value in self.parameters.items() if value != default[name]
        ]
        return ":".join([self.name, ",".join(set_)]) if set_ else self.name

    @property
    def metrics(self) -> list[Metric]:
        return self.file.metrics

    def lacks(self, config: Mapping[str, str]) -> list[str]:
        """Return the symbols that it needs and `config` (symbols without CONFIG_) has not."""
        return [symbol for symbol in self.file.config if config.get(symbol) not in ("y", "m")]

    def steps(self, world: int) -> list[Step]:
        """Return the batch of one boot in `world`: the steps, and the pulls between them."""
        setup = "".join(f"{name}='{value}'\n" for name, value in self.variables(world).items())

        def phase(name: str) -> list[Step]:
            return [
                Step(step.name, setup + step.command, limit=step.limit)
                for step in self.file.steps
                if step.phase == name
            ]

        work, release = phase("work"), phase("release")
        steps = [*phase("prepare"), _pull(BEFORE)]
        if work:
            steps += [*work, _pull(AFTER)]
        if release:
            steps += [*release, _pull(END)]
        return steps

    def variables(self, world: int) -> dict[str, str]:
        """Return what the steps' shell knows: parameters, choices and the world."""
        variables = {name: str(value) for name, value in self.parameters.items()}
        for name, choice in self.file.choices.items():
            # Not hash(): it differs from one process to the next.
            generator = random.Random(f"{self.name} {name} {world}")  # noqa: S311
            count = self.parameters[choice.count] if isinstance(choice.count, str) else choice.count
            variables[name] = " ".join(generator.choice(choice.values) for _ in range(count))
        return variables | {"world": str(world)}


def _pull(name: str) -> Step:
    return Step(name, ":", files=PULLED)


def list_workloads(testcases: Path) -> list[str]:
    """Return the names of all workloads, sorted."""
    return sorted(path.parent.name for path in (testcases / FOLDER).glob(f"*/{FILE_NAME}"))


def load_workload(text: str, testcases: Path) -> Workload:
    """Return the workload that `text` names, as in "secretmem-idle:pages=64".

    Raises:
        UserError: there is no such workload or parameter, or a value is not within its bounds.
        ConfigError: its file can't be used.
    """
    name, _, rest = text.partition(":")
    known = list_workloads(testcases)
    if name not in known:
        raise UserError(f"no workload {name!r}", hint=f"choose from: {', '.join(known)}")
    path = testcases / FOLDER / name / FILE_NAME
    file = load_toml(path, WorkloadFile)
    parameters = {key: one.default for key, one in file.parameters.items()}
    for part in rest.split(",") if rest else []:
        key, _, value = part.partition("=")
        parameters[key] = _parameter(text, file, key, value)
    return Workload(name, file, parameters, _digest(testcases, path, parameters))


def _parameter(text: str, file: WorkloadFile, key: str, value: str) -> int:
    if key not in file.parameters:
        names = ", ".join(file.parameters) or "it has none"
        raise UserError(f"workload {text!r}: no parameter {key!r}", hint=f"parameters: {names}")
    bounds = file.parameters[key]
    if not value.isascii() or not value.isdigit() or not bounds.least <= int(value) <= bounds.most:
        raise UserError(
            f"workload {text!r}: {key} can't be {value!r}",
            hint=f"take a number from {bounds.least} to {bounds.most}",
        )
    return int(value)


def _digest(testcases: Path, path: Path, parameters: Mapping[str, int]) -> str:
    """Return what changes with all that a boot does: the file, parameters, programs, and pulls."""
    digest = hashlib.sha256(path.read_bytes() + repr(sorted(parameters.items())).encode())
    digest.update(repr(PULLED).encode())
    for source in sorted((testcases / FOLDER / "programs").glob("*.[ch]")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]
