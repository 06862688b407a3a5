# SPDX-License-Identifier: GPL-2.0-or-later
"""What is remembered of a verification's steps on this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager

from harness.kernel.cache import Cache, Waiting, command_name
from verification.step_result import Done, StepResult, load_done, save_done
from verification.steps import slug


class Memory:
    """The results of steps, in a file of the cache that calls at the same time share."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._file = cache.root / "verify" / "steps.json"

    def load(self) -> Done:
        """Return what is remembered by now."""
        return load_done(self._file)

    def keep(self, result: StepResult) -> None:
        """Remember a step's result, and leave what others remember of other steps."""
        with self.alone():
            known = self.load().steps
            save_done(self._file, Done(steps={**known, result.step: result}))

    def alone(self) -> AbstractContextManager[None]:
        """Have what is remembered to oneself, to read it and to write what comes of it."""
        return self._cache.hold("verify-state", command_name(), lambda _: None)

    def working_on(self, step: str, waiting: Waiting) -> AbstractContextManager[None]:
        """Have the step called `step` to oneself; `waiting` is told who has it otherwise."""
        return self._cache.hold(f"verify-step-{slug(step)}", f"{command_name()} ({step})", waiting)
