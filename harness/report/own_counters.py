# SPDX-License-Identifier: GPL-2.0-or-later
"""What only some of the variants count, as lines of a comparison's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.measure.own_counters import OwnCounter
from harness.report.comparison_words import aligned, cell

HEAD = "What only some of them count (means, no verdict)"
_MOST = 12


def own_counter_lines(
    counters: Sequence[OwnCounter], variants: Sequence[str], labels: Mapping[str, str], width: int
) -> list[str]:
    """Return a table of what the work changed, a column a variant; no line is over `width`.

    What is left out is in results.json: most counters, where there are many, and what was there
    before the work or after the release.
    """
    work = [one for one in counters if ":" not in one.name]
    if not work:
        return []
    rows = [["", *(labels[variant] for variant in variants)]]
    for one in work[:_MOST]:
        means = [cell(one.means.get(variant), narrow=True) for variant in variants]
        rows.append([f"  {one.workload} {one.name}", *means])
    lines = [f"{HEAD}:", *aligned(rows, width)]
    left = len(counters) - len(work[:_MOST])
    return [*lines, f"  ... {left} more: see results.json"] if left else lines


def own_counters_json(counters: Sequence[OwnCounter]) -> list[dict[str, object]]:
    """Return all of them, as results.json has them."""
    return [
        {"workload": one.workload, "name": one.name, "means": dict(one.means)} for one in counters
    ]
