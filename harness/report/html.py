# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's results as one HTML page that needs nothing but itself."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.outcomes import SEVERITY, Outcome
from harness.report.slowest import slowest
from harness.report.words import counted, duration, group_of, printable, signed
from harness.results.counters import column_names, counter_rows
from harness.results.run_folder import EVENTS, RESULTS
from harness.results.schema import CellResult, CheckResult, CounterChange, Results, TestResult

_BOOT_FILES = ("console.log", "dmesg", "config", "argv", "counters")
_RUN_FILES = (EVENTS, RESULTS, "junit.xml", "results.ktap")
# What a page can hold and a person can read; the rest is in results.json.
_MOST_CHECKS = 200


@dataclass(frozen=True)
class Link:
    """A raw file, by its name and its address relative to the run folder."""

    name: str
    href: str


@dataclass(frozen=True)
class Detail:
    """What there is to say of one testcase in one cell that is no plain pass."""

    anchor: str
    column: str
    test: TestResult
    checks: Sequence[CheckResult]
    left_out: int
    counters: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class LeavesRow:
    """The direct map of one cell, before and after, as (size, before, after)."""

    column: str
    sizes: Sequence[tuple[str, int, int]]


def html_text(results: Results, folder: Path) -> str:
    """Return the page for a run; `folder` is only asked which raw files there are to link."""
    names = column_names(results.cells)
    details = _details(results, names)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            results=results,
            run=results.run,
            names=names,
            command=shlex.join(results.run.command),
            counts=sorted(results.outcomes.items(), key=lambda item: SEVERITY.index(item[0])),
            details=details,
            anchors={(detail.test.test, detail.column): detail.anchor for detail in details},
            common_rows=counter_rows(results),
            boot_rows=counter_rows(results, whole_boots=True),
            leaves=_leaves(results.cells, names),
            slow=slowest(results),
            boot_files={
                (cell.cell, boot.boot): _links(folder, boot.folder, _BOOT_FILES)
                for cell in results.cells
                for boot in cell.boots
            },
            logs={
                cell.cell: _links(folder, f"cells/{cell.cell}", ["pytest.log"])
                for cell in results.cells
            },
            run_files=[Link(name, quote(name)) for name in _RUN_FILES],
            Outcome=Outcome,
        )
    )


def environment() -> Environment:
    """Return what renders the templates beside this file."""
    made = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What a guest said goes through here: no control character reaches the page.
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    made.filters.update(
        duration=duration,
        signed=_true_minus,
        counted=counted,
        group=group_of,
        join_argv=shlex.join,
        plain="{:g}".format,
    )
    return made


def _true_minus(number: int) -> str:
    return signed(number).replace("-", "\N{MINUS SIGN}")


def _details(results: Results, names: dict[str, str]) -> list[Detail]:
    found = [
        (cell, test)
        for cell in results.cells
        for test in cell.tests
        if test.outcome is not Outcome.PASS or test.checks
    ]
    rank = {row.test: index for index, row in enumerate(results.matrix)}
    found.sort(
        key=lambda pair: (
            pair[1].outcome.expected,
            SEVERITY.index(pair[1].outcome),
            rank[pair[1].test],
        )
    )
    return [
        Detail(
            anchor=f"d{index}",
            column=names[cell.cell],
            test=test,
            checks=_sorted(test.checks)[:_MOST_CHECKS],
            left_out=max(len(test.checks) - _MOST_CHECKS, 0),
            counters=_direct_map(test.counters),
        )
        for index, (cell, test) in enumerate(found, start=1)
    ]


def _sorted(checks: Sequence[CheckResult]) -> list[CheckResult]:
    return sorted(checks, key=lambda check: SEVERITY.index(check.outcome))


def _direct_map(change: CounterChange | None) -> list[tuple[str, int]]:
    if change is None:
        return []
    moved = {**change.vmstat, **change.meminfo}
    return [
        (name, by)
        for name, by in moved.items()
        if by and name.startswith(("direct_map_", "DirectMap"))
    ]


def _leaves(cells: Sequence[CellResult], names: dict[str, str]) -> list[LeavesRow]:
    return [
        LeavesRow(
            names[cell.cell],
            [
                (size, before, cell.leaves_after.get(size, 0))
                for size, before in cell.leaves_before.items()
            ],
        )
        for cell in cells
        if cell.leaves_before
    ]


def _links(folder: Path, within: str, files: Sequence[str]) -> list[Link]:
    return [
        Link(name, quote(f"{within}/{name}")) for name in files if (folder / within / name).exists()
    ]
