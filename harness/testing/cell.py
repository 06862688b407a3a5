# SPDX-License-Identifier: GPL-2.0-or-later
"""A cell: one variant's guest and the testcases that it runs, as handed to a pytest process."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from harness.outcomes import Outcome


class CellIssue(BaseModel):
    """A known issue of the series under test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    testcase: str
    check: str = "*"
    outcome: Outcome = Outcome.FAIL
    reason: str
    sometimes: bool = False


class CellKernel(BaseModel):
    """The kernel of a cell: what a `harness.kernel.artifact.Kernel` is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    variant: str
    profile: str
    release: str
    tree: str
    compiler: str
    folder: Path


class CellPlan(BaseModel):
    """All that a pytest process needs to know to run one cell.

    `profile` names all profiles that its kernel is of, joined by commas. `no_modules` is why there
    are no test modules in the image, "" where there are.
    `modules` is the folder of the test modules on the host, `again` the command that runs the cell
    once more. `selftests` is the folder of the kernel's own selftests that the catalogue needs,
    `no_selftests` why there is none; `kselftests` is that of the collection that the run asks for.
    `folder` is the run folder; `selection` is pytest's `-k` expression, "" for all;
    limits are in seconds. With `snapshot` each testcase has a guest of its own, restored from one.
    Storms multiply their work by `stress`. The processes of a cell are its workers, from 1;
    `durations` are seconds by testcase, of earlier runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: str
    profile: str
    kernel: CellKernel
    machine: str
    image: Path
    folder: Path
    patched: bool
    probe: str = ""
    no_modules: str = ""
    modules: Path | None = None
    selftests: Path | None = None
    no_selftests: str = "this run's selection did not ask for it"
    kselftests: Path | None = None
    again: tuple[str, ...] = ()
    issues: list[CellIssue] = []
    accelerator: str = "auto"
    boot_limit: float
    silence_limit: float
    test_limit: float
    snapshot: bool = False
    stress: float = 1.0
    worker: int = 1
    durations: dict[str, float] = {}

    @property
    def cell_folder(self) -> Path:
        """Where all that belongs to the cell goes."""
        return self.folder / "cells" / self.cell

    @property
    def claims(self) -> Path:
        """Where its workers share out what there is to do."""
        return self.cell_folder / "claims"
