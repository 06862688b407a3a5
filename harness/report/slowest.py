# SPDX-License-Identifier: GPL-2.0-or-later
"""The testcases that a run spent most of its time on."""

from __future__ import annotations

from dataclasses import dataclass

from harness.outcomes import Outcome
from harness.results.counters import column_names
from harness.results.schema import Results

MOST = 10


@dataclass(frozen=True)
class Slow:
    """A testcase, the column of its cell, and how long it took there, in seconds."""

    test: str
    column: str
    seconds: float


def slowest(results: Results, most: int = MOST) -> list[Slow]:
    """Return the `most` slowest testcases of a run, the slowest first.

    None where no more than that have run: then the others' times say nothing.
    """
    names = column_names(results.cells)
    ran = [
        Slow(test.test, names[cell.cell], test.seconds)
        for cell in results.cells
        for test in cell.tests
        if test.outcome is not Outcome.SKIP
    ]
    ran.sort(key=lambda slow: (-slow.seconds, slow.test, slow.column))
    return ran[:most] if len(ran) > most else []
