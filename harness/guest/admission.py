# SPDX-License-Identifier: GPL-2.0-or-later
"""How many guests run at once on this host: as many as its memory and cores can take."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness import paths
from harness.errors import InfrastructureError
from harness.outcomes import Outcome

# Of the host's memory, what guests may have at most, were they to use all of theirs.
_SHARE = 0.8
# Guests wait more than they compute; but so many CPUs a core, and none comes up in time.
_CPUS_A_CORE = 8
_STEP = 0.2
# After so long a guest is let in whatever there is: late is better than never.
PATIENCE = 300.0

_held = threading.local()


@dataclass(frozen=True)
class Room:
    """What guests take or may take: memory in MiB, and CPUs."""

    memory_mib: int
    cpus: int


def host_room() -> Room:
    """Return what this host has for guests."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return Room(int(total * _SHARE), len(os.sched_getaffinity(0)) * _CPUS_A_CORE)


def fits(wanted: Room, taken: list[Room], host: Room) -> bool:
    """Whether a guest may start beside those that run; the first always may."""
    memory = sum(room.memory_mib for room in taken) + wanted.memory_mib
    cpus = sum(room.cpus for room in taken) + wanted.cpus
    return not taken or (memory <= host.memory_mib and cpus <= host.cpus)


@contextlib.contextmanager
def admit(
    wanted: Room,
    tell: Callable[[str], None] | None = None,
    patience: float = PATIENCE,
    check: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold room for a guest, once there is enough; `tell` gets a line if that takes waiting.

    The room is shared by all processes with the same cache, and given up by the kernel for those
    that die. A thread that has a guest gets another without waiting, for it may be what the rest
    wait for; and after `patience` seconds anyone does. `check` is called while waiting, and ends
    it by what it raises.

    Raises:
        InfrastructureError: the cache can't be written.
    """
    folder = paths.cache() / "guests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        slot = _wait(folder, wanted, tell or _say, patience, check)
    except OSError as error:
        raise InfrastructureError(
            Outcome.INFRA_DISK,
            f"can't note the guest in {folder}: {error.strerror}",
            hint="is there room on its disk, and may we write there?",
        ) from error
    _held.count = getattr(_held, "count", 0) + 1
    try:
        yield
    finally:
        _held.count -= 1
        Path(slot.lock_file).unlink(missing_ok=True)
        slot.release()


def _wait(
    folder: Path,
    wanted: Room,
    tell: Callable[[str], None],
    patience: float,
    check: Callable[[], None],
) -> FileLock:
    deadline = time.monotonic() + (0.0 if getattr(_held, "count", 0) else patience)
    told = False
    while True:
        check()
        with FileLock(folder / "lock"):
            taken = _taken(folder)
            if time.monotonic() >= deadline or fits(wanted, taken, host_room()):
                return _take(folder, wanted)
        if not told:
            tell(_waiting(wanted, taken, host_room()))
            told = True
        time.sleep(_STEP)


def _taken(folder: Path) -> list[Room]:
    """Return what the living hold; what the dead held is given up."""
    rooms: list[Room] = []
    for slot in folder.glob("*.slot"):
        try:
            with FileLock(slot, blocking=False):
                slot.unlink(missing_ok=True)
        except Timeout:
            memory, cpus = slot.name.split("-")[:2]
            rooms.append(Room(int(memory), int(cpus)))
    return rooms


def _take(folder: Path, wanted: Room) -> FileLock:
    descriptor, name = tempfile.mkstemp(
        dir=folder, prefix=f"{wanted.memory_mib}-{wanted.cpus}-", suffix=".slot"
    )
    os.close(descriptor)
    slot = FileLock(name, thread_local=False)
    slot.acquire()
    return slot


def _waiting(wanted: Room, taken: list[Room], host: Room) -> str:
    memory, cpus = (sum(room.memory_mib for room in taken), sum(room.cpus for room in taken))
    return (
        f"waiting for room for {wanted.memory_mib} MiB and {wanted.cpus} CPUs: {len(taken)} guests "
        f"hold {memory} of {host.memory_mib} MiB and {cpus} of {host.cpus} CPUs"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"patchbed: {text}\n")
