# SPDX-License-Identifier: GPL-2.0-or-later
"""KTAP as the kernel writes it (Documentation/dev-tools/ktap.rst), alone or within its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from harness.outcomes import Outcome

# printk's prefixes: the level in raw records, the time stamp, the caller (PRINTK_CALLER).
_PREFIX = re.compile(r"^(?:<\d+>)?(?:\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?)?")
_RESULT = re.compile(
    r"^(?P<indent> *)(?P<not>not )?ok (?P<number>\d+)(?: +(?P<text>.*?))?\s*$", re.IGNORECASE
)
_DIRECTIVE = re.compile(
    r"^(?P<directive>SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:? *(?P<reason>.*)$", re.IGNORECASE
)
_PLAN = re.compile(r"^(?P<indent> *)1\.\.(?P<count>\d+)(?: *# *SKIP\b:? *(?P<reason>.*))?\s*$")
_SUBTEST = re.compile(r"^(?P<indent> *)# Subtest: (?P<name>.*?)\s*$")
_DIAGNOSTIC = re.compile(r"^ *# (?P<text>.*?)\s*$")
_VERSION = re.compile(r"^(?P<indent> *)K?TAP version \d+\s*$")
# Of TAP; kselftest's programs still say it.
_BAIL = re.compile(r"^ *Bail out! *(?P<reason>.*?)\s*$")
# KUnit says on lines of their own, without a "#", what it expected and what it got.
_EXPECTED = re.compile(r"^ +(?:Expected .*|\S.* == \S.*)$")
_INDENT = "  "


@dataclass(frozen=True)
class KtapResult:
    """A test's result: `path` from the suite down to the test, joined by `/`.

    `reason` is what its directive says or, for a failure, its diagnostic data or lines.
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
    """Results that are indented by `indent`, below a test whose own result has not come yet.

    `started` is whether a version line, a plan or a name was seen; `last` the number of the
    result before, 0 before the first and where none is known.
    """

    indent: int
    name: str = ""
    planned: int | None = None
    started: bool = False
    last: int = 0
    children: list[_Node] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.name or self.children or self.planned is not None)

    def nodes(self) -> list[_Node]:
        """Return the results, and an error where they are not as many as planned."""
        seen = len(self.children)
        if self.planned is None or seen == self.planned:
            return self.children
        reason = f"{self.planned} planned, {seen} reported"
        return [*self.children, _Node("plan", Outcome.TEST_ERROR, reason)]


def parse_ktap(lines: Iterable[str]) -> list[KtapResult]:
    """Return the results in `lines`, innermost tests only, in their order.

    Lines that are no KTAP (a kernel's log around and between the results) are passed over. What
    was announced and never reported is a `test.error`: a test that has begun, fewer results than
    planned (or more), a number that is left out. A test with subtests appears itself only where
    it failed for a reason of its own. Several documents may follow each other.
    """
    return list(_Parser().parse(lines))


class _Parser:
    def __init__(self) -> None:
        # From the outermost to the innermost, each indented more than the one before.
        self._levels = [_Level(0)]
        self._diagnostics: list[str] = []
        self._ended: list[_Node] = []

    def parse(self, lines: Iterable[str]) -> Iterator[KtapResult]:
        for raw in lines:
            self._line(_PREFIX.sub("", raw.rstrip("\r\n"), count=1))
        self._end_document()
        for node in self._ended:
            yield from _flatten(node, "")

    def _line(self, line: str) -> None:
        if match := _RESULT.match(line):
            self._result(match)
        elif match := _VERSION.match(line):
            self._begin(len(match["indent"])).started = True
        elif match := _PLAN.match(line):
            self._plan(match)
        elif match := _SUBTEST.match(line):
            self._subtest(match)
        elif match := _BAIL.match(line):
            reason = match["reason"] or "the test gave up"
            self._levels[-1].children.append(_Node("bail out", Outcome.TEST_ERROR, reason))
            self._levels[-1].planned = None
        elif match := _DIAGNOSTIC.match(line):
            self._diagnostics.append(match["text"])
        elif self._diagnostics and _EXPECTED.match(line):
            self._diagnostics[-1] += f" {line.strip()}"

    def _begin(self, indent: int) -> _Level:
        """Return a level without results, for a version line; what stands there has ended."""
        level = self._level(indent)
        if not level.empty or level.started:
            if level.indent == 0:
                self._end_document()
            else:
                self._close_unreported()
            level = self._level(indent)
        return level

    def _level(self, indent: int) -> _Level:
        """Return the innermost level, made one of `indent`; deeper ones have ended unreported."""
        while self._levels[-1].indent > indent:
            self._close_unreported()
        if self._levels[-1].indent < indent:
            self._levels.append(_Level(indent))
        return self._levels[-1]

    def _plan(self, match: re.Match[str]) -> None:
        level = self._level(len(match["indent"]))
        # A plan may come last, but only where it is that of the whole.
        if level.children and (level.planned is not None or level.indent):
            level = self._begin(level.indent)
        level.planned = int(match["count"])
        if match["reason"] is not None and level.planned == 0:
            level.planned = None
            name = level.name or "plan"
            level.children.append(_Node(name, Outcome.SKIP, match["reason"].strip()))

    def _subtest(self, match: re.Match[str]) -> None:
        if not match["indent"]:
            # A remark: the outermost results belong to no test.
            return
        level = self._level(len(match["indent"]))
        if level.name or level.children:
            level = self._begin(level.indent)
        level.name = match["name"]

    def _result(self, match: re.Match[str]) -> None:
        indent, number = len(match["indent"]), int(match["number"])
        # The innermost level that is deeper holds the subtests; deeper ones have no result.
        while len(self._levels) > 1 and self._levels[-2].indent > indent:
            self._close_unreported()
        inner = self._levels.pop() if self._levels[-1].indent > indent else _Level(0)
        level = self._level(indent)
        name, outcome, reason = _judge(match)
        if outcome is Outcome.FAIL and not reason:
            reason = "; ".join(self._diagnostics)
        self._diagnostics.clear()
        self._note_lost(level, number)
        name = name or inner.name or f"test {number}"
        level.children.append(_Node(name, outcome, reason, inner.nodes()))

    def _note_lost(self, level: _Level, number: int) -> None:
        """Tell of results whose lines are lost, as their numbers say; the plan says it too.

        KUnit before 6.6 numbers a kernel's suites on and on, so the outermost may begin anywhere.
        """
        if level.planned is None and (level.last or level.indent) and number > level.last + 1:
            lost = f"no result between {level.last} and {number}"
            level.children.append(_Node("lost", Outcome.TEST_ERROR, lost))
        level.last = number

    def _close_unreported(self) -> None:
        level = self._levels.pop()
        if level.empty:
            return
        reason = "; ".join(["ended without a result", *self._diagnostics[-3:]])
        node = _Node(level.name or "unnamed", Outcome.TEST_ERROR, reason, level.nodes())
        self._levels[-1].children.append(node)

    def _end_document(self) -> None:
        while len(self._levels) > 1:
            self._close_unreported()
        self._ended += self._levels.pop().nodes()
        self._levels.append(_Level(0))


