# SPDX-License-Identifier: GPL-2.0-or-later
"""A bisection's folder: its plan, what became of each commit's build, and what boots measured."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from harness.config import Model
from harness.errors import UserError
from harness.outcomes import Outcome
from harness.results.files import write_atomically
from harness.results.measurements import CompareFolder
from harness.results.run_folder import disk_error, find_named, make_folder

PLAN = "bisect.json"
BUILDS = "builds.jsonl"
FORMAT = 1
# What may differ between two plans that ask the same.
_WORDS = ("command", "good_name", "bad_name", "version")


class BisectPlan(Model):
    """What a bisection looks for; nothing of it changes once it is stored.

    The first commit after `good`, up to `bad` (ids), where `metric` of `workload` is as in `bad`;
    `good_name` and `bad_name` are what they were called. `series` is "SERIES@VERSION" where one
    goes on top of every commit. `blocks` are worlds on a deterministic machine.
    """

    format: int = FORMAT
    command: list[str]
    repository: str
    good: str
    bad: str
    good_name: str
    bad_name: str
    series: str = ""
    workload: str
    metric: str
    profile: str
    machine: str
    accelerator: str
    blocks: list[int] = Field(min_length=1)
    seed: int
    version: str

    def variant(self, commit: str) -> str:
        """Return the name of the variant that a commit is built as."""
        base = f"git:{self.repository}@{commit}"
        return f"{base}+{self.series}" if self.series else base


class Build(Model):
    """What became of a commit's build: pass, with what it boots, or why it can't be judged.

    `booted` is the same for two kernels that boot the same bytes. `facts` have to be the same for
    all commits of a bisection.
    """

    commit: str
    outcome: Outcome = Field(strict=False)
    message: str = ""
    key: str = ""
    booted: str = ""
    facts: dict[str, str] = Field(default={})


def new_bisection(runs: Path, plan: BisectPlan) -> CompareFolder:
    """Return a new folder in `runs` with `plan` stored in it.

    Raises:
        InfrastructureError: it can't be made.
    """
    _, path = make_folder(runs, datetime.now(UTC))
    write_atomically(path / PLAN, plan.model_dump_json(indent=1) + "\n")
    return CompareFolder(path)


def find_bisection(runs: Path, name: str) -> CompareFolder:
    """Return the bisection called `name`: "last", an id or its beginning, or a folder.

    Raises:
        UserError: there is none, or more than one.
    """
    return CompareFolder(find_named(runs, name, PLAN, "bisection"))


def same_bisection(runs: Path, plan: BisectPlan) -> CompareFolder | None:
    """Return the latest bisection in `runs` that asks what `plan` asks, None where none does."""
    asked = plan.model_dump(exclude=set(_WORDS))
    for path in sorted(runs.glob(f"*/{PLAN}"), reverse=True):
        folder = CompareFolder(path.parent)
        try:
            there = read_bisection(folder)
        except UserError:
            continue
        if there.model_dump(exclude=set(_WORDS)) == asked:
            return folder
    return None


def read_bisection(folder: CompareFolder) -> BisectPlan:
    """Return the plan of a bisection.

    Raises:
        UserError: it can't be read, or is of another version of patchbed.
    """
    path = folder.path / PLAN
    try:
        return BisectPlan.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path} is no plan of this version: {str(error).splitlines()[0]}",
            hint="start a new bisection",
        ) from error


def append_build(folder: CompareFolder, build: Build) -> None:
    """Keep what became of a commit's build.

    Raises:
        InfrastructureError: the disk does not take it.
    """
    path = folder.path / BUILDS
    try:
        with path.open("a", encoding="utf-8") as stream:
            # Begins with a newline: one that was cut when we were killed spoils no other.
            stream.write(f"\n{build.model_dump_json()}\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise disk_error(path, error) from error


def read_builds(folder: CompareFolder) -> dict[str, Build]:
    """Return what became of each commit's build, in order; what can't be read does not count."""
    try:
        text = (folder.path / BUILDS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    found: dict[str, Build] = {}
    for line in text.splitlines():
        try:
            build = Build.model_validate(json.loads(line))
        except ValueError:
            continue
        found[build.commit] = build
    return found
