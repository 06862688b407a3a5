# SPDX-License-Identifier: GPL-2.0-or-later
"""Checking that a series builds after each of its patches, as a bisection needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.errors import BuildError, CommandTimeout, GuestDied, UserError
from harness.events import Listener
from harness.kernel.artifact import Kernel
from harness.kernel.builder import build
from harness.kernel.cache import Cache, default_cache
from harness.kernel.interrupt import terminable
from harness.kernel.quantity import format_age
from harness.kernel.request import Request, Where, resolve
from harness.kernel.teller import Teller
from harness.kernel.variant import Variant
from harness.outcomes import Outcome

Probe = Callable[[Kernel], None]


@dataclass(frozen=True)
class Step:
    """The kernel after the `number`-th patch, of the file `patch`.

    `outcome` is pass, or says how it is broken: `message`, `lines` and `log` then tell more.
    `key` is the build's, "" where there is none; `seconds` is what the step took.
    """

    number: int
    patch: str
    outcome: Outcome
    key: str = ""
    cached: bool = False
    seconds: float = 0.0
    message: str = ""
    lines: tuple[str, ...] = ()
    log: str = ""


def check_series(
    variant: Variant,
    profile: str,
    *,
    listen: Listener,
    first: int = 1,
    probe: Probe | None = None,
    jobs: int | None = None,
    compiler: str = "gcc",
    where: Where | None = None,
    cache: Cache | None = None,
    config: Sequence[str] = (),
) -> list[Step]:
    """Build `variant` after each of its patches, from the `first`, in order, up to a broken one.

    `probe` is called with each kernel, and raises GuestDied or CommandTimeout where it is
    broken. `config` are lines of a configuration that win over all others. Returns the steps;
    only the last may be other than pass.

    Raises:
        UserError: the variant has no series, or not so many patches; a line of `config` is none.
        InfrastructureError: the host can't do it.
    """
    if not variant.patched:
        raise UserError(f"{variant} has no series to check", hint="write BASE+SERIES@VERSION")
    cache = cache or default_cache()
    teller = Teller(variant, profile, listen)
    steps: list[Step] = []
    with terminable():
        request = resolve(
            variant,
            profile,
            teller,
            cache,
            where=where or Where(),
            compiler=compiler,
            config=config,
        )
        patches = request.series.patches if request.series else []
        if not 1 <= first <= len(patches):
            raise UserError(
                f"{variant} has no patch {first}: it has {len(patches)}",
                hint=f"give --from a number from 1 to {len(patches)}",
            )
        for number in range(first, len(patches) + 1):
            name = patches[number - 1].name
            teller.say("info", f"{number} of {len(patches)}: {name}")
            step = _check(request.upto(number), number, name, probe, cache, teller, jobs)
            steps.append(step)
            teller.say("info", f"{number} of {len(patches)}: {_told(steps, len(patches))}")
            if step.outcome is not Outcome.PASS:
                break
    return steps


def _check(
    request: Request,
    number: int,
    patch: str,
    probe: Probe | None,
    cache: Cache,
    teller: Teller,
    jobs: int | None,
) -> Step:
    began = time.monotonic()
    kernel: Kernel | None = None
    try:
        kernel = build(request, cache, teller, jobs=jobs)
        if probe is not None:
            teller.phase("boot")
            probe(kernel)
    except (BuildError, GuestDied, CommandTimeout) as error:
        return Step(
            number,
            patch,
            error.outcome,
            key=kernel.key if kernel else "",
            cached=kernel.cached if kernel else False,
            seconds=round(time.monotonic() - began, 1),
            message=error.message,
            lines=() if isinstance(error, CommandTimeout) else tuple(error.lines),
            log=str(error.log or ""),
        )
    seconds = round(time.monotonic() - began, 1)
    return Step(number, patch, Outcome.PASS, kernel.key, kernel.cached, seconds)


def _told(steps: Sequence[Step], total: int) -> str:
    """Return words on the last step, and on how long the rest will take."""
    last = steps[-1]
    if last.outcome is not Outcome.PASS:
        return f"{last.outcome}: {last.message}"
    words = f"good after {format_age(last.seconds)}"
    left = remaining([step.seconds for step in steps if not step.cached], total - last.number)
    return f"{words}, about {format_age(left)} left" if left else words


def remaining(seconds: Sequence[float], steps: int) -> float:
    """Return how long `steps` more will take, in seconds, when the last ones took `seconds`.

    0 where there is nothing to go by. The first counts only while it is alone: it may have begun
    with an empty tree, the others begin with the tree of the one before.
    """
    known = (seconds[1:] or seconds)[-3:]
    return steps * sum(known) / len(known) if known else 0.0
