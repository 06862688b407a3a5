# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's results as tables in a terminal, at most 100 columns wide."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.outcomes import ExitCode, Outcome
from harness.report.columns import column_heads
from harness.report.slowest import slowest
from harness.report.words import counted, duration, printable, signed, style_of
from harness.results.counters import CounterRow, column_names, counter_rows
from harness.results.schema import BuildResult, CellResult, CheckResult, Results, TestResult

WIDTH = 100
_MOST_CHECKS = 6
_MOST_LINES = 12
_MOST_SIDE_BY_SIDE = 3
# What most testcases' names need without their area.
_NARROW = 24


def print_tables(results: Results, folder: Path, console: Console | None = None) -> None:
    """Print what a run found, and where to see more; to standard output unless told otherwise."""
    console = console or Console(file=sys.stdout)
    # A pipe has no width of its own; a wider terminal would only pull the columns apart.
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    if results.matrix:
        console.print(outcome_table(results))
        for line in _explained(results):
            console.print(Text(line, style="bright_black"))
        for text in reasons(results):
            console.print(text)
        _print_nowhere(console, results)
    rows = counter_rows(results)
    if rows:
        for cells in _side_by_side(results.cells):
            console.print()
            console.print(counter_table(results, rows, cells))
        if len(results.cells) > 1:
            console.print(Text(_note(results), style="bright_black"))
    _print_slowest(console, results)
    _print_builds(console, results.builds)
    for note in results.notes:
        console.print(Text(f"{note.level}: {printable(note.text)}"))
    console.print()
    # A path that is broken over two lines can't be copied.
    console.print(last_line(results, folder), soft_wrap=True)


def outcome_table(results: Results) -> Table:
    """Return the table of testcases by variants, and by profiles where there are several.

    Where there is little room, an area's name stands above its testcases.
    """
    heads, _ = column_heads(results.cells, _room(results))
    narrow = heads != column_names(results.cells)
    padding = (0, 1, 0, 0) if narrow else (0, 1)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", padding=padding)
    table.add_column("testcase", overflow="fold", min_width=_NARROW if narrow else None)
    for cell in results.cells:
        head = heads[cell.cell]
        most = max(9, *map(len, head.splitlines())) if narrow else None
        table.add_column(head, overflow="fold", max_width=most)
    above = ""
    for row in results.matrix:
        outcomes = [_outcome(row.outcomes.get(cell.cell)) for cell in results.cells]
        area, _, name = row.test.partition("/")
        if narrow and area != above:
            table.add_row(Text(printable(area)))
            above = area
        shown = f" {name or area}" if narrow else row.test
        table.add_row(Text(printable(shown)), *outcomes)
    return table


def _room(results: Results) -> int:
    """Return how many characters the columns of cells have beside the testcases' names."""
    longest = max((len(row.test) for row in results.matrix), default=0)
    return WIDTH - min(longest, WIDTH // 2)


def _explained(results: Results) -> list[str]:
    return column_heads(results.cells, _room(results))[1]


def _outcome(outcome: Outcome | None) -> Text:
    return Text("-", style="bright_black") if outcome is None else _word(outcome)


def _word(outcome: Outcome) -> Text:
    return Text(outcome.value, style=style_of(outcome))


def reasons(results: Results) -> list[Padding | Text]:
    """Return why testcases did not pass: the unexpected first, the same reason said once."""
    names = column_names(results.cells)
    groups: dict[tuple[Outcome, str, str], list[TestResult]] = {}
    for cell in results.cells:
        for test in cell.tests:
            if test.outcome is not Outcome.PASS:
                key = (test.outcome, names[cell.cell], test.reason)
                groups.setdefault(key, []).append(test)
    ordered = sorted(_merged(groups).items(), key=lambda item: item[0][0].expected)
    said: list[Padding | Text] = []
    for (outcome, name, reason), tests in ordered:
        head = _word(outcome)
        head.append(f" {name}: {', '.join(printable(test.test) for test in tests)}", style="none")
        said.append(head)
        said += [
            Padding(Text(line), (0, 0, 0, 6), expand=False) for line in _because(reason, tests)
        ]
    return said


def _merged(
    groups: Mapping[tuple[Outcome, str, str], list[TestResult]],
) -> dict[tuple[Outcome, str, str], list[TestResult]]:
    """Return `groups` with skips of the same testcases for the same reason as one."""
    where: dict[tuple[str, ...], list[str]] = {}
    for (outcome, name, reason), tests in groups.items():
        if outcome is Outcome.SKIP:
            where.setdefault((reason, *(test.test for test in tests)), []).append(name)
    merged: dict[tuple[Outcome, str, str], list[TestResult]] = {}
    for (outcome, name, reason), tests in groups.items():
        columns = where.get((reason, *(test.test for test in tests)), [])
        if outcome is Outcome.SKIP and len(columns) > 1:
            merged[outcome, ", ".join(columns), reason] = tests
        else:
            merged[outcome, name, reason] = tests
    return merged


def _print_nowhere(console: Console, results: Results) -> None:
    """Say which testcases no cell could run: nobody has judged what they are for."""
    nowhere = [row.test for row in results.matrix if row.worst is Outcome.SKIP]
    if nowhere and len(nowhere) < len(results.matrix):
        names = ", ".join(printable(test) for test in nowhere)
        console.print(Text(f"ran nowhere ({len(nowhere)}): {names}"))


def _print_slowest(console: Console, results: Results) -> None:
    slow = slowest(results)
    if not slow:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"slowest {len(slow)}", overflow="fold")
    table.add_column("", justify="right")
    table.add_column("", overflow="fold")
    for each in slow:
        table.add_row(Text(printable(each.test)), duration(each.seconds), each.column)
    console.print()
    console.print(table)


