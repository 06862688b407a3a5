# SPDX-License-Identifier: GPL-2.0-or-later
"""KTAP as the kernel writes it (Documentation/dev-tools/ktap.rst), alone or within its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.outcomes import Outcome

# printk's prefixes: the level in raw records, the time stamp, the caller (PRINTK_CALLER).
_PREFIX = re.compile(r"^(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?)?")
_RESULT = re.compile(
    r"^(?P<indent> *)(?P<not>not )?ok (?P<number>\d+)"
    r"(?: +(?:- +)?(?P<name>[^#]*?))?"
    r"(?: *# *(?P<directive>SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:? *(?P<reason>.*?))?"
    r"(?: +#.*)?$",
    re.IGNORECASE,
)
_PLAN = re.compile(r"^(?P<indent> *)1\.\.(?P<count>\d+)(?: *# *SKIP *(?P<reason>.*))?\s*$")
_SUBTEST = re.compile(r"^(?P<indent> *)# Subtest: (?P<name>.*?)\s*$")
_DIAGNOSTIC = re.compile(r"^ *# (?P<text>.*?)\s*$")
_VERSION = re.compile(r"^ *(?:K?TAP version \d+)\s*$")
# KUnit says on lines of their own, without a "#", what it expected and what it got.
_EXPECTED = re.compile(r"^ +(?:Expected .*|\S.* == \S.*)$")
_INDENT = 2


@dataclass(frozen=True)
class KtapResult:
    """A test's result: `path` from the suite down to the test, joined by `/`.

    `reason` is what its directive says or, for a failure, its diagnostic lines.
    """

    path: str
    outcome: Outcome
    reason: str = ""


@dataclass
class _Node:
    name: str
    outcome: Outcome
    reason: str
    children: list[_Node] = field(default_factory=list)


@dataclass
class _Level:
    """What is known of a test whose own result line has not come yet."""

    name: str = ""
    planned: int | None = None
    children: list[_Node] = field(default_factory=list)


def parse_ktap(lines: Iterable[str]) -> list[KtapResult]:
    """Return the results in `lines`, innermost tests only, in their order.

    Lines that are no KTAP (a kernel's log around and between the results) are passed over. A test
    that was announced and never reported, or fewer results than planned, is a `test.error`. A
    test with subtests appears itself only where it failed for a reason of its own.
    """
    return list(_Parser().parse(lines))


class _Parser:
    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {0: _Level()}
        self._diagnostics: list[str] = []

    def parse(self, lines: Iterable[str]) -> Iterator[KtapResult]:
        for raw in lines:
            self._line(_PREFIX.sub("", raw.rstrip("\r\n"), count=1))
        while (deepest := max(self._levels)) > 0:
            self._close_unreported(deepest)
        top = self._levels[0]
        nodes = [*top.children, *_missing(top)]
        for node in nodes:
            yield from _flatten(node, "")

    def _line(self, line: str) -> None:
        if match := _RESULT.match(line):
            self._result(match)
        elif match := _PLAN.match(line):
            level = self._level(_depth(match["indent"]))
            level.planned = int(match["count"])
            if match["reason"] is not None and level.planned == 0:
                reason = match["reason"].strip()
                level.children.append(_Node(level.name or "plan", Outcome.SKIP, reason))
        elif match := _SUBTEST.match(line):
            depth = _depth(match["indent"])
            if depth > 0 and not self._level(depth).name:
                self._level(depth).name = match["name"]
        elif not _VERSION.match(line) and (match := _DIAGNOSTIC.match(line)):
            self._diagnostics.append(match["text"])
        elif self._diagnostics and _EXPECTED.match(line):
            self._diagnostics[-1] += f" {line.strip()}"

    def _level(self, depth: int) -> _Level:
        return self._levels.setdefault(depth, _Level())

    def _result(self, match: re.Match[str]) -> None:
        depth = _depth(match["indent"])
        while max(self._levels) > depth + 1:
            self._close_unreported(max(self._levels))
        inner = self._levels.pop(depth + 1, _Level())
        outcome, reason = _judge(match)
        if outcome is Outcome.FAIL and not reason:
            reason = "; ".join(self._diagnostics)
        self._diagnostics.clear()
        name = (match["name"] or "").strip() or inner.name or f"test {match['number']}"
        children = [*inner.children, *_missing(inner)]
        self._level(depth).children.append(_Node(name, outcome, reason, children))

    def _close_unreported(self, depth: int) -> None:
        level = self._levels.pop(depth)
        if not level.name and not level.children and level.planned is None:
            return
        name = level.name or "unnamed"
        reason = "; ".join(["ended without a result", *self._diagnostics[-3:]])
        node = _Node(name, Outcome.TEST_ERROR, reason, [*level.children, *_missing(level)])
        self._level(depth - 1).children.append(node)


def _depth(indent: str) -> int:
    # KUnit indents by four, the kernel's document by two; either is one level deeper.
    return 0 if not indent else max(1, len(indent) // (4 if len(indent) % 4 == 0 else _INDENT))


def _judge(match: re.Match[str]) -> tuple[Outcome, str]:
    directive = (match["directive"] or "").upper()
    reason = (match["reason"] or "").strip()
    if directive == "SKIP":
        return Outcome.SKIP, reason
    if directive in ("TODO", "XFAIL"):
        return (Outcome.XFAIL if match["not"] or directive == "XFAIL" else Outcome.XPASS), reason
    if directive == "TIMEOUT":
        return Outcome.TEST_TIMEOUT, reason
    if directive == "ERROR":
        return Outcome.TEST_ERROR, reason
    return (Outcome.FAIL if match["not"] else Outcome.PASS), reason


def _missing(level: _Level) -> list[_Node]:
    seen = len(level.children)
    if level.planned is None or seen >= level.planned:
        return []
    reason = f"{level.planned} planned, {seen} reported"
    return [_Node("plan", Outcome.TEST_ERROR, reason)]


def _flatten(node: _Node, above: str) -> Iterator[KtapResult]:
    path = f"{above}/{node.name}" if above else node.name
    for child in node.children:
        yield from _flatten(child, path)
    explained = any(not child.outcome.expected for child in node.children)
    if not node.children or (not node.outcome.expected and not explained):
        yield KtapResult(path, node.outcome, node.reason)


def format_ktap(results: Iterable[KtapResult]) -> str:
    """Return `results` as a flat KTAP document, with a plan; `parse_ktap` reads it back."""
    rows = list(results)
    lines = ["KTAP version 1", f"1..{len(rows)}"]
    directives = {
        Outcome.SKIP: "SKIP",
        Outcome.XFAIL: "TODO",
        Outcome.XPASS: "TODO",
        Outcome.TEST_TIMEOUT: "TIMEOUT",
        Outcome.TEST_ERROR: "ERROR",
    }
    for number, row in enumerate(rows, start=1):
        good = row.outcome in (Outcome.PASS, Outcome.SKIP, Outcome.XPASS)
        directive = directives.get(row.outcome, "")
        reason = " ".join(row.reason.split())
        if row.outcome is Outcome.FAIL and reason:
            lines.append(f"# {reason}")
        tail = f" # {directive} {reason}".rstrip() if directive else ""
        name = " ".join(row.path.replace("#", " ").split())
        lines.append(f"{'ok' if good else 'not ok'} {number} {name}{tail}")
    return "\n".join(lines) + "\n"
