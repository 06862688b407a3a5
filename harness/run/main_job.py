# SPDX-License-Identifier: GPL-2.0-or-later
"""A run from its plan to its reports."""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness import __version__
from harness.errors import PatchbedError
from harness.events import Bus, Event, Message, RunFinished, RunStarted
from harness.outcomes import ExitCode
from harness.report.progress import Progress
from harness.report.tables import print_tables
from harness.report.write import write_reports
from harness.results.model import build_results
from harness.results.run_folder import RunFolder
from harness.run.local import CheckedPlan, LocalRun, check_plan
from harness.run.plan import Plan


@dataclass(frozen=True)
class RunRequest:
    """What the command line asks for: the plan, where run folders go, how to show it."""

    plan: Plan
    runs: Path
    jobs: int = 0
    as_json: bool = False


def execute_run(request: RunRequest) -> int:
    """Carry a plan out, write its reports and show them; return the exit code.

    Raises:
        UserError: the plan names something that does not exist; nothing is written.
        PatchbedError: the run can't go on; what was found until then is in the run folder.
        KeyboardInterrupt: cancelled; what was found until then is in the run folder.
    """
    checked = check_plan(request.plan)
    events: list[Event] = []
    start = time.monotonic()
    with RunFolder(request.runs) as folder, Progress() as progress:
        bus = Bus(folder.append, events.append, progress)
        bus(_started(request.plan, checked, folder.id))
        try:
            LocalRun(request.plan, checked, folder.path, bus, jobs=request.jobs).execute()
        except (KeyboardInterrupt, PatchbedError) as error:
            code = getattr(error, "exit_code", ExitCode.INFRASTRUCTURE)
            bus(RunFinished(exit_code=code, seconds=time.monotonic() - start))
            write_reports(folder.path, build_results(events))
            raise
        code = build_results(events).exit_code
        if code == ExitCode.NOTHING_RAN:
            bus(Message(level="warning", text=_why_nothing_ran(request.plan)))
        bus(RunFinished(exit_code=code, seconds=time.monotonic() - start))
    results = build_results(events)
    write_reports(folder.path, results)
    if request.as_json:
        sys.stdout.write((folder.path / "results.json").read_text(encoding="utf-8"))
    else:
        print_tables(results, folder.path)
    return code


def _why_nothing_ran(plan: Plan) -> str:
    if plan.selection:
        return f"-k {plan.selection!r} selects no testcase of {plan.testcases} that can run here"
    return f"no testcase of {plan.testcases} can run here"


def _started(plan: Plan, checked: CheckedPlan, run: str) -> RunStarted:
    return RunStarted(
        run=run,
        version=__version__,
        command=["patchbed", *sys.argv[1:]],
        variants=[str(variant) for variant in plan.variants],
        reference=str(plan.reference),
        profiles=list(plan.profiles),
        kernels=[(str(target.variant), target.profile) for target in checked.targets],
        machine=plan.machine,
        selection=plan.selection,
        host={"machine": platform.machine(), "kernel": platform.release()},
    )
