# SPDX-License-Identifier: GPL-2.0-or-later
"""`scripts/verify`: the whole catalogue, every profile, every version, on every base."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness import paths
from harness.config import Settings, load_settings
from harness.errors import InfrastructureError, UserError
from harness.events import Event, Listener, Message
from harness.kernel.builder import plan_build
from harness.kernel.cache import Cache, digest_json
from harness.kernel.check import check_series
from harness.kernel.interrupt import terminable
from harness.kernel.profile import group_profiles
from harness.kernel.request import Where
from harness.kernel.series import list_series
from harness.kernel.variant import parse
from harness.outcomes import ExitCode, Outcome
from harness.report.progress import Progress
from harness.report.words import duration
from harness.results.event_log import read_events
from harness.results.model import build_results
from harness.results.run_folder import EVENTS
from harness.run.check_job import CheckRequest, boot_probe
from verification.child import run_child
from verification.dependence import digest_testcases, with_issues
from verification.digest import HARNESS, digest_folders
from verification.memory import Memory
from verification.step_result import (
    Done,
    Inputs,
    StepResult,
    VariantResult,
    joined,
    load_done,
    overall,
    patches_result,
    recorded,
    save_done,
    variant_results,
)
from verification.step_table import document, lines
from verification.steps import PROFILES, Step, choose, make_patch_steps, make_steps, slug

DOCUMENT = paths.PROJECT / "docs" / "verification.md"
# What was found on any machine: the document's rows.
RECORD = paths.PROJECT / "verification" / "found.json"
_SERIES = "gfp-unmapped"
_BASES = ("debian-6.1", "debian-6.12")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line of `scripts/verify` may say."""
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="a step, or those of a base, of a profile, or patches; may be repeated",
    )
    parser.add_argument("--series", default=_SERIES, help=f"whose versions ({_SERIES})")
    parser.add_argument("--stress", type=float, default=1.0, help="storms' work, times this")
    parser.add_argument("--list", action="store_true", help="say what there is to do, no more")
    parser.add_argument("--again", action="store_true", help="do also what is done")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name}")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


@dataclass(frozen=True)
class Setting:
    """What steps are done with: patchbed.toml at `file`, and what it says."""

    file: Path
    settings: Settings
    stress: float

    @property
    def series(self) -> Path:
        return self.file.resolve().parent / self.settings.paths.kernel_patches

    def runs(self, step: Step) -> Path:
        """Return where a step's runs go: to a folder of its own, as other calls may run others."""
        return self.file.resolve().parent / "runs" / slug(step.name)

    def tests(self) -> dict[str, str]:
        """Return digests of what each testcase depends on, by its id."""
        testcases = self.file.resolve().parent / self.settings.paths.testcases
        return digest_testcases(testcases, digest_json([digest_folders(HARNESS), self.stress]))

    @property
    def where(self) -> Where:
        return Where(series=self.series, bases=self.settings.bases)

    def inputs(self, step: Step, tests: dict[str, str], listen: Listener) -> Inputs:
        """Return digests of all that decides what a step finds; `tests` is what `tests` gave.

        No testcase looks at the kernels between two patches: those need no more than to boot.
        """
        kernels, issues = [], []
        for variant in step.variants:
            request, _ = plan_build(
                parse(variant), step.profiles[0], listen=listen, where=self.where
            )
            facts = {}
            if request.series and not step.patches:
                facts = request.series.facts.model_dump(mode="json", exclude={"known_issues"})
                issues += request.series.facts.known_issues
            kernels.append([request.inputs(), facts])
        if step.patches:
            return Inputs(kernels=digest_json([kernels, step.profiles, step.config]))
        return Inputs(
            kernels=digest_json([kernels, step.profiles]), tests=with_issues(tests, issues)
        )


def main(arguments: argparse.Namespace) -> int:
    """Do the steps that the command line names and that are not done; return the exit code.

    Raises:
        UserError: a step does not exist.
        PatchbedError: the host is in the way; the steps until then are remembered.
        KeyboardInterrupt: likewise.
    """
    file = paths.find_settings(Path.cwd())
    setting = Setting(file, load_settings(file), arguments.stress)
    every = _steps(setting, arguments.series)
    chosen = choose(every, arguments.only)
    memory = Memory(Cache(paths.cache()))
    with terminable(), Progress() as progress:
        done = memory.load()
        tests = setting.tests()
        if arguments.list:
            sys.stdout.writelines(_listed(chosen, done, setting, tests, progress, arguments.again))
            return 0
        inputs = {step.name: setting.inputs(step, tests, progress) for step in chosen}
        todo = [
            step
            for step in chosen
            if arguments.again or not _is_done(done.steps.get(step.name), inputs[step.name])
        ]
        cut = _work(todo, inputs, memory, setting, progress, again=arguments.again)
        if arguments.write:
            with memory.alone():
                _write(every, memory.load(), setting, tests, progress)
    return _report(chosen, {**memory.load().steps, **cut}, arguments)


