# SPDX-License-Identifier: GPL-2.0-or-later
"""The steps of a verification: each can be done by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError
from harness.kernel.series import Series

# Each kernel once; those that testcases know by several names under all of them.
PROFILES = ("fast", "debug", "wide", "numa", "fault", "hwpoison", "hibernate", "upstream")


@dataclass(frozen=True)
class Walk:
    """A configuration to build and boot kernels with after every single patch of a version.

    `config` are lines that win over the profile's; `bases` and `versions` are for which it is,
    () for all.
    """

    name: str
    profile: str
    config: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


WALKS = (
    Walk("fast", "fast"),
    # v1 can't be turned off.
    Walk("off", "fast", ("CONFIG_UNMAPPED_ALLOC=n",), versions=("v2",)),
    Walk("debug", "debug", bases=("debian-6.1",)),
)


def slug(name: str) -> str:
    """Return a step's name as files, folders and locks have it: `debian-6.1-debug`."""
    return name.replace("/", "-")


@dataclass(frozen=True)
class Step:
    """A run of the whole catalogue, or a walk along a series' patches, with one configuration.

    `base` is the one under `variants`, and `profiles` are the names of that configuration. Where
    `patches` is not "", the step builds and boots its one variant after each of its patches:
    `patches` says with what, and `config` are lines that win over the profile's.
    """

    base: str
    profiles: tuple[str, ...]
    variants: tuple[str, ...]
    patches: str = ""
    config: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name: `debian-6.1/debug`, `debian-6.1/patches-v2-debug`."""
        if not self.patches:
            return f"{self.base}/{self.profiles[0]}"
        return f"{self.base}/patches-{self.variants[0].rpartition('@')[2]}-{self.patches}"

    @property
    def names(self) -> set[str]:
        """All names by which it can be chosen."""
        short = ("patches",) if self.patches else self.profiles
        return {self.name, self.base, *short, *(f"{self.base}/{one}" for one in short)}


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


def make_patch_steps(bases: Sequence[str], series: Sequence[Series]) -> list[Step]:
    """Return a step for each base, walk of WALKS, and version with patches for the base."""
    return [
        Step(base, (walk.profile,), (f"{base}+{one}",), walk.name, walk.config)
        for base in bases
        for walk in WALKS
        if not walk.bases or base in walk.bases
        for one in series
        if one.base == base.rpartition("-")[2]
        if not walk.versions or one.version in walk.versions
    ]


def choose(steps: Sequence[Step], only: Sequence[str]) -> list[Step]:
    """Return the steps that `only` names by name, base or profile; all where it names none.

    Raises:
        UserError: a name fits no step.
    """
    for name in only:
        if not any(name in step.names for step in steps):
            raise UserError(
                f"no step is called {name!r}",
                hint=f"steps: {', '.join(step.name for step in steps)}; a base or profile will do",
            )
    return [step for step in steps if not only or not step.names.isdisjoint(only)]
