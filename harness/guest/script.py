# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps for a guest to carry out, and what came of each, whichever way they went in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import CommandTimeout, GuestDied, PatchbedError
from harness.guest.completed import Completed
from harness.outcomes import Outcome

_NAME = re.compile(r"[\x20-\x7e]{1,200}")
_FILES = 8000


@dataclass(frozen=True)
class Step:
    """A command for the guest's shell, and the files to bring back once it has ended.

    `limit` is in seconds of the guest's clock, 0 for none. A file is read after the command,
    whatever its status.

    Raises:
        ValueError: a name or path that can't be used.
    """

    name: str
    command: str
    limit: float = 30.0
    files: tuple[str, ...] = ()
    stdin: bytes = b""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"step {self.name!r}: a name is 1 to 200 printable ASCII characters")
        if any("\n" in path or not path.startswith("/") for path in self.files):
            raise ValueError(f"step {self.name}: files are absolute paths without line ends")
        if len("\n".join(self.files).encode()) > _FILES:
            raise ValueError(f"step {self.name}: the files' paths are longer than {_FILES} bytes")


@dataclass(frozen=True)
class StepResult:
    """What came of a step.

    `outcome` is pass or fail by its status; test.timeout; what the guest died of, for the step it
    died in and for those it never came to; or test.error where the result is damaged. `files` holds
    what could be read, `problems` what went wrong otherwise.
    """

    name: str
    outcome: Outcome
    completed: Completed | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScriptResult:
    """What came of all steps, in their order; `error` is what ended them early, if anything."""

    steps: tuple[StepResult, ...]
    error: PatchbedError | None = None

    def __getitem__(self, name: str) -> StepResult:
        """Return what came of the step called `name`."""
        return next(step for step in self.steps if step.name == name)

    def check(self) -> None:
        """Raise what ended the steps early, if anything did.

        Raises:
            GuestDied: the kernel died.
            InfrastructureError: the host failed.
            ParseError: results were damaged on their way.
        """
        if self.error is not None:
            raise self.error


class Commands(Protocol):
    """What takes commands one by one, as `Guest` does."""

    def run(self, command: str, *, timeout: float = ..., stdin: bytes = ...) -> Completed:
        """Run `command`."""

    def get(self, path: str) -> bytes:
        """Read the file `path`."""


def carry_out(
    guest: Commands, steps: Sequence[Step], listen: Callable[[StepResult], None] | None = None
) -> ScriptResult:
    """Have an interactive `guest` do `steps`; `listen` hears of each as it ends.

    Nothing is raised for what becomes of the guest: `ScriptResult.check` does.
    """
    results: list[StepResult] = []
    for step in steps:
        try:
            result = _do(guest, step)
        except PatchbedError as error:
            left = steps[len(results) :]
            results += [StepResult(one.name, error.outcome) for one in left]
            return ScriptResult(tuple(results), error)
        results.append(result)
        if listen is not None:
            listen(result)
    return ScriptResult(tuple(results))


def outcome_of(completed: Completed) -> Outcome:
    """Return what a command's status means."""
    return Outcome.PASS if completed.status == 0 else Outcome.FAIL


def _do(guest: Commands, step: Step) -> StepResult:
    problems: list[str] = []
    completed: Completed | None = None
    try:
        completed = guest.run(step.command, timeout=step.limit or float("inf"), stdin=step.stdin)
        outcome = outcome_of(completed)
    except GuestDied:
        raise
    except CommandTimeout as error:
        outcome = error.outcome
        problems.append(error.message)
    files: dict[str, bytes] = {}
    for path in step.files:
        try:
            files[path] = guest.get(path)
        except OSError as error:
            problems.append(str(error))
    return StepResult(step.name, outcome, completed, files, tuple(problems))
