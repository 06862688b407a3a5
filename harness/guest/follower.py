# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading what a process appends to a file, as it comes."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16
_STEP = 0.02


class Follower:
    """Hands what is appended to the file at the descriptor `file` to `take`.

    QEMU writes to a file and not to a pipe where a reader that comes too late must not be seen in
    the guest. `take` gets b"" once the process `pid` has ended and all is read. It is called from
    one thread at a time.
    """

    def __init__(self, file: int, pid: int, take: Callable[[bytes], None]) -> None:
        self._file = file
        self._pid = pid
        self._take = take
        self._at = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the end, which comes when the process has ended."""
        self._thread.join(timeout=5)

    def settle(self) -> None:
        """Hand on all that is there now."""
        with self._lock:
            while data := os.pread(self._file, _CHUNK, self._at):
                self._at += len(data)
                self._take(data)

    def _follow(self) -> None:
        process = os.pidfd_open(self._pid)
        try:
            while not select.select([process], [], [], _STEP)[0]:
                self.settle()
            self.settle()
        finally:
            os.close(process)
        self._take(b"")
