# SPDX-License-Identifier: GPL-2.0-or-later
"""What a step came to, and the file that remembers it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.events import CellStarted, Event, RunStarted, TestsCollected
from harness.files import replace_text
from harness.kernel.check import Step as PatchStep
from harness.outcomes import ExitCode, Outcome
from harness.results.run_folder import EVENTS
from harness.results.schema import Results
from verification.dependence import stale


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VariantResult(_Model):
    """How many testcases of a variant had which outcome, and which were not as expected.

    Where it could not be built, `unexpected` says so and there are no outcomes.
    """

    variant: str
    outcomes: dict[Outcome, int] = {}
    unexpected: list[str] = []


class Inputs(_Model):
    """Digests of what a step is done with.

    `kernels` is of the sources, the patches and the configurations; `tests` are of what each
    testcase depends on, by its id, with its known issues, the harness and the storms' length. A
    walk along patches has none of these.
    """

    kernels: str
    tests: dict[str, str] = {}

    def stale(self, now: Inputs) -> list[str]:
        """Return the testcases to be run again for `now`.

        It is all of them where the kernels differ, or a testcase has gone that was counted.
        """
        if self.kernels != now.kernels or not self.tests.keys() <= now.tests.keys():
            return list(now.tests)
        return stale(self.tests, now.tests)


class StepResult(_Model):
    """What a step came to, done with `inputs`, in the run at `folder`.

    `later` are the folders of runs of some of its testcases since, which count in the place of the
    same ones before. A walk along patches is no run: it has no folder, and its outcomes count
    patches.
    """

    step: str
    inputs: Inputs
    folder: str
    exit_code: int
    seconds: float
    day: str = ""
    variants: list[VariantResult] = []
    later: list[str] = []

    @property
    def folders(self) -> list[str]:
        """All runs that it is made of, in their order."""
        return [self.folder, *self.later] if self.folder else []

    @property
    def settled(self) -> bool:
        """Whether it came to its end, and its runs, if any, are still there to be looked at."""
        whole = self.exit_code in (ExitCode.OK, ExitCode.FAILURE, ExitCode.NOTHING_RAN)
        return whole and all((Path(folder) / EVENTS).is_file() for folder in self.folders)


class Done(_Model):
    """All that is remembered, by the steps' names."""

    steps: dict[str, StepResult] = {}


def load_done(path: Path) -> Done:
    """Return what is remembered; nothing where the file is not there or of another version."""
    try:
        return Done.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return Done()


def save_done(path: Path, done: Done) -> None:
    """Write what is to be remembered: whole or not at all."""
    replace_text(path, done.model_dump_json(indent=1) + "\n")


def recorded(record: Done, done: Done) -> Done:
    """Return `record` with what was settled here in its place, and no places of this machine."""
    here = {
        name: result.model_copy(
            update={
                "folder": Path(result.folder).name,
                "later": [Path(folder).name for folder in result.later],
            }
        )
        for name, result in done.steps.items()
        if result.settled
    }
    return Done(steps={**record.steps, **here})


def changed(result: StepResult, inputs: Inputs) -> list[str]:
    """Return what of a step's inputs is no longer what the result was found with, in words."""
    was = result.inputs
    words = ["kernels"] if was.kernels != inputs.kernels else []
    if was.tests != inputs.tests:
        count, total = len(stale(was.tests, inputs.tests)), len(inputs.tests)
        words.append("tests" if count in (0, total) else f"{count} of {total} tests")
    return words


def joined(runs: Sequence[Iterable[Event]]) -> list[Event]:
    """Return the events of a run with those of later ones, of some of its testcases, added.

    `build_results` makes one result of them, in which the last outcome of a testcase counts.
    """
    whole, *parts = runs
    begins = (RunStarted, CellStarted, TestsCollected)
    return [*whole, *(event for part in parts for event in part if not isinstance(event, begins))]


def variant_results(results: Results) -> list[VariantResult]:
    """Return what a run found, by variant, in the order of the run."""
    found = []
    for variant in results.run.variants:
        cells = [cell for cell in results.cells if cell.variant == variant]
        tests = [test for cell in cells for test in cell.tests]
        unexpected = [
            f"{build.outcome}: {build.message}"
            for build in results.builds
            if build.variant == variant and not build.outcome.expected
        ]
        unexpected += [
            f"{test.test}: {test.outcome}: {test.reason}"
            for test in tests
            if not test.outcome.expected
        ]
        outcomes = dict(Counter(test.outcome for test in tests))
        found.append(VariantResult(variant=variant, outcomes=outcomes, unexpected=unexpected))
    return found


def patches_result(variant: str, steps: Sequence[PatchStep]) -> VariantResult:
    """Return what a walk along the patches of `variant` found: patches by outcome."""
    return VariantResult(
        variant=variant,
        outcomes=dict(Counter(step.outcome for step in steps)),
        unexpected=[
            f"{step.patch}: {step.outcome}: {step.message}"
            for step in steps
            if not step.outcome.expected
        ],
    )


def overall(results: Iterable[StepResult]) -> int:
    """Return the exit code of a verification from its steps'."""
    codes = {result.exit_code for result in results}
    for code in (ExitCode.FAILURE, ExitCode.USAGE, ExitCode.INFRASTRUCTURE, ExitCode.NOTHING_RAN):
        if code in codes:
            return code
    return ExitCode.OK if codes <= {ExitCode.OK} else ExitCode.INFRASTRUCTURE
