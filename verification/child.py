# SPDX-License-Identifier: GPL-2.0-or-later
"""A `patchbed run` of our own: started, listened to, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.events import Event, load_event
from harness.results.run_folder import EVENTS, list_runs

_PAUSE = 0.2
# A run that is interrupted ends its guests, three seconds each at most, and writes its reports.
_GRACE = 60.0
Wants = Callable[[Event], bool]


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, its folder (None: it made none), and whether we ended it."""

    code: int
    folder: Path | None
    stopped: bool = False


class Tail:
    """Reads the events of a run that goes on, as far as they are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[Event]:
        """Return the events since the last call; a line that is being written waits."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        events = []
        for line in whole.splitlines():
            with contextlib.suppress(ValidationError, UnicodeDecodeError):
                events.append(load_event(line.decode()))
        return events


def run_argv(options: Sequence[str]) -> list[str]:
    """Return the argv of `patchbed run` with `options`."""
    return [sys.executable, "-m", "harness.cli.main", "run", *options]


def run_child(
    options: Sequence[str],
    runs: Path,
    *,
    wants: Wants,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run `patchbed run` with `options`, its folder in `runs`, until it ends or has enough.

    The first folder that is new in `runs` is taken for its own: nobody else may run there.
    `wants` gets every event, and says whether the run shall go on. What the run prints goes to
    `log`. An exception, such as Ctrl-C, ends it, too.
    """
    before = set(list_runs(runs))
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = run_argv([*options, "--runs", str(runs)])
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment or os.environ),
            start_new_session=True,
        )
    with _owned(child):
        folder, stopped = _listen(child, runs, before, wants)
        if stopped:
            _interrupt(child)
    return Ended(child.returncode, folder, stopped)


def _listen(
    child: subprocess.Popen[bytes], runs: Path, before: set[Path], wants: Wants
) -> tuple[Path | None, bool]:
    """Hand on events until the run has ended, or one was enough; say which folder it has."""
    folder: Path | None = None
    tail: Tail | None = None
    while True:
        # Asked before the last look: what was written until then is not lost.
        running = child.poll() is None
        if tail is None:
            folder = next((run for run in list_runs(runs) if run not in before), None)
            tail = Tail(folder / EVENTS) if folder else None
        for event in tail.new() if tail else ():
            if not wants(event):
                return folder, True
        if not running:
            return folder, False
        time.sleep(_PAUSE)


@contextlib.contextmanager
def _owned(child: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        _interrupt(child)


def _interrupt(child: subprocess.Popen[bytes]) -> None:
    """End the run in good order; what does not end by that is killed, with all of its session."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGINT)
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
