# SPDX-License-Identifier: GPL-2.0-or-later
"""Checking that a series builds after each of its patches, as a bisection needs it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import BuildError, UserError
from harness.events import Listener
from harness.kernel.builder import build
from harness.kernel.cache import Cache, default_cache
from harness.kernel.interrupt import terminable
from harness.kernel.request import Where, resolve
from harness.kernel.teller import Teller
from harness.kernel.variant import Variant


@dataclass(frozen=True)
class Step:
    """The kernel after `patch` (a file's name): the key of its build."""

    patch: str
    key: str


def check_series(
    variant: Variant,
    profile: str,
    *,
    listen: Listener,
    jobs: int | None = None,
    compiler: str = "gcc",
    where: Where | None = None,
    cache: Cache | None = None,
) -> list[Step]:
    """Build `variant` after each of its patches, in order; return what was built.

    Raises:
        BuildError: the first patch that breaks, named in front of the build's own error.
        UserError: the variant has no series.
    """
    if not variant.patched:
        raise UserError(f"{variant} has no series to check", hint="write BASE+SERIES@VERSION")
    cache = cache or default_cache()
    teller = Teller(variant, profile, listen)
    steps: list[Step] = []
    with terminable():
        request = resolve(
            variant, profile, teller, cache, where=where or Where(), compiler=compiler
        )
        patches = request.series.patches if request.series else []
        for number, patch in enumerate(patches, start=1):
            teller.say("info", f"{number} of {len(patches)}: {patch.name}")
            try:
                kernel = build(request.upto(number), cache, teller, jobs=jobs)
            except BuildError as error:
                raise BuildError(
                    error.outcome,
                    f"after {patch.name} ({number} of {len(patches)}): {error.message}",
                    lines=error.lines,
                    hint=error.hint,
                    log=error.log,
                ) from error
            steps.append(Step(patch.name, kernel.key))
    return steps
