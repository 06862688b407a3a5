# SPDX-License-Identifier: GPL-2.0-or-later
"""Units: testcases that share a guest, and how several processes share out a cell's units."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.testing.keeper import Demand

# So many testcases share a guest at most: more guests can work side by side then.
MOST = 8
# What a testcase takes that was never seen to run, and what a guest takes to come up, in seconds.
_UNKNOWN = 3.0
_BOOT = 3.0
_UNITS = "units.json"


@dataclass(frozen=True)
class Wanted:
    """A testcase, `area/ID-name`, and the guest that it wants."""

    test: str
    demand: Demand


def split_units(tests: Sequence[Wanted], most: int = MOST) -> list[list[str]]:
    """Return which testcases share a guest, each unit in the order of `tests`.

    Those of one area that want the same kind of guest do, `most` at a time; one that wants a
    clean guest is alone. It depends on nothing else, so that every variant has the same units and
    what a guest's counters say can be set side by side.
    """
    units: list[list[str]] = []
    open_units: dict[tuple[object, ...], list[str]] = {}
    for wanted in tests:
        if wanted.demand.clean:
            units.append([wanted.test])
            continue
        key = (wanted.test.partition("/")[0], wanted.demand.kind, wanted.demand.restored)
        unit = open_units.get(key)
        if unit is None or len(unit) >= most:
            unit = open_units[key] = []
            units.append(unit)
        unit.append(wanted.test)
    return units


def seconds_of(unit: Sequence[str], known: Mapping[str, float]) -> float:
    """Return about how long a unit takes; `known` are seconds by testcase, of earlier runs."""
    return _BOOT + sum(known.get(test, _UNKNOWN) for test in unit)


def longest_first(units: Sequence[list[str]], known: Mapping[str, float]) -> list[list[str]]:
    """Return `units`, the longest first, so that no long one is left over at the end."""
    return sorted(units, key=lambda unit: -seconds_of(unit, known))


class Claims:
    """How processes share out units: whoever makes a unit's file has it. `folder` is the cell's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def announce(self, seconds: Sequence[float]) -> None:
        """Tell how long each unit takes; all processes of a cell find the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f"{_UNITS}.{os.getpid()}"
        aside.write_text(json.dumps(list(seconds)), encoding="utf-8")
        aside.rename(self.folder / _UNITS)

    def take(self, unit: int) -> bool:
        """Return whether `unit` is ours: nobody else has taken it."""
        try:
            os.close(os.open(self.folder / f"{unit}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        return True

    def left(self) -> list[float] | None:
        """Return how long each unit takes that nobody has taken; None before any is known."""
        try:
            seconds = json.loads((self.folder / _UNITS).read_text(encoding="utf-8"))
        except OSError:
            return None
        return [each for unit, each in enumerate(seconds) if not (self.folder / f"{unit}").exists()]
