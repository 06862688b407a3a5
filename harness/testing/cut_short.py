# SPDX-License-Identifier: GPL-2.0-or-later
"""KUnit's results where the guest died in the middle: what ran, and what did not any more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import GuestDied
from harness.testing.ktap import KtapResult, parse_ktap

_PREFIX = re.compile(r"^(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?)?")
_SUBTEST = re.compile(r"^( *)# Subtest: (.*?)\s*$")
_PLAN = re.compile(r"^( *)1\.\.(\d+)\s*$")
_RESULT = re.compile(r"^( *)(?:not )?ok \d+(?: -)? ([^#]*?)\s*(?:#.*)?$")
_CASES = re.compile(r"struct\s+kunit_case\s+\w+\s*\[\]\s*=\s*\{(.*?)\};", re.DOTALL)
_CASE = re.compile(r"\bKUNIT_CASE\w*\(\s*(\w+)")


@dataclass
class _Open:
    """A suite, or a test with parameters, whose own result has not come."""

    indent: int
    name: str = ""
    planned: int = 0
    seen: list[str] = field(default_factory=list)


def case_names(source: str) -> list[tuple[str, ...]]:
    """Return the tests of each suite in a KUnit module's C source, in their order."""
    return [tuple(_CASE.findall(body)) for body in _CASES.findall(source)]


def names_of_module(folder: Path, module: str) -> list[tuple[str, ...]]:
    """Return the tests of each suite of `module`, whose source is somewhere in `folder`."""
    sources = sorted(folder.rglob(f"{module}.c"))
    return [
        names
        for source in sources
        for names in case_names(source.read_text(encoding="utf-8", errors="replace"))
    ]


def results_until(
    lines: Sequence[str], death: GuestDied, cases: Sequence[tuple[str, ...]] = ()
) -> list[KtapResult]:
    """Return the results in `lines`, the last that a kernel said before its `death`.

    The test that ran has the death for its outcome; those of its suite that were still to come
    are a `test.error`, for nobody knows how they would have ended. Their names are in none of the
    lines: they come from `cases`, the suites of the module, and are numbers where that has none.
    """
    opened = _open_levels(lines)
    if not opened:
        return parse_ktap(lines)
    suite = opened[0]
    names = _names(suite, cases)
    number = len(suite.seen)
    running = opened[1].name if len(opened) > 1 else names[number]
    margin = " " * suite.indent
    more = [f"{margin}not ok {number + 1} {running} # ERROR"]
    more += [
        f"{margin}not ok {later + 1} {names[later]} # ERROR not run: the guest died in {running}"
        for later in range(number + 1, suite.planned)
    ]
    more.append(f"not ok 1 {suite.name}")
    path = f"{suite.name}/{running}"
    died = KtapResult(path, death.outcome, death.title)
    results = [died if result.path == path else result for result in parse_ktap([*lines, *more])]
    return results if died in results else [*results, died]


def _open_levels(lines: Sequence[str]) -> list[_Open]:
    """Return what had begun and not ended, the outermost first."""
    levels: list[_Open] = []

    def level(indent: int) -> _Open:
        while levels and levels[-1].indent > indent:
            levels.pop()
        if not levels or levels[-1].indent < indent:
            levels.append(_Open(indent))
        return levels[-1]

    for raw in lines:
        line = _PREFIX.sub("", raw.rstrip("\r\n"), count=1)
        if match := _SUBTEST.match(line):
            level(len(match[1])).name = match[2]
        elif match := _PLAN.match(line):
            level(len(match[1])).planned = int(match[2])
        elif match := _RESULT.match(line):
            level(len(match[1])).seen.append(match[2])
    return [each for each in levels if each.indent > 0 and each.name]


def _names(suite: _Open, cases: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the names of a suite's tests: seen, known from its source, or numbers."""
    count = max(suite.planned, len(suite.seen) + 1)
    for known in cases:
        if len(known) == count and list(known[: len(suite.seen)]) == suite.seen:
            return list(known)
    return suite.seen + [f"test {number}" for number in range(len(suite.seen) + 1, count + 1)]
