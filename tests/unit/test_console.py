# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.guest.console import Console
from harness.guest.crash import Report

MIB = 1 << 20
FLOOD = 10 * MIB
PANIC = b"<0>[    1.000000] Kernel panic - not syncing: test\n<0>[    1.1] Kernel Offset: off\n"
FLOODS = {
    "text": b"Kernel panic - not syncing: said a process\n",
    "nothing": b"\0" * 64,
    "half characters": b"\xc3\xe2\x82\xf0\x9f\n",
    "one line": b"x" * 64,
    "escapes": b"\x1b[1;31m\x1b[",
    "prefixes": b"<6>[    1.000000] <6>[    1.000000]",
}


class Told:
    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.errors: list[OSError] = []
        self.ready = threading.Event()
        self.end = threading.Event()


@contextmanager
def console(log: Path) -> Iterator[tuple[int, Told, Console]]:
    """A console that is fed through a pipe, whose end is closed at the end."""
    out, into = os.pipe()
    told = Told()
    reader = Console(
        out,
        log,
        marker=b"ready",
        on_report=told.reports.append,
        on_marker=told.ready.set,
        on_end=told.end.set,
        on_log_error=told.errors.append,
    )
    try:
        with reader:
            yield into, told, reader
            os.close(into)
    finally:
        os.close(out)


def write(into: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(into, view) :]


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_is_read_and_what_comes_after_is_seen(tmp_path: Path, what: str) -> None:
    flood = FLOOD if what == "text" else FLOOD // 10
    with console(tmp_path / "log") as (into, told, _reader):
        write(into, FLOODS[what] * (flood // len(FLOODS[what])))
        write(into, b"\nready\n" + PANIC)
    assert told.end.is_set()
    assert told.ready.is_set()
    assert [report.title for report in told.reports] == ["Kernel panic - not syncing: test"]
    assert (tmp_path / "log").stat().st_size > flood - 64


def test_a_log_that_can_not_be_written_is_told_once_and_the_rest_is_read(tmp_path: Path) -> None:
    with console(tmp_path / "none" / "log") as (into, told, reader):
        write(into, PANIC + b"last\n")
    assert len(told.errors) == 1
    assert len(told.reports) == 1
    assert reader.tail(1) == ("last",)


def test_whoever_listens_hears_all_and_the_end(tmp_path: Path) -> None:
    heard: list[bytes] = []
    with console(tmp_path / "log") as (into, _told, reader):
        reader.listen(heard.append)
        write(into, b"some\xff\0thing")
    assert (b"".join(heard), heard[-1]) == (b"some\xff\0thing", b"")


def test_a_report_without_an_end_is_told_once_it_is_quiet(tmp_path: Path) -> None:
    with console(tmp_path / "log") as (into, told, _reader):
        write(into, b"[    1.000000] INFO: task x:1 blocked for more than 1 seconds.\n")
        deadline = time.monotonic() + 60
        while not told.reports and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [report.kind for report in told.reports] == ["hung_task"]
