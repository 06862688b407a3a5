# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison from its plan to its reports."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BuildError, UserError
from harness.guest.machine import load_machine
from harness.kernel.footprint import kernel_sizes, patch_sizes
from harness.kernel.series import load_series
from harness.kernel.variant import parse
from harness.measure.comparability import Difference, differing_fields
from harness.measure.comparison import compare
from harness.measure.workload import Workload, load_workload
from harness.report.compare_figures import figures_of, write_figures
from harness.report.compare_html import comparison_html
from harness.report.comparison import (
    Compared,
    as_json,
    exit_code,
    mail_text,
    markdown_text,
    outcome_words,
    report_lines,
)
from harness.report.progress import Progress, remaining
from harness.report.words import duration
from harness.results.attribution import AttributedBoot, read_attribution
from harness.results.direct_maps import read_maps
from harness.results.files import write_atomically
from harness.results.measurements import (
    Boot,
    BootRecord,
    CompareFolder,
    StoredPlan,
    find_folder,
    new_folder,
    read_plan,
    read_records,
    still_missing,
)
from harness.run.attribute import Attributing, begin_attribution
from harness.run.compare_local import (
    LocalBoots,
    NotBuilt,
    Places,
    Ready,
    major_minor,
    measured_machine,
    prepare,
)
from harness.run.compare_needs import check_needs
from harness.run.compare_plan import arms, boots_of, control_pair, pairs_for
from harness.run.local import guests_at_once
from harness.run.per_patch import booted_bytes, twins

KERNELS = "kernels.json"
_SHOWN_DIFFERENCES = 20
# The file that each form of the report is in.
_REPORTS = {
    "json": "results.json",
    "mail": "mail.txt",
    "markdown": "report.md",
    "html": "report.html",
}


@dataclass(frozen=True)
class CompareRequest:
    """What the command line asks for: a new `plan`, or what to go on with (`resume`).

    With `report_only` nothing is booted. `attribute` asks who splits the direct map, in boots of
    their own; what is resumed asks, too, where it was asked before. `at_once` is how many guests
    run side by side, 0 for as many as this host has room for. `form` is "text", "json", "mail",
    "markdown" or "html". Pictures go to the folder `figures`, too.
    """

    runs: Path
    places: Places
    plan: StoredPlan | None = None
    resume: str = ""
    report_only: bool = False
    attribute: bool = False
    at_once: int = 0
    form: str = "text"
    figures: Path | None = None


def execute_compare(request: CompareRequest) -> int:
    """Boot what is missing of a comparison, report, and return the exit code.

    Raises:
        UserError: variants are not comparable, or what is resumed is no longer the same.
        KeyboardInterrupt: cancelled; `--resume` goes on with it.
    """
    if request.plan is not None:
        folder, plan = new_folder(request.runs, request.plan), request.plan
    else:
        folder = find_folder(request.runs, request.resume)
        plan = read_plan(folder)
    workloads = {key: load_workload(key, request.places.testcases) for key in plan.workloads}
    if request.report_only and request.attribute:
        raise UserError("--attribute boots, --report does not", hint="say --resume instead")
    if not request.report_only:
        if request.attribute:
            begin_attribution(folder, plan)
        try:
            _measure(request, folder, plan, workloads)
            _attribute(request, folder, plan, workloads)
        except KeyboardInterrupt:
            _say(f"go on with: patchbed compare --resume {folder.path.name}")
            raise
    compared = analyse(folder, plan, workloads)
    texts = write_reports(folder, compared, request.figures)
    _print(compared, request.form, folder, texts)
    return exit_code(compared)


def _measure(
    request: CompareRequest,
    folder: CompareFolder,
    plan: StoredPlan,
    workloads: Mapping[str, Workload],
) -> None:
    _say(f"{folder.path}")
    with Progress() as progress:
        made = prepare(plan, arms(plan), list(workloads.values()), request.places, progress)
    ready = {one.variant: one for one in made if isinstance(one, Ready)}
    facts = _facts(made, plan, request.places)
    for one in made:
        if isinstance(one, NotBuilt):
            _refuse_reference(one, plan)
            _say(f"{one.outcome}: {one.variant}: {one.message}")
    configs = {name: one.circumstances.config for name, one in ready.items()}
    check_needs(list(workloads.values()), configs, plan.profile)
    _refuse(facts["differing"], plan)
    _same_kernels(folder, facts)
    same = _same_bytes(facts)
    wanted = [boot for boot in boots_of(plan) if boot.variant in ready and boot.variant not in same]
    whole = whole_arms(plan, ready.keys() - same.keys())
    with folder:
        missing = still_missing(wanted, read_records(folder, whole), whole=bool(whole))
        pace = _Pace(len(missing), len({(boot.workload, boot.block) for boot in missing}))
        boots = LocalBoots(
            plan, ready, workloads, folder, request.places, pace, at_once=request.at_once
        )
        boots.execute(missing)
    pace.close(len(plan.workloads))


