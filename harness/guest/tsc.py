# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast this host's time stamp counter runs, which is what a guest under TCG reads as its own.

A kernel that measures it against an emulated PIT is off by as much as the host lets it wait
meanwhile: 94 MHz were seen instead of 2596, with 16 guests on two cores. Its clock then runs fast
for good, and it reports stalls and lockups that never were. `tsc_early_khz` tells it (since Linux
5.8; Documentation/admin-guide/kernel-parameters.txt).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from harness import paths
from harness.files import replace_text

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CPUINFO = Path("/proc/cpuinfo")
# rdtsc; shl rdx,32; or rax,rdx; ret. There is no other way to it from Python.
_RDTSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")
_INTERVAL = 0.025
_TRIES = 20
_ATTEMPTS = 4
# Two measurements that differ by more were disturbed; the kernel refines what is off by less.
_AGREE = 2e-4
# Of what is measured, the digits that are the same each time.
_ROUND = 100

Reading = tuple[int, int]


@cache
def tsc_khz() -> int:
    """Return the frequency of this host's time stamp counter in kHz; 0 if it has no constant one.

    It is measured once for each start of the host and kept in the cache.
    """
    store = paths.cache() / "tsc.json"
    boot = _boot_id()
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(store.read_text(encoding="ascii"))
        if kept["boot"] == boot:
            return int(kept["khz"])
    khz = _measure() if os.uname().machine == "x86_64" and _constant() else 0
    if khz:
        # A measurement that was disturbed is tried again by the next process.
        _keep(store, boot, khz)
    return khz


def frequency(first: Reading, last: Reading) -> float:
    """Return the kHz that two readings of (nanoseconds, ticks) tell."""
    return (last[1] - first[1]) / (last[0] - first[0]) * 1e6


def agreed(measured: list[float]) -> int:
    """Return what the last two of the `measured` kHz agree on, rounded; 0 if they don't."""
    if len(measured) < 2 or abs(measured[-1] / measured[-2] - 1) > _AGREE:
        return 0
    return round(measured[-1] / _ROUND) * _ROUND


def _measure() -> int:
    # Once for each start of the host: no other boot pays for the imports.
    import ctypes
    import mmap

    access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=access)
    except OSError:
        # A host may forbid to run what was written to memory.
        return 0
    with page:
        page.write(_RDTSC)
        code = ctypes.c_char.from_buffer(page)
        ticks: Callable[[], int] = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(code))
        measured: list[float] = []
        while len(measured) < _ATTEMPTS and not agreed(measured):
            first = _read(ticks)
            time.sleep(_INTERVAL)
            measured.append(frequency(first, _read(ticks)))
        # The page can't be unmapped while something points into it.
        del code, ticks
    return agreed(measured)


def _read(ticks: Callable[[], int]) -> Reading:
    """Return nanoseconds and ticks of the same moment: the pair that was read soonest together."""
    pairs = []
    for _ in range(_TRIES):
        before, count, after = time.monotonic_ns(), ticks(), time.monotonic_ns()
        pairs.append((after - before, (before + after) // 2, count))
    _gap, moment, count = min(pairs)
    return moment, count


def _constant() -> bool:
    try:
        return "constant_tsc" in _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _keep(store: Path, boot: str, khz: int) -> None:
    # Without it, it is measured anew.
    with contextlib.suppress(OSError):
        replace_text(store, json.dumps({"boot": boot, "khz": khz}))
