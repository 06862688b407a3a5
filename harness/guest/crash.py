# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a kernel's console for what it says about its own troubles."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.guest.frames import Frame, find_frames, fingerprint, guilty
from harness.guest.printk import Line, LineReader
from harness.guest.trouble import CUT_HERE, PANIC_ON_WARN, RULER, Kind, classify, dies, ends
from harness.outcomes import Outcome

# How much of a report is kept. An oops with its registers, stack and modules has 45 lines or so,
# lockdep's longest 150.
MAX_LINES = 200
# A line without an end is cut here, so that a flood of bytes can't fill memory.
MAX_LINE = 4096
# How many lines may stand between "cut here" and the line that says what happened.
_MAX_PREFACE = 12
# How many reports are remembered, to tell them from their copies.
_MAX_SEEN = 4096
# Threads and CPUs whose reports are told apart at a time; more than this no machine of ours has.
_MAX_CALLERS = 64


@dataclass(frozen=True)
class Report:
    """One trouble that the kernel reported.

    `title` is the line that names it, `lines` are all of its lines as they came, from the time
    on. `frames` is the stack that it shows, innermost first, and empty where it shows none.
    """

    kind: Kind
    title: str
    lines: tuple[str, ...]
    frames: tuple[Frame, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Its kind of outcome: one of kernel.*."""
        return self.kind.outcome

    @property
    def fatal(self) -> bool:
        """Whether the guest can't be used any more."""
        return dies(self.kind)

    @property
    def function(self) -> str:
        """The function to blame, "" where the report names none."""
        return guilty(self.kind, self.frames)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits, the same for the same trouble in another boot."""
        return fingerprint(self.kind, self.title, self.frames)


@dataclass
class _Open:
    """A report that is still coming; without a kind it is only announced."""

    kind: Kind | None = None
    title: str = ""
    # The title's line with its time.
    named: str = ""
    lines: list[Line] = field(default_factory=list)

    def close(self) -> Report | None:
        if self.kind is None:
            return None
        frames = find_frames(self.kind, [line.text for line in self.lines])
        lines = tuple(line.shown for line in self.lines)
        return Report(self.kind, self.title, lines, frames)


class CrashDetector:
    """Takes a console's bytes as they come and gives the kernel's reports.

    How the bytes are cut does not matter. A report ends with the kernel's own mark, where
    another begins, after MAX_LINES lines, or when `flush` is called (the console is quiet or
    closed). What follows within a fatal report, such as the panic after an oops, is its
    consequence. Where printk names its callers, reports that CPUs print at the same time are
    taken apart. What was reported already, to the microsecond, is a copy that a process wrote
    to the console (`dmesg -r`), and no report.
    """

    def __init__(self) -> None:
        self._partial = b""
        self._lines = LineReader()
        self._open: dict[str, _Open] = {}
        self._seen: set[str] = set()

    @property
    def open(self) -> bool:
        """Whether a report has begun that has not ended."""
        return any(report.kind is not None for report in self._open.values())

    def feed(self, data: bytes) -> list[Report]:
        """Take the console's next bytes; return the reports that end within them."""
        reports: list[Report] = []
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            for start in range(0, max(len(line), 1), MAX_LINE):
                reports += self._line(line[start : start + MAX_LINE])
        while len(self._partial) >= MAX_LINE:
            reports += self._line(self._partial[:MAX_LINE])
            self._partial = self._partial[MAX_LINE:]
        return reports

    def flush(self) -> list[Report]:
        """Return the reports that have begun as ended; a line without an end counts."""
        partial, self._partial = self._partial, b""
        reports = self._line(partial)
        for unfinished in self._open.values():
            reports += self._close(unfinished)
        self._open.clear()
        return reports

    def _line(self, raw: bytes) -> list[Report]:
        return [report for line in self._lines.read(raw) for report in self._take(line)]

    def _take(self, line: Line) -> list[Report]:
        current = self._open.get(line.caller)
        kind = classify(line.text)
        reports: list[Report] = []
        if (
            current is not None
            and current.kind is not None
            and _interrupts(current.kind, kind, line)
        ):
            reports = self._close(current)
            current = None
        if current is None:
            if kind is None and not _announces(line.text):
                return reports
            current = self._begin(line.caller)
        current.lines.append(line)
        if kind is not None and _takes_over(current.kind, kind):
            current.kind, current.title, current.named = kind, line.text, line.shown
        return reports + self._finish(current, line)

    def _begin(self, caller: str) -> _Open:
        if len(self._open) >= _MAX_CALLERS:
            self._open.pop(next(iter(self._open)))
        self._open[caller] = current = _Open()
        return current

    def _finish(self, current: _Open, line: Line) -> list[Report]:
        """Close the report if `line`, its last so far, ends it."""
        if current.kind is None:
            # Announced, but what follows is nothing we know: a ruler may frame anything.
            over = len(current.lines) > _MAX_PREFACE
        else:
            first = current.lines[0] is line
            over = (not first and ends(current.kind, line.text)) or len(current.lines) >= MAX_LINES
        if not over:
            return []
        del self._open[line.caller]
        return self._close(current)

    def _close(self, current: _Open) -> list[Report]:
        report = current.close()
        if report is None or current.named in self._seen:
            return []
        if len(self._seen) < _MAX_SEEN:
            self._seen.add(current.named)
        return [report]


def _announces(text: str) -> bool:
    return CUT_HERE.match(text) is not None or (RULER.match(text) is not None and len(text) > 20)


def _interrupts(current: Kind | None, kind: Kind | None, line: Line) -> bool:
    """Return whether a report of a living kernel ends because `line` begins another."""
    if current is None or dies(current):
        return False
    if CUT_HERE.match(line.text):
        return True
    return kind is not None and PANIC_ON_WARN.match(line.text) is None


def _takes_over(current: Kind | None, kind: Kind) -> bool:
    """Return whether `kind`, met within a report, is what that report is about."""
    if current is None:
        return True
    if current is Kind.OOPS:
        return kind in (Kind.DOUBLE_FAULT, Kind.STACK_OVERFLOW)
    return not dies(current) and dies(kind)
