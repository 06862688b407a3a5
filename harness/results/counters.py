# SPDX-License-Identifier: GPL-2.0-or-later
"""How a guest's counters moved: in one testcase, in a cell, and beside the reference's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.events import CountersPulled
from harness.measure.vmstat import (
    LEVEL2_COLLAPSES,
    LEVEL2_SPLITS,
    LEVEL3_COLLAPSES,
    LEVEL3_SPLITS,
    deltas,
)
from harness.results.schema import CellResult, CounterChange, Results

# Shown in tables, as (group, counter, unit); `dump_results` has all that moved.
HEADLINES: tuple[tuple[str, str, str], ...] = (
    ("vmstat", LEVEL2_SPLITS, "splits"),
    ("vmstat", LEVEL3_SPLITS, "splits"),
    ("vmstat", LEVEL2_COLLAPSES, "merges"),
    ("vmstat", LEVEL3_COLLAPSES, "merges"),
    ("meminfo", "DirectMap4k", "kB"),
    ("meminfo", "DirectMap2M", "kB"),
    ("meminfo", "DirectMap1G", "kB"),
    ("leaves", "4K", "leaves"),
    ("leaves", "2M", "leaves"),
    ("leaves", "1G", "leaves"),
    ("cache", "Free", "pages"),
    ("cache", "Cached", "pages"),
    ("cache", "Released", "pages"),
)
_LABELS = {"leaves": "direct map, {} leaves", "cache": "unmapped cache, {}"}


def change_between(before: CountersPulled, after: CountersPulled) -> CounterChange:
    """Return how the counters moved between two pulls of one boot."""
    return CounterChange(
        vmstat=_worth_telling(deltas(before.vmstat, after.vmstat), "direct_map_"),
        meminfo=_worth_telling(deltas(before.meminfo, after.meminfo), "DirectMap"),
        leaves=deltas(before.leaves, after.leaves),
        cache=deltas(before.cache, after.cache),
    )


def _worth_telling(moved: Mapping[str, int], always: str) -> dict[str, int]:
    return {name: by for name, by in moved.items() if by or name.startswith(always)}


def add_changes(changes: Iterable[CounterChange]) -> CounterChange:
    """Return the sum of `changes`, counter by counter."""
    total: dict[str, dict[str, int]] = {"vmstat": {}, "meminfo": {}, "leaves": {}, "cache": {}}
    for change in changes:
        for group, sums in total.items():
            for name, by in getattr(change, group).items():
                sums[name] = sums.get(name, 0) + by
    return CounterChange(**total)


def change_of_boots(pulls: Sequence[CountersPulled]) -> CounterChange:
    """Return each boot's change from its first pull to its last, added up.

    `pulls` are one cell's, in the order in which they were made.
    """
    return add_changes(change_between(boot[0], boot[-1]) for boot in by_boot(pulls))


def by_boot(pulls: Sequence[CountersPulled]) -> list[list[CountersPulled]]:
    """Return a cell's pulls by boot: several guests may live at the same time."""
    boots: dict[int, list[CountersPulled]] = {}
    for pull in pulls:
        boots.setdefault(pull.boot, []).append(pull)
    return [boots[boot] for boot in sorted(boots)]


@dataclass(frozen=True)
class CounterRow:
    """One counter across the cells: `values` by cell, and `differences` to the reference's.

    A cell without the counter is in neither; the reference's own cell is not in `differences`.
    """

    label: str
    unit: str
    values: dict[str, int]
    differences: dict[str, int]


def counter_rows(results: Results, *, whole_boots: bool = False) -> list[CounterRow]:
    """Return the counters worth a table, for every cell.

    What is added up is the change over the testcases that ran in every cell, as only that can
    be set side by side; with `whole_boots`, all that happened between a boot's first pull and
    its last.
    """
    changes = {
        cell.cell: cell.counters if whole_boots else _over(cell, results.common_tests)
        for cell in results.cells
    }
    reference = {
        cell.cell: reference_cell(results, cell)
        for cell in results.cells
        if not _is_ref(results, cell)
    }
    rows: list[CounterRow] = []
    for group, name, unit in HEADLINES:
        values = {
            cell: getattr(change, group)[name]
            for cell, change in changes.items()
            if name in getattr(change, group)
        }
        if values:
            differences = {
                cell: value - values[other]
                for cell, value in values.items()
                if (other := reference.get(cell)) is not None and other in values
            }
            label = _LABELS.get(group, "{}").format(name)
            rows.append(CounterRow(label, unit, values, differences))
    return rows


def _over(cell: CellResult, tests: Sequence[str]) -> CounterChange:
    wanted = set(tests)
    return add_changes(
        test.counters for test in cell.tests if test.test in wanted and test.counters is not None
    )


def _is_ref(results: Results, cell: CellResult) -> bool:
    return cell.variant == results.run.reference


def reference_cell(results: Results, cell: CellResult) -> str | None:
    """Return the name of the reference's cell with the profile and machine of `cell`, if any."""
    for other in results.cells:
        if _is_ref(results, other) and (other.profile, other.machine) == (
            cell.profile,
            cell.machine,
        ):
            return other.cell
    return None


def column_names(cells: Sequence[CellResult]) -> dict[str, str]:
    """Return a short name for each cell: its variant, and what else tells it from the others."""
    profiles = len({cell.profile for cell in cells}) > 1
    machines = len({cell.machine for cell in cells}) > 1
    return {
        cell.cell: "/".join([cell.variant, *[cell.profile] * profiles, *[cell.machine] * machines])
        for cell in cells
    }
