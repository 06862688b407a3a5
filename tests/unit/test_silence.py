# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InfrastructureError
from harness.guest import silence
from harness.guest.silence import (
    LOOKS,
    CpuState,
    DeafCounter,
    LockupWatch,
    Verdict,
    examine,
    judge,
    parse_registers,
)
from harness.outcomes import Outcome

KERNEL = 0xFFFFFFFF81000000
# What QEMU 7.2 prints, but for most registers.
REGISTERS = """\

CPU#0
RAX=0000000000000000 RBX=ffff888000a1ca40 RCX=0000000000000001 RDX=ffff888000cf43e4
RIP=ffffffff810b2e16 RFL=00000202 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]

CPU#1
RIP=ffffffffc00000e3 RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0

CPU#2
RIP=000000000047fbe9 RFL=00000246 [---Z-P-] CPL=3 II=0 A20=1 SMM=0 HLT=0
"""


def cpu(number: int = 0, *, deaf: bool = False, halted: bool = False) -> CpuState:
    return CpuState(number, KERNEL, not deaf, True, halted)


def test_registers_are_read() -> None:
    idle, stuck, user = parse_registers(REGISTERS)
    assert idle == CpuState(0, 0xFFFFFFFF810B2E16, True, True, True)
    assert (idle.idle, idle.deaf) == (True, False)
    assert (stuck.idle, stuck.deaf) == (False, True)
    assert (user.idle, user.deaf, user.in_kernel) == (False, False, False)
    assert str(stuck) == "CPU 1: running at 0xffffffffc00000e3, interrupts off"


def test_a_cpu_that_was_not_started_is_not_stuck() -> None:
    assert not CpuState(1, 0xFFF0, False, True, True).deaf


def test_verdicts() -> None:
    idle, busy, deaf = cpu(halted=True), cpu(), cpu(1, deaf=True)
    assert judge([]) == (Verdict.BUSY, None)
    assert judge([[idle, cpu(1, halted=True)]] * 3) == (Verdict.IDLE, None)
    assert judge([[busy, cpu(1)]] * 3) == (Verdict.BUSY, None)
    assert judge([[idle, deaf]] * 3) == (Verdict.STUCK, deaf)
    assert judge([[idle, deaf], [idle, cpu(1)], [idle, deaf]]) == (Verdict.BUSY, None)
    assert judge([[cpu(deaf=True, halted=True)]] * 3)[0] is Verdict.STUCK


def test_an_examination_takes_several_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "_BETWEEN", 0.001)
    looks: list[int] = []

    def look() -> list[CpuState]:
        looks.append(1)
        return [cpu(deaf=len(looks) % LOOKS != 2)]

    assert examine(look)[0] is Verdict.BUSY
    assert len(looks) % LOOKS == 0


def test_an_idle_guest_may_be_busy_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "_BETWEEN", 0.001)
    looks: list[int] = []

    def look() -> list[CpuState]:
        looks.append(1)
        return [cpu(halted=len(looks) not in (2, LOOKS + 3))]

    assert examine(look)[0] is Verdict.IDLE
    assert len(looks) == 3 * LOOKS


def test_only_a_long_deafness_counts() -> None:
    counter = DeafCounter(10)
    deaf = [cpu(), cpu(1, deaf=True)]
    assert counter.add(0, deaf, 0) is None
    assert counter.add(9, deaf, 0) is None
    assert counter.add(9.5, [cpu(), cpu(1)], 0) is None
    assert counter.add(10, deaf, 0) is None
    assert counter.add(19.9, deaf, 0) is None
    assert counter.add(20, deaf, 15) is None
    assert counter.add(25, deaf, 15) == deaf[1]


@given(st.lists(st.booleans(), max_size=40))
def test_whoever_listens_once_in_a_while_is_not_stuck(deaf: list[bool]) -> None:
    counter = DeafCounter(5)
    run = 0
    for now, is_deaf in enumerate(deaf):
        run = run + 1 if is_deaf else 0
        assert (counter.add(now, [cpu(deaf=is_deaf)], 0) is not None) == (run > 5)


def watch(states: list[CpuState] | InfrastructureError, limit: float) -> list[object]:
    told: list[object] = []
    done = threading.Event()

    def look() -> list[CpuState]:
        if isinstance(states, InfrastructureError):
            raise states
        return states

    def tell(what: object) -> None:
        told.append(what)
        done.set()

    with LockupWatch(look, lambda: 0.0, tell, tell, limit):
        done.wait(1.0)
    return told


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "_CLOSE", 0.0)


@pytest.mark.usefixtures("no_pauses")
def test_who_listens_when_looked_at_closely_is_not_stuck() -> None:
    """If this failed, a storm that frees pages all the time would be told as a lockup."""
    looks = 0

    def look() -> list[CpuState]:
        nonlocal looks
        looks += 1
        # Deaf at whatever the watch sees from afar, and in most looks from close by.
        return [cpu(deaf=looks % 30 != 0)]

    told: list[object] = []
    with LockupWatch(look, lambda: 0.0, told.append, told.append, 0.06):
        time.sleep(0.5)
    assert not told
    assert looks > 60


@pytest.mark.usefixtures("no_pauses")
def test_a_watch_tells_once_and_ends() -> None:
    stuck = cpu(deaf=True)
    assert watch([stuck], 0.06) == [stuck]
    assert watch([cpu()], 0.06) == []
    error = InfrastructureError(Outcome.INFRA_QEMU, "no answer")
    assert watch(error, 0.06) == [error]


def test_a_watch_ends_at_once() -> None:
    start = time.monotonic()
    with LockupWatch(list, lambda: 0.0, lambda _cpu: None, lambda _error: None, 1000.0):
        pass
    assert time.monotonic() - start < 100


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    parse_registers(text)
