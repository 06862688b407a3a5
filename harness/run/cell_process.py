# SPDX-License-Identifier: GPL-2.0-or-later
"""A pytest process of one cell: started, listened to, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from harness.events import (
    CellFinished,
    CellStarted,
    Event,
    Listener,
    Message,
    TestFinished,
    TestsCollected,
    load_event,
)
from harness.outcomes import Outcome
from harness.testing.cell import CellPlan

# pytest's own exit codes: all passed, some failed, nothing collected.
_ORDINARY = (0, 1, 5)
_GRACE = 3.0


class CellProcess:
    """Runs the testcases under `testcases` on the guest of `plan`, in a pytest process of its own.

    Leaving it ends the process: an interrupt first, which ends the guest in good order, and
    three seconds later the signal that no process survives (QEMU then goes with it).
    """

    def __init__(self, plan: CellPlan, testcases: Path, selection: str, listen: Listener) -> None:
        self._plan = plan
        self._testcases = testcases
        self._selection = selection
        self._listen = listen
        self._finished = False
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._folder = plan.cell_folder

    @property
    def log(self) -> Path:
        """What pytest printed."""
        return self._folder / f"pytest{self._number}.log"

    @property
    def _number(self) -> str:
        return f"-{self._plan.worker}" if self._plan.worker > 1 else ""

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"cell{self._number}.json"
        file.write_text(self._plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
        reading, writing = os.pipe()
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    pytest_argv(self._testcases, file, writing, self._selection),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[writing],
                    start_new_session=True,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._reader = threading.Thread(target=self._read, args=[reading], daemon=True)
        self._reader.start()
        return self

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    event = load_event(line)
                except ValidationError:
                    text = f"{self._plan.cell}: not an event: {line.strip()[:200]}"
                    self._listen(Message(level="warning", text=text))
                    continue
                self._take(event)

    def _take(self, event: Event) -> None:
        # The cell has ended when all its workers have; the first one tells that it began.
        self._finished = self._finished or isinstance(event, CellFinished)
        again = self._plan.worker > 1 and isinstance(event, CellStarted | TestsCollected)
        if not isinstance(event, CellFinished) and not again:
            self._listen(event)

    def wait(self, cancelled: threading.Event) -> bool:
        """Return when the process is done, or as soon as `cancelled` is set: whether all is well.

        One that ends without finishing its work is told as a `harness.bug`.
        """
        assert self._process is not None  # noqa: S101
        while self._process.poll() is None:
            if cancelled.wait(0.05):
                return False
        self._join()
        status = self._process.returncode
        fine = status in _ORDINARY and self._finished
        if not fine:
            self._listen(
                TestFinished(
                    cell=self._plan.cell,
                    boot=0,
                    test="harness/cell",
                    outcome=Outcome.HARNESS_BUG,
                    reason=f"its pytest process ended with status {status}; see {self.log}",
                )
            )
        return fine

    def _join(self) -> None:
        if self._reader is not None:
            self._reader.join(timeout=_GRACE)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + _GRACE
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._join()


def pytest_argv(testcases: Path, cell_file: Path, events: int, selection: str) -> list[str]:
    """Return the command that runs a cell: its file, its events' descriptor, `-k`'s words."""
    argv = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--rootdir={testcases}"]
    argv += ["-p", "harness.testing.plugin", "-p", "no:cacheprovider", "--import-mode=importlib"]
    argv += ["--verbose", "-ra", "--tb=short", "--color=no"]
    argv += ["--patchbed-cell", str(cell_file), "--patchbed-events", str(events)]
    if selection:
        argv += ["-k", selection]
    return [*argv, str(testcases)]
