# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own test modules: loading one, and reading what it says in the kernel's log."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.testing.oracle import must

if TYPE_CHECKING:
    from harness.guest.guest import Guest

# Seconds; the most that the kernel takes.
_NO_STALL = 300
_MARKS = itertools.count(1)
# lib/test_vmalloc.c, at its end, for each kind of test.
_VMALLOC = re.compile(r"Summary: (?P<name>\w+) passed: (?P<passed>\d+) failed: (?P<failed>\d+)")
# lib/test_bpf.c, for each of its suites; the first names none.
_BPF = re.compile(
    r"test_bpf: (?:(?P<name>\w+): )?Summary: (?P<passed>\d+) PASSED, (?P<failed>\d+) FAILED"
    r"(?:, \[(?P<jited>\d+)/(?P<run>\d+) JIT'ed\])?"
)
# lib/test_meminit.c, for each kind of memory.
_MEMINIT_PASSED = re.compile(r"test_meminit: all (?P<passed>\d+) tests in (?P<name>\w+) passed")
_MEMINIT_FAILED = re.compile(
    r"test_meminit: (?P<name>\w+) failed (?P<failed>\d+) out of (?P<all>\d+) times"
)


@dataclass(frozen=True)
class Loaded:
    """What came of loading a module: modprobe's status and words, and the log's lines since."""

    status: int
    said: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Tally:
    """How a part of a test module ended; `interpreted` BPF programs were not compiled."""

    name: str
    passed: int
    failed: int
    interpreted: int = 0


def load_own(guest: Guest, name: str, *parameters: str, timeout: float) -> Loaded:
    """Load one of the kernel's own modules, and unload it again if it stayed.

    Raises:
        GuestDied: the kernel did not survive it.
        CommandTimeout: it took longer than `timeout` seconds.
    """
    mark = f"patchbed: own module {next(_MARKS)} {name}"
    loading = shlex.join(["modprobe", name, *parameters])
    script = (
        f"echo {shlex.quote(mark)} > /dev/kmsg; {loading}; status=$?; dmesg; "
        f"[ $status -ne 0 ] || rmmod {shlex.quote(name)}; exit $status"
    )
    done = guest.run(script, timeout=timeout)
    log = done.stdout.decode(errors="replace")
    # A long test's own words may have pushed the mark out of the kernel's buffer.
    lines = tuple(log.rpartition(mark)[2].splitlines())
    said = done.stderr.decode(errors="replace").strip()
    return Loaded(done.status, said, lines)


@contextmanager
def without_watchdogs(guest: Guest) -> Iterator[None]:
    """Have no watchdog bark meanwhile at a module that keeps its CPU for as long as it takes."""
    soft = "/proc/sys/kernel/watchdog"
    stall = "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout"
    before = must(guest, f"cat {soft} {stall}").split()
    must(guest, f"echo 0 > {soft}; echo {_NO_STALL} > {stall}")
    yield
    if guest.death is None:
        must(guest, f"echo {before[0]} > {soft}; echo {before[1]} > {stall}")


def vmalloc_tallies(lines: Iterable[str]) -> list[Tally]:
    """Return how the kinds of test in test_vmalloc ended, added up over its threads."""
    sums: dict[str, tuple[int, int]] = {}
    for line in lines:
        if match := _VMALLOC.search(line):
            passed, failed = sums.get(match["name"], (0, 0))
            sums[match["name"]] = passed + int(match["passed"]), failed + int(match["failed"])
    return [Tally(name, passed, failed) for name, (passed, failed) in sums.items()]


def bpf_tallies(lines: Iterable[str]) -> list[Tally]:
    """Return how the suites of test_bpf ended."""
    return [
        Tally(
            match["name"] or "test_bpf",
            int(match["passed"]),
            int(match["failed"]),
            int(match["run"] or 0) - int(match["jited"] or 0),
        )
        for line in lines
        if (match := _BPF.search(line))
    ]


def meminit_tallies(lines: Iterable[str]) -> list[Tally]:
    """Return how the kinds of memory in test_meminit fared."""
    tallies = []
    for line in lines:
        if match := _MEMINIT_PASSED.search(line):
            tallies.append(Tally(match["name"], int(match["passed"]), 0))
        elif match := _MEMINIT_FAILED.search(line):
            failed = int(match["failed"])
            tallies.append(Tally(match["name"], int(match["all"]) - failed, failed))
    return tallies
