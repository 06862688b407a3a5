# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of a mutant, and the file that remembers it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.files import replace_text
from harness.outcomes import ExitCode, Outcome


class Fate(StrEnum):
    """What became of a mutant. `broken`: it does not apply or compile; `unknown`: see why."""

    KILLED = "killed"
    SURVIVED = "survived"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kill(_Model):
    """A testcase that failed with a mutant, and does not without it."""

    test: str
    profile: str
    outcome: Outcome
    reason: str = ""


class Verdict(_Model):
    """What became of one mutant; `build_seconds` and `run_seconds` are all of its profiles'.

    `inputs` is a digest of the kernel that it was found with, and `tests` are those of the
    testcases that it rests on: of those that killed it, or of all. `named` tells whether those
    testcases alone ran that its header names, `why` more of a broken or unknown one.
    """

    mutant: str
    inputs: str
    tests: dict[str, str] = {}
    fate: Fate
    kills: list[Kill] = []
    named: bool = True
    build_seconds: float = 0.0
    run_seconds: float = 0.0
    why: str = ""

    @property
    def settled(self) -> bool:
        """Whether there is nothing to be tried once more."""
        return self.fate in (Fate.KILLED, Fate.SURVIVED)

    def stands(self, inputs: str, tests: Mapping[str, str]) -> bool:
        """Whether it is still what would be found with `inputs` and the testcases `tests`."""
        if self.fate is Fate.KILLED:
            tests = {test: digest for test, digest in tests.items() if test in self.tests}
        return self.inputs == inputs and self.tests == tests

    def summary(self) -> str:
        """Return a line about it."""
        seconds = f"{self.build_seconds:.0f} s to build, {self.run_seconds:.0f} s to run"
        if not self.kills:
            return f"{self.mutant}: {self.fate.upper()} {self.why}".rstrip() + f" ({seconds})"
        first = self.kills[0]
        more = f" and {len(self.kills) - 1} more" if len(self.kills) > 1 else ""
        return f"{self.mutant}: killed by {first.test} ({first.profile}){more} ({seconds})"


class State(_Model):
    """All that is remembered: verdicts by mutant, and what the series itself does.

    `control` has, by the inputs and the profile, the outcome of each testcase that ran with the
    series alone, by its digest and its id.
    """

    verdicts: dict[str, Verdict] = {}
    control: dict[str, dict[str, Outcome]] = {}


def load_state(path: Path) -> State:
    """Return what is remembered; nothing where the file is not there or of another version."""
    try:
        return State.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return State()


def save_state(path: Path, state: State) -> None:
    """Write what is to be remembered: whole or not at all."""
    replace_text(path, state.model_dump_json(indent=1) + "\n")


def forget(state: State, names: Sequence[str]) -> State:
    """Return `state` without the verdicts on the mutants `names`, and without any control."""
    return State(verdicts={name: one for name, one in state.verdicts.items() if name not in names})


def recorded(record: State, state: State) -> State:
    """Return the verdicts of `record`, with what was settled here in the place of older ones."""
    settled = {name: verdict for name, verdict in state.verdicts.items() if verdict.settled}
    return State(verdicts=dict(sorted({**record.verdicts, **settled}.items())))


def tells(outcome: Outcome) -> bool:
    """Whether a testcase that ends so may have seen a mutant: the host's troubles never do."""
    value = outcome.value
    return not (
        outcome.expected or outcome.infrastructure or value.startswith(("build.", "harness."))
    )


def confirmed(kill: Kill, control: Outcome | None) -> list[Kill]:
    """Return `kill` if its testcase ends as expected without the mutant, as `control`."""
    return [kill] if control is not None and control.expected else []


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return 0 if all were killed, 1 if one survived or is broken, 3 if one is unknown."""
    fates = {verdict.fate for verdict in verdicts}
    if fates & {Fate.SURVIVED, Fate.BROKEN}:
        return ExitCode.FAILURE
    if Fate.UNKNOWN in fates:
        return ExitCode.INFRASTRUCTURE
    return ExitCode.OK if fates else ExitCode.NOTHING_RAN