def _refuse_reference(one: NotBuilt, plan: StoredPlan) -> None:
    if one.variant == plan.variants[0]:
        raise BuildError(
            one.outcome,
            f"the reference, {one.variant}, can't be built: {one.message}",
            hint="there is nothing to compare with",
        )


def whole_arms(plan: StoredPlan, built: Iterable[str]) -> list[str]:
    """Return the variants of a block where blocks count as a whole, else none.

    They do where boots are not deterministic: then a block is what met the same host. `built` are
    the variants that there is a kernel of.
    """
    if load_machine(plan.machine).deterministic:
        return []
    return [name for name in arms(plan) if name in set(built)]


def _attribute(
    request: CompareRequest,
    folder: CompareFolder,
    plan: StoredPlan,
    workloads: Mapping[str, Workload],
) -> None:
    """Ask who splits the direct map, where that was asked for."""
    if read_attribution(folder.path) is None:
        return

    def tell(boot: AttributedBoot) -> None:
        ended = outcome_words(boot.outcome, boot.title)
        _say(f"attribution: {boot.workload} {boot.variant}: {ended}")

    with Progress() as progress:
        asking = Attributing(plan, workloads, folder, request.places, progress, tell)
        room = guests_at_once(measured_machine(plan).memory_mib)
        asking.execute(request.at_once or room)


def _facts(made: Sequence[Ready | NotBuilt], plan: StoredPlan, places: Places) -> dict[str, object]:
    """Return what is kept of the kernels: keys, sizes, differing fields, and those not built."""
    ready = {one.variant: one for one in made if isinstance(one, Ready)}
    reference = ready.get(plan.variants[0])
    booted = [(name, booted_bytes(one.kernel, one.image)) for name, one in ready.items()]
    differing: list[Difference] = []
    if reference is not None:
        others = {name: one.circumstances for name, one in ready.items()}
        differing = differing_fields(reference.circumstances, others)
    return {
        "kernels": {name: one.kernel.key for name, one in ready.items()},
        "same": twins(one for one in booted if one[0] in plan.variants) if plan.patches else {},
        "shared": dict(reference.circumstances.facts) if reference else {},
        "differing": [[one.variant, one.field, one.reference, one.value] for one in differing],
        "not_built": {
            one.variant: f"{one.outcome}: {one.message}"
            for one in made
            if isinstance(one, NotBuilt)
        },
        "footprint": {
            name: _footprint(one, places) for name, one in ready.items() if name in plan.variants
        },
    }


def _footprint(ready: Ready, places: Places) -> dict[str, int]:
    sizes = kernel_sizes(ready.kernel)
    variant = parse(ready.variant)
    if not variant.patched:
        return sizes
    base = major_minor(ready.kernel)
    series = load_series(variant.series, variant.version, base, places.kernel_patches)
    return sizes | patch_sizes(series.upto(variant.upto).patches)


def _refuse(differing: object, plan: StoredPlan) -> None:
    """Refuse to compare what differs in more than the series."""
    assert isinstance(differing, list)  # noqa: S101
    if not differing or plan.forced:
        return
    lines = [str(Difference(*each)) for each in differing]
    shown = "\n".join(f"  {line[:300]}" for line in lines[:_SHOWN_DIFFERENCES])
    more = len(lines) - _SHOWN_DIFFERENCES
    raise UserError(
        f"the variants differ in more than their series:\n{shown}"
        + (f"\n  ... {more} more" if more > 0 else ""),
        hint="build them alike, or say --force: the report is labelled then",
    )


def _same_kernels(folder: CompareFolder, facts: Mapping[str, object]) -> None:
    """Store what was compared, or refuse to go on with something else."""
    path = folder.path / KERNELS
    text = json.dumps(facts, indent=1) + "\n"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        write_atomically(path, text)
        return
    now = json.loads(text)
    for name in ("kernels", "shared"):
        if before[name] != now[name]:
            changed = sorted(
                key
                for key in {*before[name], *now[name]}
                if before[name].get(key) != now[name].get(key)
            )
            raise UserError(
                f"{folder.path}: since it was begun, this has changed: {', '.join(changed)}",
                hint="start a new comparison: boots of both would be mixed",
            )


