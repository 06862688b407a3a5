# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds commits and boots them, for a bisection; what is known is not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.errors import InfrastructureError, UserError
from harness.guest.machine import load_machine
from harness.measure.workload import Workload
from harness.outcomes import Outcome
from harness.report.comparison import outcome_words
from harness.report.progress import Progress
from harness.report.words import duration
from harness.results.bisections import BisectPlan, Build, append_build, read_builds
from harness.results.measurements import (
    Boot,
    BootRecord,
    CompareFolder,
    StoredPlan,
    read_records,
    still_missing,
)
from harness.run.compare_local import LocalBoots, Places, Ready, prepare
from harness.run.per_patch import booted_bytes

# The kernel's release is in the names of an image's files, and its configuration is its own.
_OF_A_COMMIT = ("image",)


@dataclass
class Bench:
    """Measures commits of a bisection.

    `build` makes what can be booted of a variant, or says why there is none; `boot` boots what is
    missing, and keeps what came of each in the folder.
    """

    plan: BisectPlan
    workload: Workload
    folder: CompareFolder
    build: Callable[[str], Ready | Build]
    boot: Callable[[Mapping[str, Ready], list[Boot]], None]

    def measure(self, commit: str, *, again: bool = False) -> Build:
        """Have `commit` built and booted in every world; return what became of the build.

        With `again` its first world is booted once more, as the instrument's self-check.

        Raises:
            InfrastructureError: the host could not.
            UserError: what has to be the same for all commits has changed since the beginning.
        """
        known = read_builds(self.folder)
        found = known.get(commit)
        if found is not None and found.outcome is not Outcome.PASS:
            return found
        if found is not None and not self._missing(found, again=again):
            return found
        variant = self.plan.variant(commit)
        made = self.build(variant)
        if isinstance(made, Build):
            return self._not_built(made.model_copy(update={"commit": commit}))
        build = _described(commit, made, self.workload)
        self._check(build, known)
        if found is not None and found.booted != build.booted:
            raise UserError(
                f"{self.folder.path}: the kernel of {commit[:12]} is not what it was",
                hint="start a new bisection: boots of both would be mixed",
            )
        if found is None:
            append_build(self.folder, build)
        if build.outcome is not Outcome.PASS:
            return build
        missing = self._missing(build, again=again)
        if missing:
            self.boot({boot.variant: made for boot in missing}, missing)
        if self._missing(build, again=again):
            raise InfrastructureError(
                Outcome.INFRA_WORKER,
                f"{commit[:12]} could not be measured on this host",
                hint=f"see {self.folder.path / 'boots'}; --resume goes on",
            )
        return build

    def records(self, commit: str) -> list[BootRecord]:
        """Return the boots that tell of `commit`, by world, the self-check left out."""
        build = read_builds(self.folder).get(commit)
        if build is None or not build.booted:
            return []
        variant = self._booted_as(build)
        mine = [
            record
            for record in read_records(self.folder)
            if record.boot.variant == variant and not record.boot.repetition
        ]
        return sorted(mine, key=lambda record: record.boot.block)

    def same(self) -> bool | None:
        """Return whether the self-check gave the same bytes, None where there was none."""
        checks = [record.same for record in read_records(self.folder) if record.boot.repetition]
        return next((same for same in reversed(checks) if same is not None), None)

    def shared(self) -> dict[str, str]:
        """Return the facts, by name, that all commits share, as far as any was built."""
        builds = read_builds(self.folder).values()
        return next((build.facts for build in builds if build.facts), {})

    def _booted_as(self, build: Build) -> str:
        """Return the variant whose boots tell of a build: the first with the same bytes."""
        for other in read_builds(self.folder).values():
            if other.booted == build.booted:
                return self.plan.variant(other.commit)
        return self.plan.variant(build.commit)

    def _missing(self, build: Build, *, again: bool) -> list[Boot]:
        variant = self._booted_as(build)
        key = self.workload.key
        wanted = [Boot(variant, key, block) for block in self.plan.blocks]
        if again and load_machine(self.plan.machine).deterministic:
            wanted.append(Boot(variant, key, self.plan.blocks[0], repetition=True))
        return still_missing(wanted, read_records(self.folder))

    def _not_built(self, build: Build) -> Build:
        if build.outcome.infrastructure:
            raise InfrastructureError(
                build.outcome, build.message, hint="see to the host; --resume goes on"
            )
        append_build(self.folder, build)
        return build

    def _check(self, build: Build, known: Mapping[str, Build]) -> None:
        for other in known.values():
            names = [name for name, text in build.facts.items() if other.facts.get(name) != text]
            if other.facts and names:
                raise UserError(
                    f"{self.folder.path}: since it was begun, this has changed: {', '.join(names)}",
                    hint="start a new bisection: boots of both would be mixed",
                )


def _described(commit: str, ready: Ready, workload: Workload) -> Build:
    lacking = workload.lacks(ready.circumstances.config)
    if lacking:
        names = ", ".join(f"CONFIG_{symbol}" for symbol in lacking)
        message = f"workload {workload.name} needs {names}, which is not set"
        return Build(commit=commit, outcome=Outcome.SKIP, message=message, key=ready.kernel.key)
    facts = ready.circumstances.facts
    return Build(
        commit=commit,
        outcome=Outcome.PASS,
        key=ready.kernel.key,
        booted=booted_bytes(ready.kernel, ready.image),
        facts={name: text for name, text in facts.items() if name not in _OF_A_COMMIT},
    )


def local_bench(
    plan: BisectPlan,
    workload: Workload,
    folder: CompareFolder,
    places: Places,
    *,
    tell: Callable[[str], None],
    at_once: int = 0,
) -> Bench:
    """Return the bench that builds and boots on this machine, `at_once` guests at a time."""
    stored = StoredPlan(
        command=plan.command,
        variants=[plan.variant(plan.good)],
        control=[],
        profile=plan.profile,
        machine=plan.machine,
        accelerator=plan.accelerator,
        workloads=[workload.key],
        blocks=plan.blocks,
        seed=plan.seed,
        gates=[],
        version=plan.version,
    )

    def build(variant: str) -> Ready | Build:
        with Progress() as progress:
            [made] = prepare(stored, [variant], [workload], places, progress)
        if isinstance(made, Ready):
            return made
        return Build(commit="", outcome=made.outcome, message=made.message)

    def told(record: BootRecord) -> None:
        again = " again" if record.boot.repetition else ""
        same = {None: "", True: ", the same bytes", False: ", OTHER BYTES"}[record.same]
        ended = f"{outcome_words(record.outcome, record.title)}{same}, {duration(record.seconds)}"
        tell(f"  {plan.workload} {record.boot.block}{again}: {ended}")

    def boot(ready: Mapping[str, Ready], missing: list[Boot]) -> None:
        boots = LocalBoots(
            stored, ready, {workload.key: workload}, folder, places, told, at_once=at_once
        )
        with folder:
            boots.execute(missing)

    return Bench(plan, workload, folder, build, boot)
