# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a kernel's console for what it says about its own troubles."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.outcomes import Outcome

# How much of a report is kept. An oops with its registers, stack and modules has 45 lines or so.
MAX_LINES = 64
# A line without an end is cut here, so that a flood of bytes can't fill memory.
MAX_LINE = 4096

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])")
# What printk puts before its text: level, time, caller. A process's own output has none, and may
# stand before it on the same line.
_PREFIX = re.compile(r"(?:<\d+>)?\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ")
# panic() names the offset last before it resets the machine, which panic=-1 makes it do.
_END = re.compile(r"---\[ end (?:trace|Kernel panic)|Kernel Offset: ")
_PANIC = re.compile(r"Kernel panic - not syncing")

# The first pattern that a line starts with (or holds, where it begins with .*) decides.
_STARTS: tuple[tuple[re.Pattern[str], Outcome], ...] = tuple(
    (re.compile(pattern), outcome)
    for pattern, outcome in (
        (r"Kernel panic - not syncing", Outcome.KERNEL_PANIC),
        (r"(?:watchdog: )?BUG: soft lockup", Outcome.KERNEL_LOCKUP),
        (r".*Watchdog detected hard LOCKUP", Outcome.KERNEL_LOCKUP),
        (r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected .*stall", Outcome.KERNEL_LOCKUP),
        (r"INFO: task .+ blocked for more than", Outcome.KERNEL_HUNG_TASK),
        (r"INFO: task .+ blocked in I/O wait", Outcome.KERNEL_HUNG_TASK),
        (r"BUG: (?:Bad (?:page|rss)|sleeping function|scheduling while)", Outcome.KERNEL_WARN),
        (r"BUG: (?:workqueue lockup|KCSAN|using __?this_cpu|using smp)", Outcome.KERNEL_WARN),
        (r"BUG: (?:spinlock|rwlock|MAX_|atomic|assuming)", Outcome.KERNEL_WARN),
        (r"BUG: |kernel BUG at |PANIC: |traps: PANIC: ", Outcome.KERNEL_OOPS),
        (r"Oops: |general protection fault|Unable to handle kernel", Outcome.KERNEL_OOPS),
        (r"[\w ]+(?:, [^:]*)?: [0-9a-f]{4} \[#\d+\]", Outcome.KERNEL_OOPS),
        (r"WARNING: ", Outcome.KERNEL_WARN),
        (r"UBSAN: |=+\s*UBSAN", Outcome.KERNEL_WARN),
    )
)


@dataclass(frozen=True)
class Report:
    """One trouble that the kernel reported: its kind, its first line, and its lines as they came.

    `outcome` is kernel.panic, oops, lockup, hung_task, or warn (after which it lives on).
    """

    outcome: Outcome
    title: str
    lines: tuple[str, ...]

    @property
    def fatal(self) -> bool:
        """Whether the guest can't be used any more."""
        return self.outcome.kernel_died


@dataclass
class _Open:
    """A report that is still coming."""

    outcome: Outcome
    title: str
    lines: list[str] = field(default_factory=list)

    def close(self) -> Report:
        return Report(self.outcome, self.title, tuple(self.lines))


class CrashDetector:
    """Takes a console's bytes as they come and gives the kernel's reports.

    How the bytes are cut does not matter. A report ends with the kernel's own mark, after
    MAX_LINES lines, or when `flush` is called (the console is quiet or closed). What follows the
    first fatal report, such as the panic after an oops, is its consequence.
    """

    def __init__(self) -> None:
        self._partial = b""
        self._open: _Open | None = None

    @property
    def open(self) -> bool:
        """Whether a report has begun that has not ended."""
        return self._open is not None

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
        """Return the report that has begun, if any, as ended; a line without an end counts."""
        partial, self._partial = self._partial, b""
        reports = self._line(partial)
        if self._open is not None:
            reports.append(self._open.close())
            self._open = None
        return reports

    def _line(self, raw: bytes) -> list[Report]:
        line = _clean(raw)
        prefix = _PREFIX.search(line)
        if prefix is None:
            return []
        text = line[prefix.end() :].rstrip()
        if self._open is None:
            outcome = classify(text)
            if outcome is None:
                return []
            self._open = _Open(outcome, text)
        elif self._open.outcome is Outcome.KERNEL_WARN:
            self._worsen(text)
        self._open.lines.append(line[prefix.start() :].rstrip())
        if _END.search(text) or len(self._open.lines) >= MAX_LINES:
            report = self._open.close()
            self._open = None
            return [report]
        return []

    def _worsen(self, text: str) -> None:
        """Let what comes within a warning and is worse take its place (panic_on_warn)."""
        outcome = classify(text)
        if self._open is not None and outcome is not None and outcome.kernel_died:
            self._open.outcome, self._open.title = outcome, text


def classify(text: str) -> Outcome | None:
    """Return what the first line of a report means; None where `text` begins no report.

    `text` is a line of the kernel's log without its prefix.
    """
    for pattern, outcome in _STARTS:
        if pattern.match(text):
            return outcome
    return None


def _clean(raw: bytes) -> str:
    text = raw.replace(b"\0", b"").decode("utf-8", errors="replace")
    return _ESCAPE.sub("", text).replace("\r", "")