def _steps(setting: Setting, series: str) -> list[Step]:
    versions = [one for one in list_series(setting.series) if one.name == series]
    if not versions:
        raise UserError(f"{setting.series} has no series {series!r}", hint="see: series list")
    catalogue = make_steps(_BASES, group_profiles(PROFILES), versions)
    return [*catalogue, *make_patch_steps(_BASES, versions)]


def _is_done(result: StepResult | None, inputs: Inputs) -> bool:
    return result is not None and result.settled and result.inputs == inputs


def _listed(
    steps: Sequence[Step],
    done: Done,
    setting: Setting,
    tests: dict[str, str],
    listen: Listener,
    again: bool,
) -> Iterator[str]:
    """Yield a line on each step: whether it is to be done, or why it can't be here."""
    for step in steps:
        try:
            inputs = setting.inputs(step, tests, listen)
        except UserError as error:
            yield f"{step.name}: not possible here: {error.message}\n"
            continue
        result = None if again else done.steps.get(step.name)
        if _is_done(result, inputs):
            yield f"{step.name}: done\n"
        else:
            part = some_tests(result, inputs)
            yield f"{step.name}: to do{_told(part, inputs)}\n"


def some_tests(result: StepResult | None, inputs: Inputs) -> list[str]:
    """Return the testcases that it takes to bring a result up to date, [] for the whole step."""
    if result is None or not result.settled or not result.folder:
        return []
    tests = result.inputs.stale(inputs)
    return [] if len(tests) == len(inputs.tests) else tests


def share(result: StepResult | None, inputs: Inputs) -> float:
    """Return which part of a step it takes to bring a result up to date, 1.0 for the whole."""
    return len(some_tests(result, inputs)) / max(len(inputs.tests), 1) or 1.0


def _told(part: Sequence[str], inputs: Inputs) -> str:
    return f" ({len(part)} of {len(inputs.tests)} testcases)" if part else ""


def _work(
    todo: Sequence[Step],
    inputs: dict[str, Inputs],
    memory: Memory,
    setting: Setting,
    listen: Listener,
    *,
    again: bool = False,
) -> dict[str, StepResult]:
    """Do steps, one after the other; each is remembered as soon as it is done.

    One that another call is at is waited for, and, unless `again`, not done a second time. One
    that the host cuts short leaves an earlier result as it is; these are returned, by name.
    """
    steps = memory.load().steps
    cut: dict[str, StepResult] = {}
    pace = Pace({name: result.seconds for name, result in steps.items()})
    parts = {
        step.name: share(None if again else steps.get(step.name), inputs[step.name])
        for step in todo
    }
    for number, step in enumerate(todo, start=1):
        left = pace.left({one.name: parts[one.name] for one in todo[number - 1 :]})
        about = f", about {duration(left)} left" if left else ""
        which = f"step {number} of {len(todo)}: {step.name}"
        _say(listen, f"{which}{about}")
        now = inputs[step.name]
        with memory.working_on(step.name, lambda holder: _say(listen, f"waiting for {holder}")):
            known = memory.load().steps.get(step.name)
            if not again and _is_done(known, now):
                _say(listen, f"{which}: done by another call")
                continue
            result = _do(step, now, setting, listen, None if again else known)
            if replaces(result, known):
                memory.keep(result)
            else:
                cut[step.name] = result
        pace.took[step.name] = result.seconds
        words = f"exit code {result.exit_code} after {duration(result.seconds)}"
        _say(listen, f"{which}: {words}")
    return cut


def replaces(result: StepResult, known: StepResult | None) -> bool:
    """Return whether a result is to be remembered instead of the one that is `known`.

    What came to no end says less than what did, even if that was of other inputs.
    """
    return result.settled or known is None or not known.settled


