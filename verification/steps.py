# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of a verification: each one run of the whole catalogue that can be done by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError
from harness.kernel.series import Series

# Each kernel once; those that testcases know by several names under all of them.
PROFILES = ("fast", "debug", "wide", "numa", "fault", "hwpoison", "hibernate", "upstream")


@dataclass(frozen=True)
class Step:
    """One run: a base and what of the series there is on it, with one kernel configuration.

    `profiles` are the names of that configuration.
    """

    base: str
    profiles: tuple[str, ...]
    variants: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.base}/{self.profiles[0]}"


def make_steps(
    bases: Sequence[str],
    profiles: Sequence[tuple[str, ...]],
    series: Sequence[Series],
) -> list[Step]:
    """Return a step for each base (`debian-6.1`) and group of profiles.

    `series` are the versions to verify, each once for every kernel that it has patches for.
    """
    steps = []
    for names in profiles:
        for base in bases:
            kernel = base.rpartition("-")[2]
            fitting = [f"{base}+{one}" for one in series if one.base == kernel]
            steps.append(Step(base, names, (base, *fitting)))
    return steps


def choose(steps: Sequence[Step], only: Sequence[str]) -> list[Step]:
    """Return the steps that `only` names by name, base or profile; all where it names none.

    Raises:
        UserError: a name fits no step.
    """
    for name in only:
        if not any(name in _names(step) for step in steps):
            raise UserError(
                f"no step is called {name!r}",
                hint=f"steps: {', '.join(step.name for step in steps)}; a base or profile will do",
            )
    return [step for step in steps if not only or not _names(step).isdisjoint(only)]


def _names(step: Step) -> set[str]:
    return {step.name, step.base, *step.profiles, *(f"{step.base}/{p}" for p in step.profiles)}