def analyse(folder: CompareFolder, plan: StoredPlan, workloads: Mapping[str, Workload]) -> Compared:
    """Return what a comparison's folder amounts to; boots nothing."""
    facts = _read_facts(folder)
    same = _same_bytes(facts)
    records = read_records(folder, whole_arms(plan, facts.get("kernels", {}).keys() - same.keys()))
    wanted = [boot for boot in boots_of(plan) if not boot.repetition and boot.variant not in same]
    known = [one for one in records if not one.boot.repetition]
    usable = [one for one in known if not one.outcome.infrastructure]
    built = {one.boot.variant for one in usable}
    # The order in which guests ended must not show.
    order = {boot: place for place, boot in enumerate(wanted)}
    usable.sort(key=lambda one: order.get(one.boot, len(order)))
    checks = [one.same for one in records if one.boot.repetition and one.same is not None]
    there = [name for name in plan.variants if same.get(name, name) in built]
    comparison = compare(
        [one.measured for one in usable],
        {key: plan.metrics.get(key, one.metrics) for key, one in workloads.items()},
        pairs_for(plan, there, same),
        placebo=control_pair(plan),
        gates=[(gate[0], gate[1]) for gate in plan.gates],
        seed=plan.seed,
    )
    return Compared(
        name=folder.path.name,
        boots=[one.measured for one in usable],
        maps={key: read_maps(folder, usable, key, plan.variants) for key in plan.workloads},
        plan=plan,
        comparison=comparison,
        descriptions={key: one.file.description for key, one in workloads.items()},
        wanted=len(wanted),
        same=checks[-1] if checks else None,
        not_built=facts.get("not_built", {}),
        differences=[Difference(*each) for each in facts.get("differing", [])],
        footprint=facts.get("footprint", {}),
        attribution=read_attribution(folder.path),
        same_bytes=same,
        shared=facts.get("shared", {}),
    )


def _same_bytes(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return which variants boot the same bytes as an earlier one, and which that is."""
    return dict(facts.get("same", {}))


def _read_facts(folder: CompareFolder) -> dict[str, Any]:
    try:
        return dict(json.loads((folder.path / KERNELS).read_text(encoding="utf-8")))
    except OSError:
        return {}


def write_reports(
    folder: CompareFolder, compared: Compared, figures: Path | None = None
) -> dict[str, str]:
    """Write results.json, mail.txt, report.md and report.html into the comparison's folder.

    The pictures go to `figures`, too, where that is given. Returns the reports by their form.
    """
    pictures = figures_of(compared)
    texts = {
        "json": _json(compared),
        "mail": mail_text(compared),
        "markdown": markdown_text(compared),
        "html": comparison_html(compared, pictures),
    }
    for form, name in _REPORTS.items():
        write_atomically(folder.path / name, texts[form])
    if figures is not None:
        write_figures(figures, pictures)
    return texts


def _json(compared: Compared) -> str:
    return json.dumps(as_json(compared), indent=1, allow_nan=False) + "\n"


def _print(compared: Compared, form: str, folder: CompareFolder, texts: Mapping[str, str]) -> None:
    if form in texts:
        sys.stdout.write(texts[form])
    else:
        sys.stdout.write("\n".join([*report_lines(compared), "", str(folder.path), ""]))


@dataclass
class _Pace:
    """Says after each boot how it ended and how long the rest will take.

    `total` boots are to come, in so many `blocks` of one workload each.
    """

    total: int
    blocks: int
    done: int = 0
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, record: BootRecord) -> None:
        with self._lock:
            self.done += 1
            self.seconds += record.seconds
            left = remaining(self.done, self.total, time.monotonic() - self.began)
            rest = f", {duration(left)} left" if left else ""
            _say(f"{self.done}/{self.total} {_boot_words(record.boot)}: {_ended(record)}{rest}")

    def close(self, workloads: int) -> None:
        """Say what it cost; a world is all that is booted in it, of every workload."""
        if self.done:
            took = time.monotonic() - self.began
            each = duration(took * workloads / max(1, self.blocks))
            boot = duration(self.seconds / self.done)
            _say(f"{self.done} boots in {duration(took)}: {boot} a boot, {each} a world")


def _boot_words(boot: Boot) -> str:
    again = ", again" if boot.repetition else ""
    return f"{boot.workload} {boot.block} {boot.variant}{again}"


def _ended(record: BootRecord) -> str:
    same = {None: "", True: ", the same bytes", False: ", OTHER BYTES"}[record.same]
    return f"{outcome_words(record.outcome, record.title)}{same}, {duration(record.seconds)}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
