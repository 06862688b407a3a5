# SPDX-License-Identifier: GPL-2.0-or-later
"""From the events of a run to its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from harness.errors import ParseError
from harness.events import (
    BootFinished,
    BootReady,
    BootStarted,
    BuildFinished,
    BuildStarted,
    CellFinished,
    CellStarted,
    CountersPulled,
    Event,
    Message,
    RunFinished,
    RunStarted,
    TestCheck,
    TestFinished,
    TestsCollected,
    TestStarted,
)
from harness.outcomes import Outcome, exit_code, worst
from harness.results.counters import by_boot, change_between, change_of_boots
from harness.results.schema import (
    VERDICTS,
    BootResult,
    BuildResult,
    CellResult,
    CheckResult,
    CounterChange,
    KnownIssue,
    MatrixRow,
    Note,
    Results,
    RunInfo,
    TestResult,
)

_RUNNING = "was running when the run ended"
_NOT_RUN = "not run: the run ended before"


@dataclass
class _Boot:
    """What the events say of one boot."""

    started: BootStarted
    ready: BootReady | None = None
    finished: BootFinished | None = None


@dataclass
class _Cell:
    """What the events say of one cell."""

    started: CellStarted
    collected: list[str] = field(default_factory=list)
    boots: dict[int, _Boot] = field(default_factory=dict)
    running: dict[str, TestStarted] = field(default_factory=dict)
    finished_tests: dict[str, TestFinished] = field(default_factory=dict)
    checks: dict[str, list[TestCheck]] = field(default_factory=dict)
    pulls: list[CountersPulled] = field(default_factory=list)
    pulls_of: dict[str, list[CountersPulled]] = field(default_factory=dict)
    finished: CellFinished | None = None
    last: datetime | None = None


@dataclass
class _Seen:
    """Takes the events of a run, one after the other."""

    run: RunStarted | None = None
    run_finished: RunFinished | None = None
    builds: dict[tuple[str, str], BuildStarted | BuildFinished] = field(default_factory=dict)
    cells: dict[str, _Cell] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    last: datetime | None = None

    def take(self, event: Event) -> None:
        self.last = event.time
        match event:
            case RunStarted():
                self.run = event
            case RunFinished():
                self.run_finished = event
            case BuildStarted() | BuildFinished():
                self.builds[event.variant, event.profile] = event
            case Message(level="warning" | "error" as level, text=text):
                self.notes.append(Note(level=level, text=text))
            case CellStarted():
                self.cells[event.cell] = _Cell(event, last=event.time)
            case _ if hasattr(event, "cell"):
                cell = self.cells.setdefault(event.cell, _Cell(_started(event.cell, event.time)))
                cell.last = event.time
                _take_in_cell(cell, event)
            case _:
                pass


def _started(cell: str, time: datetime) -> CellStarted:
    # A cell whose process never got as far as to say so; a variant may hold slashes itself.
    variant, profile, machine = (["", "", *cell.rsplit("/", 2)])[-3:]
    return CellStarted(time=time, cell=cell, variant=variant, profile=profile, machine=machine)


def _take_in_cell(cell: _Cell, event: Event) -> None:
    match event:
        case BootStarted():
            cell.boots[event.boot] = _Boot(event)
        case BootReady() if event.boot in cell.boots:
            cell.boots[event.boot].ready = event
        case BootFinished() if event.boot in cell.boots:
            cell.boots[event.boot].finished = event
        case TestsCollected():
            cell.collected = list(event.tests)
        case TestStarted():
            cell.running[event.test] = event
            cell.checks[event.test] = []
        case TestCheck():
            cell.checks.setdefault(event.test, []).append(event)
        case TestFinished():
            cell.running.pop(event.test, None)
            # The last word counts, in the order in which the testcases ended.
            cell.finished_tests.pop(event.test, None)
            cell.finished_tests[event.test] = event
        case CountersPulled():
            cell.pulls.append(event)
            cell.pulls_of.setdefault(event.test, []).append(event)
        case CellFinished():
            cell.finished = event
        case _:
            pass


def build_results(events: Iterable[Event]) -> Results:
    """Return what the events of one run amount to, whether or not the run came to its end.

    What was running or still to come when the events end is `infra.cancelled`.

    Raises:
        ParseError: there is no run in the events.
    """
    seen = _Seen()
    for event in events:
        seen.take(event)
    if seen.run is None or seen.last is None:
        raise ParseError("events.jsonl", 0, "no run-started event", hint="was the run cut short?")
    builds = _builds(seen, seen.run)
    cells = [_cell_result(cell) for cell in seen.cells.values()]
    cells += _cells_not_begun(seen.run, builds, cells)
    order = {(build.variant, build.profile): index for index, build in enumerate(builds)}
    cells.sort(key=lambda cell: order.get((cell.variant, cell.profile), len(order)))
    code = _exit_code(builds, cells)
    if seen.run_finished is not None:
        code = seen.run_finished.exit_code
    tests = [test for cell in cells for test in cell.tests]
    return Results(
        run=_run_info(seen, seen.run, seen.last),
        exit_code=code,
        verdict=VERDICTS.get(code, f"exit code {code}"),
        outcomes=dict(Counter(test.outcome for test in tests)),
        builds=builds,
        cells=cells,
        matrix=_matrix(cells),
        common_tests=_common_tests(cells),
        known_issues=[issue for cell in cells for issue in _known_issues(cell)],
        notes=seen.notes,
    )


def _run_info(seen: _Seen, run: RunStarted, last: datetime) -> RunInfo:
    seconds = (last - run.time).total_seconds()
    return RunInfo(
        id=run.run,
        version=run.version,
        command=run.command,
        variants=run.variants,
        reference=run.reference,
        profiles=run.profiles,
        machine=run.machine,
        selection=run.selection,
        host=run.host,
        started=run.time,
        finished=last,
        seconds=seen.run_finished.seconds if seen.run_finished else seconds,
        complete=seen.run_finished is not None,
    )


def _builds(seen: _Seen, run: RunStarted) -> list[BuildResult]:
    wanted = list(run.kernels) or [
        (variant, profile) for profile in run.profiles for variant in run.variants
    ]
    return [
        _build_result(*key, seen.builds.get(key)) for key in dict.fromkeys([*wanted, *seen.builds])
    ]


def _build_result(
    variant: str, profile: str, event: BuildStarted | BuildFinished | None
) -> BuildResult:
    if isinstance(event, BuildFinished):
        return BuildResult(**event.model_dump(exclude={"type", "time"}))
    return BuildResult(
        variant=variant,
        profile=profile,
        outcome=Outcome.INFRA_CANCELLED,
        message=_NOT_RUN if event is None else _RUNNING,
    )


def _cells_not_begun(
    run: RunStarted, builds: Sequence[BuildResult], cells: Sequence[CellResult]
) -> list[CellResult]:
    begun = {(cell.variant, cell.profile) for cell in cells}
    return [
        CellResult(
            cell=f"{build.variant}/{build.profile}/{run.machine}",
            variant=build.variant,
            profile=build.profile,
            machine=run.machine,
            outcome=Outcome.INFRA_CANCELLED,
            seconds=0.0,
            complete=False,
            boots=[],
            tests=[],
            counters=CounterChange(),
            leaves_before={},
            leaves_after={},
        )
        for build in builds
        if build.outcome is Outcome.PASS and (build.variant, build.profile) not in begun
    ]


def _cell_result(cell: _Cell) -> CellResult:
    tests = _test_results(cell)
    boots = _boot_results(cell)
    complete = cell.finished is not None
    outcomes = [test.outcome for test in tests]
    outcomes += [boot.outcome for boot in boots if not boot.explained]
    outcomes += [] if complete else [Outcome.INFRA_CANCELLED]
    started, last = cell.started.time, cell.last or cell.started.time
    busiest = max(by_boot(cell.pulls), key=len, default=[])
    return CellResult(
        cell=cell.started.cell,
        variant=cell.started.variant,
        profile=cell.started.profile,
        machine=cell.started.machine,
        outcome=worst(outcomes) or Outcome.SKIP,
        seconds=cell.finished.seconds if cell.finished else (last - started).total_seconds(),
        complete=complete,
        boots=boots,
        tests=tests,
        counters=change_of_boots(cell.pulls),
        leaves_before=busiest[0].leaves if busiest else {},
        leaves_after=busiest[-1].leaves if busiest else {},
    )


def _test_results(cell: _Cell) -> list[TestResult]:
    names = [*cell.collected, *cell.finished_tests, *cell.running]
    return [_test_result(cell, test) for test in dict.fromkeys(names)]


def _test_result(cell: _Cell, test: str) -> TestResult:
    checks = cell.checks.get(test, [])
    notable = [
        CheckResult(check=check.check, outcome=check.outcome, reason=check.reason)
        for check in checks
        if check.outcome is not Outcome.PASS
    ]
    event = cell.finished_tests.get(test)
    if event is None:
        running = cell.running.get(test)
        return TestResult(
            test=test,
            boot=running.boot if running else 0,
            outcome=Outcome.INFRA_CANCELLED,
            reason=_RUNNING if running else _NOT_RUN,
            check_count=len(checks),
            checks=notable,
        )
    return TestResult(
        test=test,
        boot=event.boot,
        outcome=event.outcome,
        reason=event.reason,
        detail=event.detail,
        seconds=event.seconds,
        check_count=max(event.checks, len(checks)),
        checks=notable,
        counters=_change_of_test(cell.pulls_of.get(test, [])),
    )


def _change_of_test(pulls: Sequence[CountersPulled]) -> CounterChange | None:
    before = [pull for pull in pulls if pull.when == "before"]
    after = [pull for pull in pulls if pull.when == "after"]
    if not before or not after or before[-1].boot != after[-1].boot:
        return None
    return change_between(before[-1], after[-1])


def _boot_results(cell: _Cell) -> list[BootResult]:
    return [_boot_result(cell, number, boot) for number, boot in sorted(cell.boots.items())]


def _boot_result(cell: _Cell, number: int, boot: _Boot) -> BootResult:
    end = boot.finished
    outcome = end.outcome if end else Outcome.INFRA_CANCELLED
    during = _test_at_death(cell, number) if outcome.kernel_died else None
    known = during is not None and during.outcome is Outcome.XFAIL
    got_over = outcome.infrastructure and any(
        later.ready is not None for other, later in cell.boots.items() if other > number
    )
    return BootResult(
        boot=number,
        folder=boot.started.folder,
        machine=boot.started.machine,
        kernel_args=boot.started.kernel_args,
        restored=boot.started.restored,
        outcome=outcome,
        title=end.title if end else _RUNNING,
        lines=end.lines if end else [],
        seconds_to_ready=boot.ready.seconds if boot.ready else None,
        accelerator=boot.started.accelerator,
        accelerator_reason=boot.started.accelerator_reason,
        argv=boot.started.argv,
        during=during.test if during else "",
        declared=end is not None and end.declared,
        explained=known or got_over or (end is not None and end.declared),
    )


def _test_at_death(cell: _Cell, boot: int) -> TestFinished | None:
    """Return the last testcase that used boot `boot`; a skipped one never did."""
    used = [
        test
        for test in cell.finished_tests.values()
        if test.boot == boot and test.outcome is not Outcome.SKIP
    ]
    return used[-1] if used else None


def _exit_code(builds: Sequence[BuildResult], cells: Sequence[CellResult]) -> int:
    """Return the exit code; a build or a boot that went well is not yet something that ran."""
    outcomes = [build.outcome for build in builds if not build.outcome.expected]
    for cell in cells:
        outcomes += [test.outcome for test in cell.tests]
        outcomes += [
            boot.outcome for boot in cell.boots if not boot.outcome.expected and not boot.explained
        ]
        outcomes += [] if cell.complete else [Outcome.INFRA_CANCELLED]
    return exit_code(outcomes)


def _matrix(cells: Sequence[CellResult]) -> list[MatrixRow]:
    rows: dict[str, dict[str, Outcome]] = {}
    for cell in cells:
        for test in cell.tests:
            rows.setdefault(test.test, {})[cell.cell] = test.outcome
    return [
        MatrixRow(test=test, worst=worst(by_cell.values()) or Outcome.SKIP, outcomes=by_cell)
        for test, by_cell in rows.items()
    ]


def _common_tests(cells: Sequence[CellResult]) -> list[str]:
    if not cells:
        return []
    counted = [{test.test for test in cell.tests if test.counters is not None} for cell in cells]
    everywhere = set.intersection(*counted)
    return [test.test for test in cells[0].tests if test.test in everywhere]


def _known_issues(cell: CellResult) -> list[KnownIssue]:
    found: list[KnownIssue] = []
    known = (Outcome.XFAIL, Outcome.XPASS)
    for test in cell.tests:
        checks = [check for check in test.checks if check.outcome in known]
        if test.outcome is Outcome.XPASS or (test.outcome in known and not checks):
            checks += [CheckResult(check="", outcome=test.outcome, reason=test.reason)]
        found += [
            KnownIssue(
                cell=cell.cell,
                test=test.test,
                check=check.check,
                outcome=check.outcome,
                reason=check.reason,
            )
            for check in checks
        ]
    return found
