# SPDX-License-Identifier: GPL-2.0-or-later
"""What `patchbed bisect` looks for: decided and stored before anything is built."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import __version__
from harness.config import Settings
from harness.errors import UserError
from harness.guest.machine import load_machine
from harness.kernel.history import History, open_history
from harness.kernel.variant import Variant, parse
from harness.measure.bisection import metric_of
from harness.measure.workload import list_workloads, load_workload
from harness.results.bisections import BisectPlan

_SCHEME = "git:"
_FORM = "write patchbed bisect WORKLOAD/METRIC git:PATH@GOOD BAD"


@dataclass(frozen=True)
class BisectDesign:
    """How commits are measured: `blocks` boots of each, `first` the first's number."""

    blocks: int = 8
    first: int = 1
    profile: str = "fast"
    machine: str = "deterministic"
    accelerator: str = "auto"
    seed: int | None = None


@dataclass(frozen=True)
class Named:
    """A commit as it was named: in which repository ("" where none was), and with which series."""

    repository: str
    revision: str
    series: str = ""


def make_bisect_plan(
    settings: Settings,
    folder: Path,
    asked: tuple[str, str, str],
    command: Sequence[str],
    design: BisectDesign,
    here: Path,
) -> BisectPlan:
    """Return the plan for what was `asked`: the metric, the good and the bad commit.

    `folder` is where the settings' paths begin; `here` is the repository where none is named.

    Raises:
        UserError: there is no such workload, machine, repository or commit, or the good commit
            does not lead to the bad one.
    """
    metric, good, bad = asked
    testcases = folder / settings.paths.testcases
    key, name = split_metric(metric, list_workloads(testcases))
    workload = load_workload(key, testcases)
    load_machine(design.machine)
    ends = [named(text, settings.bases) for text in (good, bad)]
    repository, series = _common(ends, here)
    history = open_history(Path(repository))
    ids = [_find(history, end.revision) for end in ends]
    _check_order(history, ids, ends)
    return BisectPlan(
        command=list(command),
        repository=str(history.folder),
        good=ids[0],
        bad=ids[1],
        good_name=ends[0].revision,
        bad_name=ends[1].revision,
        series=series,
        workload=workload.key,
        metric=metric_of(workload, name).name,
        profile=design.profile,
        machine=design.machine,
        accelerator=design.accelerator,
        blocks=list(range(design.first, design.first + design.blocks)),
        seed=secrets.randbelow(2**31) if design.seed is None else design.seed,
        version=__version__,
    )


def split_metric(text: str, workloads: Sequence[str]) -> tuple[str, str]:
    """Return workload and metric of "WORKLOAD/METRIC" or "WORKLOAD.METRIC".

    The workload may have parameters: "secretmem-idle:pages=64/level2_splits".

    Raises:
        UserError: it has no such form, or there is no such workload.
    """
    ways = [text.partition("/")] if "/" in text else []
    if not ways:
        dots = [place for place, letter in enumerate(text) if letter == "."]
        ways = [(text[:place], ".", text[place + 1 :]) for place in dots]
    for workload, _, metric in ways:
        if workload.partition(":")[0] in workloads and metric:
            return workload, metric
    raise UserError(
        f"{text!r} is no WORKLOAD/METRIC", hint=f"workloads: {', '.join(sorted(workloads))}"
    )


def named(text: str, bases: Mapping[str, str]) -> Named:
    """Return what names a commit: `git:REPO@REV`, a short name of one, or REV alone.

    Raises:
        UserError: it is another kind of base.
    """
    variant = parse(text) if text.startswith(_SCHEME) or text in bases else Variant("")
    base = bases.get(variant.base, variant.base)
    series = f"{variant.series}@{variant.which}" if variant.patched else ""
    if not base:
        return Named("", text)
    repository, at, revision = base.removeprefix(_SCHEME).rpartition("@")
    if not (base.startswith(_SCHEME) and at and repository and revision):
        raise UserError(f"{text!r} is no commit of a git repository", hint=_FORM)
    return Named(repository, revision, series)


def _common(ends: Sequence[Named], here: Path) -> tuple[str, str]:
    """Return the repository and the series that both ends are named with."""
    repositories = {str(Path(end.repository).expanduser()): None for end in ends if end.repository}
    series = {end.series for end in ends if end.repository}
    if len(repositories) > 1 or len(series) > 1:
        raise UserError("GOOD and BAD differ in more than the commit", hint=_FORM)
    return next(iter(repositories), str(here)), next(iter(series), "")


def _find(history: History, revision: str) -> str:
    commit = history.find(revision)
    if not commit:
        raise UserError(
            f"{history.folder} has no commit {revision!r}",
            hint=f"git -C {history.folder} log lists what there is",
        )
    return commit


def _check_order(history: History, ids: Sequence[str], ends: Sequence[Named]) -> None:
    good, bad = ids
    names = [end.revision for end in ends]
    if good == bad:
        raise UserError(f"{names[0]} and {names[1]} are the same commit", hint=_FORM)
    if history.leads_to(good, bad):
        return
    if history.leads_to(bad, good):
        hint = "what comes first is GOOD, be it better or not: change them about"
    else:
        hint = f"take one that does: git -C {history.folder} merge-base {names[0]} {names[1]}"
    raise UserError(f"{names[0]} does not lead to {names[1]}", hint=hint)