def _judge(match: re.Match[str]) -> tuple[str, Outcome, str]:
    """Return the name, the outcome and the reason on a result's line."""
    description, _, data = (match["text"] or "").partition("#")
    name = re.sub(r"^-(?: +|$)", "", description).strip()
    found = _DIRECTIVE.match(data.strip())
    if found is None:
        outcome = Outcome.FAIL if match["not"] else Outcome.PASS
        return name, outcome, data.strip() if match["not"] else ""
    directive, reason = found["directive"].upper(), found["reason"].strip()
    outcome = {
        "SKIP": Outcome.SKIP,
        "TIMEOUT": Outcome.TEST_TIMEOUT,
        "ERROR": Outcome.TEST_ERROR,
        "XFAIL": Outcome.XFAIL,
        "TODO": Outcome.XFAIL if match["not"] else Outcome.XPASS,
    }[directive]
    return name, outcome, reason


def _flatten(node: _Node, above: str) -> Iterator[KtapResult]:
    path = f"{above}/{node.name}" if above else node.name
    for child in node.children:
        yield from _flatten(child, path)
    explained = any(not child.outcome.expected for child in node.children)
    if not node.children or (not node.outcome.expected and not explained):
        yield KtapResult(path, node.outcome, node.reason)


_DIRECTIVES = {
    Outcome.SKIP: "SKIP",
    Outcome.XFAIL: "XFAIL",
    Outcome.XPASS: "TODO",
    Outcome.TEST_TIMEOUT: "TIMEOUT",
    Outcome.FAIL: "",
}


def format_ktap(results: Iterable[KtapResult]) -> str:
    """Return `results` as a KTAP document, nested as their paths are; `parse_ktap` reads it back.

    What KTAP has no word for (a kernel that died, trouble with the host) is an ERROR, whose
    reason begins with the outcome.
    """
    rows = [([_word(part) for part in row.path.split("/")], row) for row in results]
    return "\n".join(["KTAP version 1", *_document(rows, "")]) + "\n"


_Row = tuple[list[str], KtapResult]


def _document(rows: list[_Row], indent: str) -> Iterator[str]:
    # A test and its subtests stay together only where they follow each other.
    groups = [list(group) for _, group in groupby(rows, lambda row: (row[0][0], len(row[0]) > 1))]
    groups = [part for group in groups for part in _single(group)]
    yield f"{indent}1..{len(groups)}"
    for number, group in enumerate(groups, start=1):
        [first, *rest], row = group[0]
        if not rest:
            yield f"{indent}{_result_line(number, first, row)}"
            continue
        yield f"{indent}{_INDENT}KTAP version 1"
        yield from _document([(path[1:], row) for path, row in group], indent + _INDENT)
        good = all(row.outcome.expected or row.outcome is Outcome.XPASS for _, row in group)
        yield f"{indent}{'ok' if good else 'not ok'} {number} {first}"


def _single(group: list[_Row]) -> list[list[_Row]]:
    """Return tests of one name without subtests each for itself, those with some together."""
    return [group] if len(group[0][0]) > 1 else [[row] for row in group]


def _result_line(number: int, name: str, row: KtapResult) -> str:
    outcome, reason = row.outcome, " ".join(row.reason.split())
    word = "ok" if outcome in (Outcome.PASS, Outcome.SKIP, Outcome.XPASS) else "not ok"
    line = f"{word} {number} {name}"
    if outcome is Outcome.PASS:
        return line
    directive = _DIRECTIVES.get(outcome, "ERROR")
    if directive == "ERROR" and outcome is not Outcome.TEST_ERROR:
        reason = f"{outcome}: {reason}" if reason else str(outcome)
    if not directive and _DIRECTIVE.match(reason):
        reason = f"reason: {reason}"
    data = f"{directive} {reason}".strip()
    return f"{line} # {data}" if data else line


def _word(name: str) -> str:
    """Return a part of a path as a description can have it."""
    words = re.sub(r"^(?:- *)+", "", " ".join(name.replace("#", " ").split()))
    return words or "unnamed"
