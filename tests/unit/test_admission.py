# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.guest import admission
from harness.guest.admission import Room, admit, fits, host_room

HOST = Room(10_000, 8)
ONE = Room(4096, 2)
HOLDER = """\
import sys, time
from harness.guest.admission import Room, admit
with admit(Room(int(sys.argv[1]), 1)):
    print("in", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _small_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(admission, "host_room", lambda: HOST)


def slots(tmp_path: Path) -> int:
    return len(list((tmp_path / "patchbed" / "guests").glob("*.slot")))


@pytest.mark.parametrize(
    ("wanted", "taken", "answer"),
    [
        (ONE, [], True),
        (Room(99_999, 99), [], True),
        (ONE, [ONE], True),
        (ONE, [ONE, ONE], False),
        (Room(1, 7), [Room(1, 2)], False),
        (Room(1, 6), [Room(1, 2)], True),
    ],
)
def test_what_fits(wanted: Room, taken: list[Room], answer: bool) -> None:
    assert fits(wanted, taken, HOST) is answer


def test_the_host_has_some_room() -> None:
    room = host_room()
    assert room.memory_mib > 100
    assert room.cpus >= 8


def test_a_guest_waits_for_another_to_end_and_says_so(tmp_path: Path) -> None:
    told: list[str] = []
    order: list[str] = []
    may_end = threading.Event()
    is_in = threading.Event()

    def first() -> None:
        with admit(Room(9000, 2)):
            is_in.set()
            may_end.wait(10)
            order.append("first ends")

    thread = threading.Thread(target=first)
    thread.start()
    is_in.wait(10)
    threading.Timer(0.3, may_end.set).start()
    with admit(ONE, told.append):
        order.append("second starts")
    thread.join()
    assert order == ["first ends", "second starts"]
    assert told == [
        "waiting for room for 4096 MiB and 2 CPUs: 1 guests hold 9000 of 10000 MiB and 2 of 8 CPUs"
    ]
    assert slots(tmp_path) == 0


def test_the_room_of_the_dead_is_free_again(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, "9000"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        told: list[str] = []
        threading.Timer(0.3, holder.kill).start()
        start = time.monotonic()
        with admit(ONE, told.append):
            assert slots(tmp_path) == 1
    assert told
    assert time.monotonic() - start < 30


def test_who_has_a_guest_waits_for_no_other() -> None:
    told: list[str] = []
    with admit(Room(9000, 2)), admit(Room(9000, 2), told.append):
        pass
    assert told == []


def test_late_is_better_than_never(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, "9000"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        with admit(ONE, lambda _text: None, patience=0.5):
            assert slots(tmp_path) == 2
        holder.kill()


def test_who_waits_can_be_called_off() -> None:
    """If this failed, Ctrl-C would take as long as the guests of others."""

    def cancelled() -> None:
        raise KeyboardInterrupt

    with (
        admit(Room(9000, 2)),
        ThreadPoolExecutor(1) as pool,
        pytest.raises(KeyboardInterrupt),
    ):
        pool.submit(_enter, cancelled).result(timeout=60)


def _enter(check: Callable[[], None]) -> None:
    with admit(Room(9000, 2), lambda _text: None, check=check):
        raise AssertionError("let in")
