# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's results as KTAP, for what reads the kernel's own test results."""

from __future__ import annotations

from collections.abc import Iterator

from harness.outcomes import Outcome
from harness.report.words import printable
from harness.results.schema import CellResult, Results
from harness.testing.ktap import KtapResult, format_ktap


def ktap_text(results: Results) -> str:
    """Return the results as a KTAP document: builds, then each cell with its testcases.

    The checks of a testcase are in its reason; a known failure is an XFAIL.
    """
    rows = [
        KtapResult(
            f"build/{_part(f'{build.variant} {build.profile}')}", build.outcome, build.message
        )
        for build in results.builds
    ]
    for cell in results.cells:
        rows += _cell(cell)
    return printable(format_ktap(rows))


def _cell(cell: CellResult) -> Iterator[KtapResult]:
    name = _part(cell.cell)
    for test in cell.tests:
        yield KtapResult(f"{name}/{test.test}", test.outcome, test.reason)
    for boot in cell.boots:
        if not boot.outcome.expected and not boot.explained and not boot.during:
            yield KtapResult(f"{name}/boot-{boot.boot}", boot.outcome, boot.title)
    if not cell.complete and not cell.tests:
        reason = "the cell was not tested to its end"
        yield KtapResult(name, Outcome.INFRA_CANCELLED, reason)


def _part(name: str) -> str:
    """Return a name as one part of a path."""
    return name.replace("/", " ")
