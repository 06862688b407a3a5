# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots of a comparison that did not come through, and what they died of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.measure.comparison import Measured
from harness.outcomes import Outcome
from harness.report.words import counted, printable

# Of each variant and workload so many ways to die are told; the others are in results.json.
_MOST_WAYS = 4
_LONGEST_TITLE = 200


@dataclass(frozen=True)
class Death:
    """One way in which boots of a variant ended that did a workload.

    `boots` did so, the first of them in block `first`. `title` is what the kernel said, on one
    line; "" where it said nothing.
    """

    workload: str
    variant: str
    outcome: Outcome
    title: str
    boots: int
    first: int

    def words(self, block_word: str) -> str:
        """Return it in words: "3 x kernel.panic: BUG at mm/page_alloc.c:123 (world 4 first)"."""
        how = f"{self.outcome}: {self.title}" if self.title else str(self.outcome)
        first = " first" if self.boots > 1 else ""
        return f"{self.boots} x {how} ({block_word} {self.first}{first})"


def deaths_of(
    boots: Sequence[Measured], workloads: Sequence[str], variants: Sequence[str]
) -> list[Death]:
    """Return how boots ended that did not come through, in the order of `workloads`, `variants`.

    What happened most often comes first.
    """
    ways: dict[tuple[str, str, Outcome, str], list[int]] = {}
    for one in boots:
        if one.outcome is not Outcome.PASS:
            title = " ".join(printable(one.title).split())[:_LONGEST_TITLE]
            ways.setdefault((one.workload, one.variant, one.outcome, title), []).append(one.block)
    found = [Death(*way, len(blocks), min(blocks)) for way, blocks in ways.items()]
    places = {name: place for place, name in enumerate((*workloads, *variants))}
    last = len(places)
    return sorted(
        found,
        key=lambda one: (
            places.get(one.workload, last),
            places.get(one.variant, last),
            -one.boots,
            one.first,
            one.title,
        ),
    )


def death_words(
    deaths: Sequence[Death], labels: Mapping[str, str], block_word: str
) -> list[tuple[str, str]]:
    """Return (who, how): "v2 secretmem-idle" and how its boots ended, once for each way."""
    by_arm: dict[str, list[Death]] = {}
    for one in deaths:
        who = f"{labels.get(one.variant, one.variant)} {one.workload}"
        by_arm.setdefault(who, []).append(one)
    told: list[tuple[str, str]] = []
    for who, mine in by_arm.items():
        told += [(who, one.words(block_word)) for one in mine[:_MOST_WAYS]]
        if len(mine) > _MOST_WAYS:
            ways = counted(len(mine) - _MOST_WAYS, "more way")
            told.append((who, f"{ways} to die: see results.json"))
    return told


def deaths_json(deaths: Sequence[Death]) -> list[dict[str, Any]]:
    """Return all of them as JSON takes it."""
    return [
        {
            "workload": one.workload,
            "variant": one.variant,
            "outcome": one.outcome,
            "title": one.title,
            "boots": one.boots,
            "first_block": one.first,
        }
        for one in deaths
    ]
