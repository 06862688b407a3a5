# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's serial console, to type on: for a person, or for pexpect."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import shlex
import socket
import sys
import threading
from types import TracebackType
from typing import Self

from pexpect.fdpexpect import fdspawn

from harness.guest.guest import Guest
from harness.guest.terminal import raw_mode

# Ctrl-], as telnet has it: leaves the console.
ESCAPE = b"\x1d"
DEVICE = "/dev/ttyS0"
_CHUNK = 1 << 12
_STEP = 0.2


def login(guest: Guest, columns: int = 80, rows: int = 24) -> None:
    """Let a shell read from the guest's serial console; another follows each that ends.

    Raises:
        GuestDied, InfrastructureError: the guest takes no commands.
    """
    # A session's leader must not open the console itself: it would own it, and the shell would be
    # hung up when the leader ends.
    shell = shlex.quote(f"stty cols {columns} rows {rows}; exec sh -l")
    again = f"while :; do setsid -c sh -c {shell} < {DEVICE} > {DEVICE} 2>&1; done"
    # With an & it would ignore Ctrl-C, and so would all that is started from there.
    start = "start-stop-daemon -S -b -m -p /run/console.pid -x /bin/sh"
    guest.run(f"{start} -- -c {shlex.quote(again)}")


class Serial:
    """A pexpect session, `spawn`, on a guest's serial console; see `login`.

    It hears what the console says from its begin on. Leaving it leaves the guest as it is.
    """

    def __init__(self, guest: Guest, timeout: float = 30.0) -> None:
        self._guest = guest
        self._ours, self._theirs = socket.socketpair()
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._unlisten = guest.console.listen(self._said.put)
        self.spawn = fdspawn(self._theirs.fileno(), timeout=timeout)
        self._threads = [
            threading.Thread(target=work, name="serial", daemon=True)
            for work in (self._hear, self._type)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._unlisten()
        self._said.put(b"")
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)
        self._ours.close()
        self._theirs.close()

    def _hear(self) -> None:
        # The console's reader must not wait for whoever listens.
        with contextlib.suppress(OSError):
            while data := self._said.get():
                self._ours.sendall(data)
            self._ours.shutdown(socket.SHUT_WR)

    def _type(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._ours.recv(_CHUNK):
                self._guest.type(data)


def interact(guest: Guest) -> None:
    """Connect the terminal on standard input with the guest's serial console until Ctrl-].

    Raises:
        GuestDied, InfrastructureError: what has become of the guest meanwhile.
    """
    keyboard = sys.stdin.fileno()
    size = os.get_terminal_size(keyboard)
    login(guest, size.columns, size.lines)
    with raw_mode(keyboard):
        while True:
            guest.check()
            if not select.select([keyboard], [], [], _STEP)[0]:
                continue
            data = os.read(keyboard, _CHUNK)
            before, escape, _ = data.partition(ESCAPE)
            if before:
                guest.type(before)
            if escape or not data:
                return