@dataclass(frozen=True)
class Pace:
    """How long steps took, in seconds, by name: this time or an earlier one."""

    took: dict[str, float]

    def left(self, parts: Mapping[str, float]) -> float | None:
        """Return how long steps will take, in seconds; None where no step was ever done.

        `parts` has by their names which part of each is to be done, 1.0 for the whole.
        """
        if not self.took:
            return None
        usual = sum(self.took.values()) / len(self.took)
        return sum(self.took.get(name, usual) * part for name, part in parts.items())


def _say(listen: Listener, text: str) -> None:
    listen(Message(level="info", text=text))


def _do(
    step: Step,
    inputs: Inputs,
    setting: Setting,
    listen: Listener,
    known: StepResult | None = None,
) -> StepResult:
    """Do one step, or of one that is `known` what it takes to bring that up to date."""
    start = time.monotonic()
    tests = some_tests(known, inputs)
    earlier = known if tests else None
    if step.patches:
        found = _walk(step, setting, listen)
    else:
        if tests:
            _say(listen, f"{step.name}{_told(tests, inputs)}")
        found = _run(step, setting, listen, tests, earlier.folders if earlier else [])
    seconds = time.monotonic() - start + (earlier.seconds if earlier else 0.0)
    whole, *later = found.folders or [""]
    return StepResult(
        step=step.name,
        inputs=inputs,
        folder=whole,
        exit_code=found.exit_code,
        seconds=round(seconds, 1),
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        variants=found.variants,
        later=later,
    )


@dataclass(frozen=True)
class _Found:
    """What a step found, in the runs at `folders` if it was any."""

    folders: list[str]
    exit_code: int
    variants: list[VariantResult]


def _walk(step: Step, setting: Setting, listen: Listener) -> _Found:
    """Build and boot a variant after each of its patches, up to one that breaks."""
    (variant,), profile = step.variants, step.profiles[0]
    probe = boot_probe(CheckRequest(variant, setting.where, profile=profile, boot=True))
    found = check_series(
        parse(variant),
        profile,
        listen=listen,
        probe=probe,
        where=setting.where,
        config=step.config,
    )
    result = patches_result(variant, found)
    return _Found([], ExitCode.FAILURE if result.unexpected else ExitCode.OK, [result])


def _run(
    step: Step, setting: Setting, listen: Listener, tests: Sequence[str], earlier: Sequence[str]
) -> _Found:
    """Run the catalogue, or those `tests` of it whose results replace those of `earlier` runs."""
    options = ["--config", str(setting.file), "--profile", ",".join(step.profiles)]
    for variant in step.variants:
        options += ["--variant", variant]
    if setting.stress != 1.0:
        options += ["--stress", f"{setting.stress:g}"]
    if tests:
        options += ["-k", " or ".join(tests)]

    def take(event: Event) -> bool:
        listen(event)
        return True

    log = paths.cache() / "verify" / f"{slug(step.name)}.log"
    ended = run_child(options, setting.runs(step), wants=take, log=log)
    if ended.folder is None:
        raise InfrastructureError(
            Outcome.INFRA_WORKER, f"`patchbed run` ended with {ended.code}", hint=f"see {log}"
        )
    folders = [*earlier, str(ended.folder)]
    events = joined([read_events(Path(folder) / EVENTS) for folder in folders])
    found = variant_results(build_results(events))
    return _Found(folders, code_of(ended.code, found) if earlier else ended.code, found)


def code_of(last: int, found: Sequence[VariantResult]) -> int:
    """Return the exit code of runs of which the last one ended with `last`."""
    if last not in (ExitCode.OK, ExitCode.FAILURE, ExitCode.NOTHING_RAN):
        return last
    return ExitCode.FAILURE if any(one.unexpected for one in found) else ExitCode.OK


def _write(
    every: Sequence[Step], done: Done, setting: Setting, tests: dict[str, str], listen: Listener
) -> None:
    """Write the document, and what it is made of."""
    record = recorded(load_done(RECORD), done)
    now = {}
    for step in (one for one in every if one.name in record.steps):
        # A step of another machine may be of a base that this one has not.
        with contextlib.suppress(UserError):
            now[step.name] = setting.inputs(step, tests, listen)
    save_done(RECORD, record)
    DOCUMENT.write_text(document(every, record.steps, now), encoding="utf-8")


def _report(
    chosen: Sequence[Step], steps: Mapping[str, StepResult], arguments: argparse.Namespace
) -> int:
    found = [steps[step.name] for step in chosen]
    if arguments.json:
        facts = [result.model_dump(mode="json") for result in found]
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(chosen, steps))
    return overall(found)
