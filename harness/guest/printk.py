# SPDX-License-Identifier: GPL-2.0-or-later
"""One line of a console, taken apart: what printk put before it, and who said it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\-_])")
# What printk puts before its text. A process's own output has none of it, and may stand before
# it on the same line.
_PREFIX = re.compile(
    r"(?:<(?P<syslog>\d{1,4})>)?\[ *(?P<time>\d{1,9}\.\d{6})\]"
    r"(?:\[ *(?P<caller>[TC]\d+)\])? "
)
_BEGINS = re.compile(r"<\d{1,4}>\[ *\d{1,9}\.\d{6}\]")


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
    the kernel's, comes from a process.
    """

    def __init__(self) -> None:
        self._strict = False

    def read(self, raw: bytes) -> list[Line]:
        """Return the kernel's lines in `raw`, a line of the console without its end.

        They are several where one was cut, by an NMI or a reset, and the next begins behind it.
        """
        text = clean(raw)
        starts = [found.start() for found in _BEGINS.finditer(text)]
        pieces = [
            text[start:end]
            for start, end in pairwise([min(starts[:1], default=0), *starts[1:], len(text)])
        ]
        lines = []
        for piece in pieces:
            line = parse_line(piece)
            if line is not None:
                self._strict = self._strict or line.facility is not None
                if line.facility == 0 or not self._strict:
                    lines.append(line)
        return lines


def parse_line(line: str) -> Line | None:
    """Return what `line` says after printk's prefix, None where it has none."""
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
    """Return `raw` as text, without NUL bytes, escape sequences and carriage returns.

    Bytes that are no UTF-8 are replaced.
    """
    text = raw.replace(b"\0", b"").decode("utf-8", errors="replace")
    return _ESCAPE.sub("", text).replace("\r", "")
