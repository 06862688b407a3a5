# SPDX-License-Identifier: GPL-2.0-or-later
"""The in-guest oracle (testcases/shared/kernel/patchbed_oracle.c): asking, and reading it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import ParseError
from harness.measure.directmap import PAGE_SHIFT
from harness.measure.presence import Presence, Source

if TYPE_CHECKING:
    from harness.guest.guest import Guest

MODULE = "patchbed_oracle"
PAGE_SIZE = 1 << PAGE_SHIFT
FOLDER = "/sys/kernel/debug/patchbed"
# What is freed on a CPU is handed out there first, so that all that matters happens on one.
ONE_CPU = "taskset 1"
# Loading a module has effects on the direct map that come later; this shell command waits.
SETTLE = f"echo settle > {FOLDER}/control"
_LINES_A_WRITE = 60
# How long a command may take, in seconds. One that allocates took more than 60 beside other guests
# on two cores; where the kernel hangs its watchdogs tell before.
PATIENCE = 180.0
_WORDS = {"present": True, "absent": False, "readable": True, "faults": False}
_WORDS |= {"rw": True, "ro": False, "x": True, "nx": False}


@dataclass(frozen=True, slots=True)
class Page:
    """A page at `address` as the oracle module sees it.

    `level` is where the walk ended (1: 4K, 2: 2M, 3: 1G, 0: nowhere); `present` is what the walk
    says, `readable` what a read says.
    """

    address: int
    pfn: int
    level: int
    present: bool
    readable: bool
    writable: bool
    executable: bool

    @property
    def physical(self) -> int:
        """The page's physical address."""
        return self.pfn << PAGE_SHIFT

    def said(self) -> list[Presence]:
        """Return what the module's two ways say."""
        walk = Presence(Source.WALK, self.pfn, self.present)
        if self.present:
            walk = Presence(Source.WALK, self.pfn, True, self.writable, self.executable)
        return [walk, Presence(Source.READ, self.pfn, self.readable)]


def parse_pages(text: str) -> list[Page]:
    """Return the pages in an answer of the oracle module, one for each of a run's neighbours.

    Raises:
        ParseError: a line is not of the form that the module's source describes.
    """
    pages: list[Page] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            pages += _parse_run(line)
        except (ValueError, KeyError) as error:
            raise ParseError("the oracle module", number, f"not a run: {line[:80]!r}") from error
    return pages


def _parse_run(line: str) -> list[Page]:
    address, pfn, count, level, *words = line.split()
    present, readable, writable, executable = (_WORDS[word] for word in words)
    first = Page(
        int(address, 16), int(pfn, 16), int(level), present, readable, writable, executable
    )
    return [
        replace(first, address=first.address + number * PAGE_SIZE, pfn=first.pfn + number)
        for number in range(int(count))
    ]


def runs(pfns: Iterable[int]) -> list[range]:
    """Return frames as ranges of neighbours, in order and each frame once."""
    found: list[range] = []
    for pfn in sorted(set(pfns)):
        if found and found[-1].stop == pfn:
            found[-1] = range(found[-1].start, pfn + 1)
        else:
            found.append(range(pfn, pfn + 1))
    return found


class CommandFailed(AssertionError):
    """A command that a testcase relies on failed in the guest."""


def must(guest: Guest, command: str, *, timeout: float = PATIENCE) -> str:
    """Run `command` in the guest for `timeout` seconds at most, and return what it printed.

    Raises:
        CommandFailed: its status is not 0.
        CommandTimeout: it took longer.
    """
    done = guest.run(command, timeout=timeout)
    if done.status != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise CommandFailed(f"{command!r}: status {done.status}: {said}")
    return done.stdout.decode(errors="replace")


def scatter(holes: int) -> str:
    """Return a shell command that scatters free memory (see the module's source).

    What is to take pages from the `holes` has to follow in the same shell, under `ONE_CPU`.
    `Oracle.control("gather")` undoes it.
    """
    return f"echo scatter {holes} > {FOLDER}/control"


class Oracle:
    """The oracle module, loaded in the guest: what the kernel says of its own pages."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def control(self, *commands: str) -> None:
        """Give the module `commands`, on one CPU.

        Raises:
            CommandFailed: the module refuses one.
        """
        script = " && ".join(f"echo {command} > {FOLDER}/control" for command in commands)
        must(self._guest, f"{ONE_CPU} sh -c '{script}'")

    def hold(self, count: int, order: int, *words: str) -> None:
        """Hold `count` chunks of 2^`order` pages; the module's source lists the words.

        Raises:
            CommandFailed: the kernel does not give them.
        """
        self.control(" ".join(["hold", str(count), str(order), *words]))

    def faults(self) -> int:
        """Return how many allocations of the last `hold` had a fault injected into them."""
        return int(must(self._guest, f"cat {FOLDER}/faults"))

    def held(self) -> list[Page]:
        """Return all held pages, in the order of allocation."""
        return parse_pages(must(self._guest, f"cat {FOLDER}/held"))

    def contents(self) -> dict[int, str]:
        """Return what each held chunk contains, by its first frame.

        It is the 64-bit word that fills it, in hexadecimal, or "mixed".
        """
        lines = must(self._guest, f"cat {FOLDER}/contents").splitlines()
        rows = (line.split() for line in lines)
        return {int(pfn, 16): word for pfn, _, word in rows}

    def frames(self, pfns: Iterable[int]) -> list[Page]:
        """Return frames `pfns` at their places in the direct map, sorted."""
        return self._ask([f"frame {run.start:#x} {len(run)}" for run in runs(pfns)])

    def addresses(self, areas: Iterable[tuple[int, int]]) -> list[Page]:
        """Return the pages of `areas`: virtual address and number of pages."""
        return self._ask([f"address {start:#x} {pages}" for start, pages in areas])

    def _ask(self, lines: Sequence[str]) -> list[Page]:
        script = [f": > {FOLDER}/query"]
        for first in range(0, len(lines), _LINES_A_WRITE):
            part = "\n".join(lines[first : first + _LINES_A_WRITE])
            script.append(f"echo '{part}' >> {FOLDER}/query")
        return parse_pages(must(self._guest, " && ".join([*script, f"cat {FOLDER}/query"])))
