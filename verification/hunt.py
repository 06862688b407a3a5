# SPDX-License-Identifier: GPL-2.0-or-later
"""Hunting one mutant: built, run in its profiles, and what failed held against the series."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from harness.errors import BuildError, InfrastructureError
from harness.events import BuildFinished, Event, Listener, TestFinished
from harness.kernel.series import Series
from harness.outcomes import Outcome
from verification.child import Wants, run_child
from verification.laboratory import Laboratory
from verification.mutant import Mutant
from verification.verdict import Fate, Kill, State, Verdict, confirmed, save_state, tells


@dataclass
class _Found:
    """What the runs of a mutant came to."""

    kills: list[Kill] = field(default_factory=list)
    ran: int = 0
    trouble: str = ""
    building: float = 0.0


class Hunter:
    """Hunts mutants of one series, one at a time.

    Args:
        laboratory: where; opened before.
        series: what the mutants are on top of.
        state: what is remembered; added to, and written whenever something is known.
        listen: gets the events of builds and runs.
        everything: run the whole catalogue, whatever was found.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        series: Series,
        state: State,
        listen: Listener,
        *,
        everything: bool = False,
    ) -> None:
        self._laboratory = laboratory
        self._series = series
        self._state = state
        self._listen = listen
        self._everything = everything
        self._control = laboratory.inputs(series, None)
        self._tests = laboratory.tests()
        laboratory.write(series, None)

    def build(self, mutant: Mutant, profile: str) -> None:
        """Build a mutant, as a fork of the series' own tree; raises what `obtain` raises."""
        self._laboratory.write(self._series, mutant)
        self._laboratory.build(mutant, profile, self._listen)

    def hunt(self, mutant: Mutant) -> Verdict:
        """Return what becomes of a mutant; it is in the state afterwards."""
        inputs = self._laboratory.inputs(self._series, mutant)
        start = time.monotonic()
        found, named = _Found(), True
        try:
            if not self._everything:
                self._run(mutant, mutant.selection, found)
            if not found.kills:
                named = False
                rest = "" if self._everything else f"not ({mutant.selection})"
                self._run(mutant, rest, found)
        except BuildError as error:
            why = "; ".join([error.message, *error.lines[:2]])
            broken = Verdict(
                mutant=mutant.name, inputs=inputs, tests=self._tests, fate=Fate.BROKEN, why=why
            )
            return self._note(broken)
        except InfrastructureError as error:
            found.trouble = error.message
        killers = {selection_of(kill.test) for kill in found.kills}
        verdict = Verdict(
            mutant=mutant.name,
            inputs=inputs,
            tests={
                test: digest
                for test, digest in self._tests.items()
                if not killers or test in killers
            },
            fate=fate_of(len(found.kills), found.ran, found.trouble),
            kills=found.kills,
            named=named,
            build_seconds=round(found.building, 1),
            run_seconds=round(time.monotonic() - start - found.building, 1),
            why=found.trouble,
        )
        if verdict.fate is Fate.KILLED:
            for profile in mutant.profiles:
                self._laboratory.drop(mutant, profile, self._listen)
        return self._note(verdict)

    def _note(self, verdict: Verdict) -> Verdict:
        self._state.verdicts[verdict.mutant] = verdict
        save_state(self._laboratory.state, self._state)
        return verdict

    def _run(self, mutant: Mutant, selection: str, found: _Found) -> None:
        """Build it and run the selected testcases, profile by profile, until one kills."""
        for profile in mutant.profiles:
            if found.kills and not self._everything:
                return
            began = time.monotonic()
            self.build(mutant, profile)
            found.building += time.monotonic() - began
            self._child(mutant, profile, selection, lambda event: self._judge(event, found))

    def _judge(self, event: Event, found: _Found) -> bool:
        """Take what a mutant's run tells; say whether it shall go on."""
        self._listen(event)
        if isinstance(event, BuildFinished) and not event.outcome.expected:
            found.trouble = event.message
        if not isinstance(event, TestFinished):
            return True
        found.ran += event.outcome is not Outcome.SKIP
        if event.outcome.infrastructure:
            found.trouble = f"{event.test}: {event.reason}"
        elif tells(event.outcome):
            profile = event.cell.rsplit("/", 2)[-2]
            kill = Kill(
                test=event.test, profile=profile, outcome=event.outcome, reason=event.reason
            )
            found.kills += self._confirm(kill)
        return self._everything or not found.kills

    def _confirm(self, kill: Kill) -> list[Kill]:
        """Return `kill` if the series itself passes that testcase, which is tried if need be."""
        control = self._state.control.setdefault(f"{self._control}/{kill.profile}", {})
        digest = self._tests.get(selection_of(kill.test), "")

        def take(event: Event) -> bool:
            self._listen(event)
            if isinstance(event, TestFinished) and not event.outcome.infrastructure:
                control[f"{digest}/{event.test}"] = event.outcome
            return True

        if f"{digest}/{kill.test}" not in control:
            self._laboratory.build_series(kill.profile, self._listen)
            self._child(None, kill.profile, selection_of(kill.test), take)
            save_state(self._laboratory.state, self._state)
        return confirmed(kill, control.get(f"{digest}/{kill.test}"))

    def _child(self, mutant: Mutant | None, profile: str, selection: str, wants: Wants) -> None:
        """Run testcases with a mutant, or with the series alone."""
        runs = self._laboratory.runs / (mutant.name if mutant else "series")
        options = ["--config", str(self._laboratory.settings), "--profile", profile]
        options += ["--variant", str(self._laboratory.variant(mutant))]
        options += ["-k", selection] if selection else []
        log = runs / "run.log"
        ended = run_child(options, runs, wants=wants, log=log)
        if ended.folder is None:
            raise InfrastructureError(
                Outcome.INFRA_WORKER, f"`patchbed run` ended with {ended.code}", hint=f"see {log}"
            )


def fate_of(kills: int, ran: int, trouble: str) -> Fate:
    """Return a mutant's fate from its number of kills, of testcases that ran, and the trouble."""
    if kills:
        return Fate.KILLED
    return Fate.UNKNOWN if trouble or not ran else Fate.SURVIVED


def selection_of(test: str) -> str:
    """Return a `-k` expression for a testcase by its id; its parameters are left out."""
    return test.partition("[")[0]
