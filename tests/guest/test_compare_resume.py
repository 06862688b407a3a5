# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed compare`, killed while its guests boot and gone on with, says the same in the end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.kernel.builder import obtain
from harness.kernel.variant import parse
from harness.paths import PROJECT
from harness.results.measurements import BOOTS, PLAN, CompareFolder, read_records
from tests.guest.command import LIMIT, argv

VARIANTS = ("debian-6.1", "debian-6.1+gfp-unmapped@v2")
# Two worlds of two variants, and the self-check.
BOOTS_IN_ALL = 5
REPORTS = ("results.json", "mail.txt", "report.md", "report.html")
SEED = 20230308
KILLS = 2


@pytest.fixture(scope="module", autouse=True)
def _kernels(kernel: object) -> None:
    """Have both kernels made before any test, whose limit is not meant for a build."""
    for variant in VARIANTS:
        obtain(parse(variant), "fast", listen=lambda _event: None)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder; what was started in it is gone at the end, however the test ends."""
    yield tmp_path
    for process in processes_in(tmp_path):
        with contextlib.suppress(psutil.Error):
            process.kill()


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `patchbed compare` in `folder`; what it says goes to a file beside it.

    Where it is called is all that differs from one folder to another: its arguments are stored.
    """
    folder.mkdir(exist_ok=True)
    settings = ["--config", str(PROJECT / "patchbed.toml"), "--runs", "runs"]
    with (folder.parent / f"{folder.name}.said").open("ab") as said:
        return subprocess.Popen(
            argv("compare", *arguments, *settings),
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


def begin(folder: Path) -> subprocess.Popen[bytes]:
    workload = ["-w", "secretmem-idle:pages=64", "--worlds", "2"]
    return start(folder, *VARIANTS, *workload, "--placebo", "none", "--seed", "7")


def resume(folder: Path) -> subprocess.Popen[bytes]:
    return start(folder, "--resume", "last")


def comparison(folder: Path) -> CompareFolder:
    (plan,) = (folder / "runs").glob(f"*/{PLAN}")
    return CompareFolder(plan.parent)


def known(folder: Path) -> int:
    """Return how many boots' ends are known by now."""
    return sum(path.read_bytes().count(b"\n") for path in (folder / "runs").glob(f"*/{BOOTS}"))


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in `folder` or below it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def guests_in(folder: Path) -> list[psutil.Process]:
    """Return the QEMU processes that were started by a command in `folder`."""
    found = []
    for process in processes_in(folder):
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("qemu"):
                found.append(process)
    return found


def wait_until(process: subprocess.Popen[bytes], met: Callable[[], bool], limit: float) -> None:
    """Return once `met`, after `limit` seconds, or when the process has ended."""
    deadline = time.monotonic() + limit
    while not met() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)


def kill_while_booting(
    process: subprocess.Popen[bytes], folder: Path, after: int, pause: float
) -> int:
    """Kill a comparison `pause` seconds after so many boots are known and another goes on.

    On a host that has become fast it is when only the last boot is left. Returns how many guests
    it had at that moment: none of them outlives it.
    """
    wait_until(process, lambda: known(folder) >= after and bool(guests_in(folder)), LIMIT)
    wait_until(process, lambda: known(folder) >= BOOTS_IN_ALL - 1, pause)
    assert process.poll() is None, f"{folder}.said: it ended before it was killed"
    # Stopped, it starts no other guest until it is dead.
    process.send_signal(signal.SIGSTOP)
    guests = guests_in(folder)
    process.kill()
    process.wait()
    _gone, alive = psutil.wait_procs(guests, timeout=30)
    assert alive == []
    # One that was being started at that moment has no QEMU's name yet.
    deadline = time.monotonic() + 30
    while (left := guests_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    return len(guests)


def texts(folder: Path) -> dict[str, str]:
    """Return the reports without the name of their folder, which is a date."""
    path = comparison(folder).path
    return {
        name: (path / name).read_text(encoding="utf-8").replace(path.name, "NAME")
        for name in REPORTS
    }


def test_killed_at_random_and_resumed_it_reports_the_same_bytes(place: Path) -> None:
    whole, cut = place / "whole", place / "cut"
    status = begin(whole).wait(timeout=LIMIT)
    records = read_records(comparison(whole))
    assert len(records) == BOOTS_IN_ALL, (place / "whole.said").read_text()
    one_boot = statistics.median(record.seconds for record in records)

    chance = random.Random(SEED)  # noqa: S311
    process, guests = begin(cut), 0
    for number in range(KILLS):
        # Guests are booted two at a time where there are two cores.
        after, pause = number + chance.randint(0, 1), chance.uniform(0, 0.7) * one_boot
        print(f"seed {SEED}: killed {pause:.1f} s after {after} boots were known")
        guests += kill_while_booting(process, cut, after, pause)
        process = resume(cut)
    assert guests > 0
    assert process.wait(timeout=LIMIT) == status, (place / "cut.said").read_text()

    # No boot that was known has been done again.
    assert known(cut) == BOOTS_IN_ALL
    told, expected = texts(cut), texts(whole)
    for name in REPORTS:
        assert told[name] == expected[name], name
    found = json.loads(told["results.json"])
    assert (found["boots"], found["boots_wanted"], found["self_check"]) == (4, 4, True)
