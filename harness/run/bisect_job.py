# SPDX-License-Identifier: GPL-2.0-or-later
"""A bisection from its plan to the first bad commit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import InfrastructureError, UserError
from harness.kernel.gitsource import near_names
from harness.kernel.history import History, open_history
from harness.measure.bisection import (
    Decision,
    Side,
    Values,
    choose,
    decide,
    metric_of,
    steps_left,
    tell_apart,
)
from harness.measure.metric import Metric
from harness.measure.workload import load_workload
from harness.outcomes import ExitCode, Outcome
from harness.report.bisection import (
    Asked,
    Bisected,
    as_json,
    ends_words,
    report_lines,
    step_words,
)
from harness.report.words import counted
from harness.results.bisections import (
    BisectPlan,
    find_bisection,
    new_bisection,
    read_bisection,
    same_bisection,
)
from harness.results.files import write_atomically
from harness.results.measurements import CompareFolder
from harness.run.bisect_bench import Bench, local_bench
from harness.run.compare_local import Places

RESULTS = "results.json"
# What `git bisect run` takes from a command: this commit is good, it is bad, it can't be judged.
GIT_GOOD, GIT_BAD, GIT_SKIP = 0, 1, 125
_GIT = {Side.GOOD: GIT_GOOD, Side.BAD: GIT_BAD, Side.SKIP: GIT_SKIP}


@dataclass(frozen=True)
class BisectRequest:
    """What the command line asks for: a new `plan`, or what to go on with (`resume`).

    With `for_git` only the commit that git asks about is judged. `at_once` is how many guests run
    side by side, 0 for as many as this host has room for.
    """

    runs: Path
    places: Places
    plan: BisectPlan | None = None
    resume: str = ""
    for_git: bool = False
    at_once: int = 0
    as_json: bool = False


def execute_bisect(request: BisectRequest) -> int:
    """Find the first bad commit, report, and return the exit code.

    With `for_git` the code is one of git's: 0, 1, or 125.

    Raises:
        UserError: what is resumed is no longer the same, or GOOD has no such metric.
        BuildError: GOOD or BAD can't be built.
        InfrastructureError: the host could not, `--resume` goes on; or, with `for_git`, the
            self-check failed.
        KeyboardInterrupt: cancelled; `--resume` goes on.
    """
    folder, plan = _begin(request)
    workload = load_workload(plan.workload, request.places.testcases)
    _say(f"{folder.path}")
    bench = local_bench(plan, workload, folder, request.places, tell=_say, at_once=request.at_once)
    history = open_history(Path(plan.repository))
    bisecting = Bisecting(plan, bench, history, metric_of(workload, plan.metric), _say)
    try:
        if request.for_git:
            return _answer(bisecting, history.asked())
        found = bisecting.run(folder.path.name)
    except KeyboardInterrupt:
        if not request.for_git:
            _say(f"go on with: patchbed bisect --resume {folder.path.name}")
        raise
    return _report(found, folder, as_text=not request.as_json)


def _begin(request: BisectRequest) -> tuple[CompareFolder, BisectPlan]:
    if request.plan is None:
        folder = find_bisection(request.runs, request.resume)
        return folder, read_bisection(folder)
    # git calls us anew for each commit: what was measured before counts.
    known = same_bisection(request.runs, request.plan) if request.for_git else None
    if known is not None:
        return known, read_bisection(known)
    return new_bisection(request.runs, request.plan), request.plan


def _answer(bisecting: Bisecting, commit: str) -> int:
    """Judge one commit for git, which can be told an answer but no doubt about it.

    Raises:
        InfrastructureError: the self-check failed.
    """
    differ = bisecting.begin()
    bench = bisecting.bench
    if bench.same() is False:
        raise InfrastructureError(
            Outcome.INFRA_WORKER,
            "self-check: a world of GOOD, booted again, gave other bytes",
            hint=f"see {bench.folder.path / 'boots'}; another --seed begins anew",
        )
    asked = bisecting.ask(commit) if differ else None
    if asked is None:
        raise UserError(
            ends_words(bisecting.ends, bisecting.plan, bisecting.metric),
            hint="no commit can be judged by that: take another metric, or more --worlds",
        )
    _say(step_words(asked))
    return _GIT[asked.decision.side]


def _report(found: Bisected, folder: CompareFolder, *, as_text: bool) -> int:
    text = json.dumps(as_json(found), indent=1, allow_nan=False) + "\n"
    write_atomically(folder.path / RESULTS, text)
    if as_text:
        text = "\n".join([*report_lines(found), "", str(folder.path), ""])
    sys.stdout.write(text)
    trusted = found.same is not False
    return ExitCode.OK if found.first_bad and trusted else ExitCode.INFRASTRUCTURE


@dataclass
class Bisecting:
    """Asks about commits, one after the other, until one is known to be the first bad one.

    Nothing is remembered here but what `bench` measured: begun again, it asks the same and gets
    the same answers.
    """

    plan: BisectPlan
    bench: Bench
    history: History
    metric: Metric
    tell: Callable[[str], None]
    _ends: list[Values] = field(default_factory=list)

    @property
    def ends(self) -> tuple[Values, Values]:
        """What GOOD and BAD measured, by world."""
        good, bad = self._ends
        return good, bad

    def begin(self) -> bool:
        """Measure GOOD and BAD; return whether they differ.

        Raises:
            UserError: one of them can't be built, or has no such metric.
        """
        self._ends = [self._end(self.plan.good, again=True), self._end(self.plan.bad)]
        judgement = tell_apart(self.metric, *self.ends, self.plan.seed)[1]
        return judgement.verdict.differs

    def run(self, name: str) -> Bisected:
        """Return what was found; `name` is the folder's."""
        asked: list[Asked] = []
        differ = self.begin()
        self.tell(ends_words(self.ends, self.plan, self.metric))
        candidates: list[str] = []
        while differ:
            good = [self.plan.good, *(one.commit for one in asked if one.side is Side.GOOD)]
            bad = next((one.commit for one in reversed(asked) if one.side is Side.BAD), None)
            between = self.history.between(bad or self.plan.bad, good)
            candidates = [one.commit for one in between]
            skipped = [one.commit for one in asked if one.side is Side.SKIP]
            ranked = [(one.commit, one.distance) for one in between]
            commit = choose(ranked, bad or self.plan.bad, skipped)
            if commit is None:
                break
            steps = steps_left(len(candidates))
            self.tell(f"{counted(len(candidates), 'commit')} left, about {counted(steps, 'step')}")
            asked.append(self.ask(commit))
            self.tell(step_words(asked[-1]))
        return self._found(name, asked, candidates)

    def ask(self, commit: str) -> Asked:
        """Build and measure a commit, and return which side it is on."""
        subject = self.history.subject(commit)
        self.tell(f"{commit[:12]} {subject}")
        build = self.bench.measure(commit)
        if build.outcome is not Outcome.PASS:
            reason = f"{build.outcome}: {build.message}"
            return Asked(commit, subject, Decision(Side.SKIP, reason, 0))
        values, lost = self._values(commit)
        decision = decide(*self.ends, values, self.plan.seed)
        return Asked(commit, subject, decision, values, lost)

    def _end(self, commit: str, *, again: bool = False) -> Values:
        name = "GOOD" if commit == self.plan.good else "BAD"
        self.tell(f"{name} {commit[:12]} {self.history.subject(commit)}")
        build = self.bench.measure(commit, again=again)
        if build.outcome is not Outcome.PASS:
            raise UserError(
                f"{name} ({commit[:12]}) can't be judged: {build.outcome}: {build.message}",
                hint="take another commit, one that builds and boots",
            )
        values, lost = self._values(commit)
        if values:
            return values
        records = self.bench.records(commit)
        known = sorted({value for record in records for value in record.values})
        if not known:
            raise UserError(
                f"{name} ({commit[:12]}) can't be judged: none of its {lost} boots came through",
                hint=f"{records[0].title}" if records else "",
            )
        near = near_names(self.metric.source, known)
        raise UserError(
            f"{self.plan.workload} measures no {self.metric.source}",
            hint=f"near: {', '.join(near) or 'nothing'}",
        )

    def _values(self, commit: str) -> tuple[Values, int]:
        """Return the metric by world, and how many boots did not come through."""
        records = self.bench.records(commit)
        source = self.metric.source
        values = {
            record.boot.block: record.values[source]
            for record in records
            if record.outcome is Outcome.PASS and source in record.values
        }
        return values, sum(record.outcome is not Outcome.PASS for record in records)

    def _found(self, name: str, asked: list[Asked], candidates: list[str]) -> Bisected:
        last = next((one for one in reversed(asked) if one.side is Side.BAD), None)
        bad = last.commit if last else self.plan.bad
        first = bad if candidates == [bad] else ""
        known = {one.commit: one.values for one in asked}
        known |= {self.plan.good: self.ends[0], self.plan.bad: self.ends[1]}
        parents = self.history.parents(first) if first else []
        parent = next((commit for commit in parents if known.get(commit)), "")
        subjects = {one: self.history.subject(one) for one in [*candidates, parent] if one}
        return Bisected(
            name=name,
            plan=self.plan,
            metric=self.metric,
            good=self.ends[0],
            bad=self.ends[1],
            asked=asked,
            candidates=candidates,
            first_bad=first,
            parent=parent,
            values={commit: known[commit] for commit in (first, parent) if commit},
            subjects=subjects,
            same=self.bench.same(),
            shared=self.bench.shared(),
        )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
