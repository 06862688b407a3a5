# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts a batch's frames together again into the results of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.errors import ParseError, PatchbedError
from harness.guest.completed import Completed
from harness.guest.framing import Frame, Loss
from harness.guest.script import ScriptResult, Step, StepResult, outcome_of
from harness.outcomes import Outcome


@dataclass
class _Part:
    """What has come of one step so far."""

    begun: bool = False
    ended: bool = False
    status: int | None = None
    late: bool = False
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)
    files: dict[str, bytes] = field(default_factory=dict)
    path: str = ""
    data: bytearray = field(default_factory=bytearray)
    problems: list[str] = field(default_factory=list)


class Assembly:
    """Takes frames and losses in the order they come."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._parts = [_Part() for _step in steps]
        self._current = 0
        self.losses: list[str] = []
        self.begun = False
        self.complete = False

    @property
    def current(self) -> Step | None:
        """The step that runs now, None before the first and after the last."""
        return self._steps[self._current - 1] if self._current else None

    def take(self, item: Frame | Loss) -> None:
        """Take one in; what fits nowhere is a loss too."""
        if isinstance(item, Loss):
            self.losses.append(item.problem)
        elif item.kind == "hello":
            self.begun = True
        elif item.kind == "bye":
            self.complete = True
            self._current = 0
        elif 1 <= item.step <= len(self._parts):
            self._current = item.step
            self._take_part(self._parts[item.step - 1], self._steps[item.step - 1], item)
        else:
            self.losses.append(f"frame {item.sequence} is of step {item.step}, which there is not")

    def result(self, error: PatchbedError | None) -> ScriptResult:
        """Return what came of the steps; `error` is what is known to have ended the guest.

        Damage is an error of its own, and no step that it may have touched passes.
        """
        if error is None and not self.complete:
            self.losses.append("the end is missing")
        problem = "; ".join(self.losses[:3]) + (" ..." if len(self.losses) > 3 else "")
        if error is None and self.losses:
            error = ParseError(
                "the batch's results", 0, problem, hint="see results.raw in the boot's folder"
            )
        results = (
            self._step(step, part, error)
            for step, part in zip(self._steps, self._parts, strict=True)
        )
        return ScriptResult(tuple(results), error)

    def _take_part(self, part: _Part, step: Step, frame: Frame) -> None:
        match frame.kind:
            case "begin":
                part.begun = True
                if frame.payload.decode(errors="replace") != step.name:
                    self.losses.append(f"step {frame.step} is not called {step.name!r} there")
            case "out":
                part.out += frame.payload
            case "err":
                part.err += frame.payload
            case "file":
                part.path, part.data = frame.payload.decode(errors="replace"), bytearray()
            case "data":
                part.data += frame.payload
            case "whole":
                part.files[part.path] = bytes(part.data)
            case "gone":
                why = frame.payload.decode(errors="replace")
                part.problems.append(f"{part.path} in the guest: {why}")
            case _:
                part.ended, part.late = True, frame.kind == "late"
                part.status = int(frame.payload) if frame.payload.isdigit() else None

    def _step(self, step: Step, part: _Part, error: PatchbedError | None) -> StepResult:
        problems = list(part.problems)
        completed: Completed | None = None
        if self.losses:
            outcome = Outcome.TEST_ERROR if error is None else error.outcome
            problems.append("the results were damaged")
        elif not part.ended or part.status is None:
            outcome = Outcome.TEST_ERROR if error is None else error.outcome
        elif part.late:
            outcome = Outcome.TEST_TIMEOUT
            problems.append(f"took longer than {step.limit:g} s: {step.command}")
        else:
            completed = Completed(part.status, bytes(part.out), bytes(part.err))
            outcome = outcome_of(completed)
        return StepResult(step.name, outcome, completed, part.files, tuple(problems))
