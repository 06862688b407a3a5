# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a kernel says nothing: what its CPUs do, as QEMU sees them, tells why."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from harness.errors import InfrastructureError

# The trap flag's neighbour in RFLAGS that lets interrupts through.
_IF = 0x200
# Looks that an examination takes, and the seconds from one to the next: a CPU that was in the
# same state in all of them is in it for good.
LOOKS = 6
_BETWEEN = 0.1
# How often an examination that found CPUs busy is made anew: on a loaded host a guest that only
# waits takes long over a tick of its clock.
_ROUNDS = 5
# Looks close to each other, and the seconds between them, that a CPU has to be deaf in once more:
# one that is busy freeing pages, say, has interrupts off in half of all looks, and in a storm of
# half an hour six that are far between will find it so.
_CLOSE_LOOKS = 100
_CLOSE = 0.02
_CPU = re.compile(r"^CPU#(\d+)", re.M)
_STATE = re.compile(
    r"RIP=([0-9a-f]+) RFL=([0-9a-f]+) \[[^\]]*\] CPL=(\d) II=\d A20=\d SMM=\d HLT=(\d)"
)


@dataclass(frozen=True)
class CpuState:
    """One CPU at one moment: where it is, and whether it can be interrupted."""

    number: int
    address: int
    interruptible: bool
    in_kernel: bool
    halted: bool

    @property
    def deaf(self) -> bool:
        """Whether it executes or waits in the kernel with interrupts off."""
        # What has not been started yet waits at the reset vector, far below the kernel.
        return self.in_kernel and not self.interruptible and self.address >> 63 == 1

    @property
    def idle(self) -> bool:
        """Whether it waits for an interrupt."""
        return self.halted and self.interruptible

    def __str__(self) -> str:
        does = "halted" if self.halted else "running"
        return (
            f"CPU {self.number}: {does} at {self.address:#x}, interrupts "
            f"{'on' if self.interruptible else 'off'}"
        )


class Verdict(StrEnum):
    """What silent CPUs do."""

    STUCK = "stuck"
    IDLE = "idle"
    BUSY = "busy"


def parse_registers(text: str) -> list[CpuState]:
    """Return the CPUs in what QEMU's `info registers -a` prints."""
    numbers = [int(number) for number in _CPU.findall(text)]
    found = _STATE.findall(text)
    return [
        CpuState(number, int(rip, 16), bool(int(flags, 16) & _IF), ring == "0", halted == "1")
        for number, (rip, flags, ring, halted) in zip(numbers, found, strict=False)
    ]


def judge(looks: Sequence[Sequence[CpuState]]) -> tuple[Verdict, CpuState | None]:
    """Return what the CPUs do that were looked at several times, and which one is stuck.

    Stuck is what had interrupts off in the kernel each time; idle is a machine that waited for
    an interrupt each time with all of its CPUs.
    """
    if not looks or not looks[0]:
        return Verdict.BUSY, None
    for cpu in looks[-1]:
        states = [state for look in looks for state in look if state.number == cpu.number]
        if len(states) == len(looks) and all(state.deaf for state in states):
            return Verdict.STUCK, cpu
    if all(state.idle for look in looks for state in look):
        return Verdict.IDLE, None
    return Verdict.BUSY, None


class LockupWatch:
    """Looks at a guest's CPUs now and then, in a thread of its own, while it runs commands.

    `look` returns the CPUs' states. When one is deaf at every look for `limit` seconds, and
    `last_word` (a time.monotonic()) is as old, it is looked at closely. If it is deaf all the time,
    `on_stuck` is called with it, once, and the watch ends. A kernel that writes much to its console
    has interrupts off most of the time. When QEMU does not answer, `on_error` is called with why,
    and the watch ends.
    """

    def __init__(
        self,
        look: Callable[[], list[CpuState]],
        last_word: Callable[[], float],
        on_stuck: Callable[[CpuState], None],
        on_error: Callable[[InfrastructureError], None],
        limit: float,
    ) -> None:
        self._look = look
        self._last_word = last_word
        self._on_stuck = on_stuck
        self._on_error = on_error
        self._limit = limit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lockup", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _watch(self) -> None:
        deaf = DeafCounter(self._limit)
        while not self._over.wait(self._limit / LOOKS):
            try:
                stuck = deaf.add(time.monotonic(), self._look(), self._last_word())
                if stuck is not None and not self._deaf_all_the_time(stuck):
                    deaf.forget(stuck)
                    stuck = None
            except InfrastructureError as error:
                if not self._over.is_set():
                    self._on_error(error)
                return
            if stuck is not None:
                self._on_stuck(stuck)
                return

    def _deaf_all_the_time(self, stuck: CpuState) -> bool:
        """Look closely; return whether a CPU listened at no look."""
        for _ in range(_CLOSE_LOOKS):
            if self._over.wait(_CLOSE):
                return False
            if not any(one.number == stuck.number and one.deaf for one in self._look()):
                return False
        return True


class DeafCounter:
    """Counts how long each CPU was deaf at every look."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._since: dict[int, float] = {}

    def add(self, now: float, states: Sequence[CpuState], last_word: float) -> CpuState | None:
        """Take one look at `now`; return a CPU that was deaf, and all silent, for the limit."""
        for state in states:
            if not state.deaf:
                self._since.pop(state.number, None)
                continue
            since = max(self._since.setdefault(state.number, now), last_word)
            if now - since >= self._limit:
                return state
        return None

    def forget(self, state: CpuState) -> None:
        """Begin anew with a CPU that was found to listen."""
        self._since.pop(state.number, None)


def examine(look: Callable[[], list[CpuState]]) -> tuple[Verdict, CpuState | None, list[CpuState]]:
    """Look at the CPUs several times; return the verdict, the stuck CPU, and the last look.

    It takes LOOKS tenths of a second, five times as long where they stay busy. Raises what `look`
    raises.
    """
    for _round in range(_ROUNDS):
        looks = [look()]
        while len(looks) < LOOKS:
            time.sleep(_BETWEEN)
            looks.append(look())
        verdict, stuck = judge(looks)
        if verdict is not Verdict.BUSY:
            break
    return verdict, stuck, looks[-1]
