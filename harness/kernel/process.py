# SPDX-License-Identifier: GPL-2.0-or-later
"""A command and all it starts, owned as one process group that can't outlive us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

# The group's leader becomes the command; beside it, in the same group, a shell waits on a pipe
# whose other end we hold. When we are gone, even by SIGKILL, the pipe ends and the shell takes
# the group down. PR_SET_PDEATHSIG would reach the leader only, not the compilers it started.
_SUPERVISED = (
    "exec 3<&0 </dev/null;"
    ' (trap "" TERM INT HUP; read -r _ <&3; kill -TERM 0; sleep 2; kill -KILL 0) >/dev/null 2>&1 &'
    ' exec "$@" 3<&-'
)
GRACE = 2.0


class Group:
    """A running command, its descendants, and its output; killed whole on the way out.

    Args:
        argv: the command.
        folder: where it runs.
        environment: all of its environment.
    """

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._argv = list(argv)
        self._folder = folder
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    def __enter__(self) -> Group:
        read_end, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["sh", "-c", _SUPERVISED, "sh", *self._argv],
                cwd=self._folder,
                env=self._environment,
                stdin=read_end,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(read_end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill(grace=0.0 if kind is None else GRACE)
        os.close(self._lifeline)
        process = self._running()
        if process.stdout is not None:
            process.stdout.close()

    def lines(self) -> Iterator[str]:
        """Yield the lines of the command's output (both streams), without their ends."""
        process = self._running()
        if process.stdout is None:
            return
        for line in process.stdout:
            yield line.decode("utf-8", errors="replace").rstrip("\n")

    def wait(self) -> int:
        """Return the command's status once it has ended (negative: killed by that signal)."""
        return self._running().wait()

    def kill(self, *, grace: float) -> None:
        """End every process of the group: SIGTERM, and SIGKILL after `grace` seconds."""
        process = self._running()
        if grace and process.poll() is None:
            _signal_group(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + grace
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        # The supervising shell keeps the group's number from being used again until here.
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the group has not been started")
        return self._process


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