def _because(reason: str, tests: Sequence[TestResult]) -> Iterable[str]:
    checks = _telling(tests[0].checks) if len(tests) == 1 else []
    if not checks:
        return [printable(reason)] if reason else []
    lines = [f"{check.outcome.value} {check.check}: {check.reason}" for check in checks]
    more = len(lines) - _MOST_CHECKS
    if more > 0:
        lines[_MOST_CHECKS:] = [f"... {counted(more, 'more check')}: see report.html"]
    return [printable(line) for line in lines]


def _telling(checks: Sequence[CheckResult]) -> list[CheckResult]:
    """Return the checks that explain a testcase's outcome: the unexpected, else the known."""
    unexpected = [check for check in checks if not check.outcome.expected]
    return unexpected or [check for check in checks if check.outcome is Outcome.XFAIL]


def _side_by_side(cells: Sequence[CellResult]) -> list[list[CellResult]]:
    """Return the cells of each table of counters: those of one profile, where all are too many."""
    if len(cells) <= _MOST_SIDE_BY_SIDE:
        return [list(cells)]
    profiles: dict[str, list[CellResult]] = {}
    for cell in cells:
        profiles.setdefault(cell.profile, []).append(cell)
    return list(profiles.values())


def counter_table(
    results: Results, rows: Sequence[CounterRow], cells: Sequence[CellResult] | None = None
) -> Table:
    """Return the table of counters by variants, with differences to the reference.

    It has `cells` alone, where those are given.
    """
    cells = results.cells if cells is None else cells
    names = column_names(results.cells)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("counter (change)", overflow="fold")
    for cell in cells:
        table.add_column(names[cell.cell], justify="right", overflow="fold")
    for row in rows:
        values = [_value(row, cell) for cell in cells]
        table.add_row(f"{row.label} ({row.unit})", *values)
    return table


def _value(row: CounterRow, cell: CellResult) -> Text:
    value = row.values.get(cell.cell)
    if value is None:
        return Text("-", style="bright_black")
    difference = row.differences.get(cell.cell)
    text = Text(signed(value))
    if difference is not None:
        text.append(f" ({signed(difference)})", style="none" if difference else "bright_black")
    return text


def _note(results: Results) -> str:
    return (
        f"Over the {counted(len(results.common_tests), 'testcase')} that ran on every variant; "
        f"in brackets the difference to {results.run.reference}."
    )


def _print_builds(console: Console, builds: Sequence[BuildResult]) -> None:
    for build in builds:
        if build.outcome is Outcome.PASS:
            continue
        head = _word(build.outcome)
        head.append(f" {build.variant} ({build.profile}): {printable(build.message)}", style="none")
        console.print()
        console.print(head)
        for line in build.lines[:_MOST_LINES]:
            console.print(Padding(Text(printable(line)), (0, 0, 0, 6), expand=False))
        if len(build.lines) > _MOST_LINES:
            more = counted(len(build.lines) - _MOST_LINES, "more line")
            console.print(Padding(Text(f"... {more}"), (0, 0, 0, 6), expand=False))
        if build.log:
            console.print(Text(f"      log: {printable(build.log)}"), soft_wrap=True)


def last_line(results: Results, folder: Path) -> Text:
    """Return the verdict, the exit code, and how to see more."""
    fine = results.exit_code == ExitCode.OK
    counts = ", ".join(
        f"{number} {outcome.value}"
        for outcome, number in sorted(results.outcomes.items(), key=lambda item: -item[1])
    )
    text = Text(results.verdict, style="bold green" if fine else "bold red")
    text.append(
        f" (exit code {results.exit_code}) after {duration(results.run.seconds)}: "
        f"{counts or 'no testcase'}\n{folder / 'report.html'}\n"
        f"again: patchbed report {results.run.id}",
        style="none",
    )
    return text
