# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel's death, or its warnings, mean for the testcase that ran meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import GuestDied
from harness.outcomes import Outcome
from harness.testing.known_issues import Judged

if TYPE_CHECKING:
    from harness.guest.guest import Guest

# How long a death that was declared, or the end of a report, may take to come over the console.
_PATIENCE = 3.0
_STEP = 0.02


@dataclass(frozen=True)
class Trouble:
    """What the kernel reported of itself: a death, or a warning that it survived."""

    outcome: Outcome
    title: str
    lines: tuple[str, ...] = ()


def troubles_of(guest: Guest, seen: int, *, awaited: bool) -> list[Trouble]:
    """Return what `guest` reported after its first `seen` warnings, its death last.

    A report that has begun is waited for; where one is `awaited`, any is.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        told = guest.death is not None or len(guest.warnings) > seen
        if guest.death is not None or (not guest.reporting and (told or not awaited)):
            break
        time.sleep(_STEP)
    found = [
        Trouble(report.outcome, report.title, report.lines) for report in guest.warnings[seen:]
    ]
    death: GuestDied | None = guest.death
    if death is not None:
        found.append(Trouble(death.outcome, death.title, death.lines))
    return found


def judge_troubles(own: Judged, expects: str, troubles: Sequence[Trouble]) -> Judged:
    """Return how a testcase ended whose function ended as `own` while `troubles` came.

    `expects` is the pattern for the title of the one that it declares, "" for none: that one
    alone is its pass, any other or none a failure.
    """
    if not expects:
        return _undeclared(own, troubles)
    if own.outcome is not Outcome.PASS and not own.outcome.value.startswith("kernel."):
        return own
    others = [trouble for trouble in troubles if not re.search(expects, trouble.title)]
    if others:
        worst = others[-1]
        return Judged(worst.outcome, f"{worst.title} (declared was {expects!r})")
    if not troubles:
        return Judged(Outcome.FAIL, f"the kernel went on, and {expects!r} was declared")
    return Judged(Outcome.PASS, f"died as declared: {troubles[-1].title}")


def _undeclared(own: Judged, troubles: Sequence[Trouble]) -> Judged:
    if not troubles:
        return own
    last = troubles[-1]
    if last.outcome.kernel_died:
        return Judged(last.outcome, last.title)
    # A failure says more of what the testcase is about than the warning that came with it.
    return Judged(last.outcome, last.title) if own.outcome.expected else own
