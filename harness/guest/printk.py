# SPDX-License-Identifier: GPL-2.0-or-later
"""One line of a console, taken apart: what printk put before it, and who said it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A line that says it is older than what was said before by more than this (seconds) was not
# printed now: somebody writes an old log to the console. CPUs' clocks differ by less.
OLD = 5.0

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])")
# What printk puts before its text. A process's own output has none of it, and may stand before
# it on the same line.
_PREFIX = re.compile(
    r"(?:<(?P<syslog>\d{1,4})>)?\[ *(?P<time>\d{1,9}\.\d{6})\]"
    r"(?:\[ *(?P<caller>[TC]\d+)\])? "
)
# The first line of a kernel's log: its clock begins again.
_FIRST = re.compile(r"Linux version \d")


@dataclass(frozen=True)
class Line:
    """A line with printk's prefix.

    `time` is in seconds. `caller` is T and a thread's id or C and a CPU's number, "" where the
    kernel does not tell it (CONFIG_PRINTK_CALLER). `facility` is who logged it as syslog(3)
    numbers them, 0 the kernel, 1 a process; None where the console's format does not tell
    (console_msg_format=syslog). `shown` is the line without what a process put before it, and
    without the number that stands for level and facility.
    """

    time: float
    caller: str
    facility: int | None
    text: str
    shown: str


class LineReader:
    """Takes a console's lines one by one and gives those that the kernel itself said.

    Once a line named its facility, all of the kernel's do: what does not, or names another than
    the kernel's, comes from a process; so does what is older than the log's end by OLD seconds.
    """

    def __init__(self) -> None:
        self._strict = False
        self._latest = 0.0

    def read(self, raw: bytes) -> Line | None:
        """Return the kernel's line in `raw` (without its end), None where there is none."""
        line = parse_line(raw)
        if line is None:
            return None
        self._strict = self._strict or line.facility is not None
        if self._strict and line.facility != 0:
            return None
        if _FIRST.match(line.text):
            self._latest = line.time
        if line.time < self._latest - OLD:
            return None
        self._latest = max(self._latest, line.time)
        return line


def parse_line(raw: bytes) -> Line | None:
    """Return what `raw` says after printk's prefix, None where it has none.

    NUL bytes, colours, carriage returns and whatever stands before the prefix are dropped; bytes
    that are no UTF-8 are replaced.
    """
    line = clean(raw)
    prefix = _PREFIX.search(line)
    if prefix is None:
        return None
    level = prefix["syslog"]
    return Line(
        time=float(prefix["time"]),
        caller=prefix["caller"] or "",
        facility=None if level is None else int(level) >> 3,
        text=line[prefix.end() :].rstrip(),
        shown=line[line.index("[", prefix.start()) :].rstrip(),
    )


def clean(raw: bytes) -> str:
    """Return `raw` as text, without NUL bytes, escape sequences and carriage returns."""
    text = raw.replace(b"\0", b"").decode("utf-8", errors="replace")
    return _ESCAPE.sub("", text).replace("\r", "")
