# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's serial console: read all the time, kept whole, and watched."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.guest.crash import CrashDetector, Report

# A report whose end the kernel does not mark has ended after this long without a byte.
QUIET = 0.5
_CHUNK = 1 << 16
_TAIL = 1 << 14


class Console:
    """Reads a console until its end into `log`, and tells what it says.

    Its own thread calls `on_report` for each trouble, `on_marker` once when a line holds
    `marker`, `on_end` when there is nothing more to come, and `on_log_error` once if the log
    can't be written: it is read on without.
    """

    def __init__(
        self,
        output: int,
        log: Path,
        *,
        marker: bytes,
        on_report: Callable[[Report], None],
        on_marker: Callable[[], None],
        on_end: Callable[[], None],
        on_log_error: Callable[[OSError], None] = lambda _error: None,
    ) -> None:
        self._output = output
        self._log = log
        self._marker = marker
        self._on_report = on_report
        self._on_marker = on_marker
        self._on_end = on_end
        self._on_log_error = on_log_error
        self._detector = CrashDetector()
        self._tail = b""
        self._marked = False
        self._listeners: list[Callable[[bytes], None]] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)
        self.last_byte = time.monotonic()
        self._log_error: OSError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the end, which comes when whoever writes is gone."""
        self._thread.join(timeout=5)

    def tail(self, lines: int = 20) -> tuple[str, ...]:
        """Return the last `lines` lines, without their ends."""
        text = self._tail.decode("utf-8", errors="replace").replace("\r", "")
        return tuple(text.splitlines()[-lines:])

    def listen(self, listener: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `listener` with all bytes from now on, b"" at the end; return how to stop that."""
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return stop

    @property
    def reporting(self) -> bool:
        """Whether a report has begun that has not ended."""
        with self._lock:
            return self._detector.open

    def settle(self) -> None:
        """Take a report that has begun as ended: nothing more will come."""
        self._tell(self._flush())

    def _flush(self) -> list[Report]:
        with self._lock:
            return self._detector.flush()

    def _read(self) -> None:
        with contextlib.ExitStack() as stack:
            log: FileIO | None = None
            try:
                log = stack.enter_context(self._log.open("wb", buffering=0))
            except OSError as error:
                self._lose_log(error)
            while True:
                wait = QUIET if self._detector.open else None
                if not select.select([self._output], [], [], wait)[0]:
                    self._tell(self._flush())
                    continue
                data = os.read(self._output, _CHUNK)
                if not data:
                    break
                # A full disk must not stop the reading: the guest would wait for us for ever.
                try:
                    if log is not None:
                        log.write(data)
                except OSError as error:
                    self._lose_log(error)
                self._take(data)
        self._tell(self._flush())
        self._hand_on(b"")
        self._on_end()

    def _lose_log(self, error: OSError) -> None:
        if self._log_error is None:
            self._log_error = error
            self._on_log_error(error)

    def _take(self, data: bytes) -> None:
        self.last_byte = time.monotonic()
        self._tail = (self._tail + data)[-_TAIL - len(data) :]
        if not self._marked and self._marker in self._tail:
            self._marked = True
            self._on_marker()
        self._tail = self._tail[-_TAIL:]
        with self._lock:
            reports = self._detector.feed(data)
        self._tell(reports)
        self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(data)

    def _tell(self, reports: list[Report]) -> None:
        for report in reports:
            self._on_report(report)
