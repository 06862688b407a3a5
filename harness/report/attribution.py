# SPDX-License-Identifier: GPL-2.0-or-later
"""Who splits the direct map, as tables and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from harness.measure.attribution import Site, sites
from harness.outcomes import Outcome
from harness.results.attribution import AttributedBoot, Attribution

_MOST_SITES = 12
_NARROWEST = 24


def attribution_lines(
    found: Attribution, groups: Sequence[Sequence[str]], labels: Mapping[str, str], width: int
) -> list[str]:
    """Return the tables, one a workload and group of variants, the reference first in each."""
    head = (
        f"Who splits the direct map (profile {found.profile}, world {found.world}, "
        "boots of their own)"
    )
    lines = textwrap.wrap(head, width, subsequent_indent="  ")
    for workload in dict.fromkeys(boot.workload for boot in found.boots):
        for group in groups:
            lines += ["", *_table(found, workload, group, labels, width)]
    return lines


def _table(
    found: Attribution,
    workload: str,
    group: Sequence[str],
    labels: Mapping[str, str],
    width: int,
) -> list[str]:
    boots = {variant: found.boot(variant, workload) for variant in group}
    usable = {name: one for name, one in boots.items() if one and one.outcome is Outcome.PASS}
    lines = [
        line
        for name, one in boots.items()
        if name not in usable
        for line in _not_told(labels[name], one, width)
    ]
    if not usable:
        return [workload, *lines]
    reference, *new = usable
    heads = [workload, *(labels[name] for name in usable)]
    heads += [f"{labels[name]}-{labels[reference]}" for name in new]
    rows = [(heads[0], heads[1:])]
    found_sites = sites({name: one.counts() for name, one in usable.items()})
    rows += [_row(site, list(usable)) for site in found_sites[:_MOST_SITES]]
    if len(found_sites) > _MOST_SITES:
        rows.append((f"... {len(found_sites) - _MOST_SITES} more: see results.json", []))
    rows.append(("splits, by /proc/vmstat", _totals(list(usable.values()))))
    return [*_laid_out(rows, width), *lines, *_doubts(usable, labels, width)]


def _row(site: Site, variants: Sequence[str]) -> tuple[str, list[str]]:
    counts = [f"{site.counts[name]:,}" for name in variants]
    return site.name, counts + [f"{site.differences[name]:+,}" for name in variants[1:]]


def _totals(boots: Sequence[AttributedBoot]) -> list[str]:
    first = boots[0].splits
    counts = [f"{one.splits:,}" for one in boots]
    return counts + [f"{one.splits - first:+,}" for one in boots[1:]]


def _laid_out(rows: Sequence[tuple[str, Sequence[str]]], width: int) -> list[str]:
    """Return rows with their numbers in columns; a name that is too long goes on below."""
    columns = max(len(cells) for _, cells in rows)
    widths = [
        max((len(cells[place]) for _, cells in rows if place < len(cells)), default=0)
        for place in range(columns)
    ]
    room = max(_NARROWEST, width - sum(widths) - 2 * columns)
    longest = min(room, max(len(name) + 2 for name, _ in rows))
    lines: list[str] = []
    for number, (name, cells) in enumerate(rows):
        indent = "  " if number else ""
        first, *more = textwrap.wrap(
            name, longest, initial_indent=indent, subsequent_indent=indent + "  "
        )
        numbers = [cell.rjust(size) for cell, size in zip(cells, widths, strict=False)]
        lines += ["  ".join([first.ljust(longest), *numbers]).rstrip(), *more]
    return lines


def _not_told(label: str, boot: AttributedBoot | None, width: int) -> list[str]:
    why = f"{boot.outcome}: {boot.title}" if boot else "not booted for it"
    return textwrap.wrap(f"  {label}: {why}", width, subsequent_indent="    ")


def _doubts(
    boots: Mapping[str, AttributedBoot], labels: Mapping[str, str], width: int
) -> list[str]:
    """Say where stacks do not account for what the kernel counted."""
    lines: list[str] = []
    for name, boot in boots.items():
        told = sum(boot.counts().values())
        if told == boot.splits and not boot.dropped:
            continue
        text = f"  {labels[name]}: stacks tell of {told:,} of {boot.splits:,} splits"
        dropped = f"; {boot.dropped:,} found no room" if boot.dropped else ""
        lines += textwrap.wrap(text + dropped, width, subsequent_indent="    ")
    return lines


def attribution_json(found: Attribution, variants: Sequence[str]) -> dict[str, Any]:
    """Return all of it as JSON takes it: by workload, the sites, and each boot with its stacks."""
    workloads = dict.fromkeys(boot.workload for boot in found.boots)
    return {
        "profile": found.profile,
        "world": found.world,
        "workloads": {workload: _workload(found, workload, variants) for workload in workloads},
    }


def _workload(found: Attribution, workload: str, variants: Sequence[str]) -> dict[str, Any]:
    boots = [one for name in variants if (one := found.boot(name, workload)) is not None]
    counts = {one.variant: one.counts() for one in boots if one.outcome is Outcome.PASS}
    return {
        "sites": [
            {"site": one.name, "counts": dict(one.counts), "differences": dict(one.differences)}
            for one in (sites(counts) if counts else [])
        ],
        "boots": [
            {
                "variant": one.variant,
                "outcome": one.outcome,
                "title": one.title,
                "splits": one.splits,
                "attributed": sum(stack.count for stack in one.stacks),
                "dropped": one.dropped,
                "stacks": [stack.model_dump() for stack in one.stacks],
            }
            for one in boots
        ],
    }
