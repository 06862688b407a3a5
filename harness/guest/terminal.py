# SPDX-License-Identifier: GPL-2.0-or-later
"""A person at a terminal, in a guest's shell."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator

from harness.guest.shell import Shell
from harness.guest.ssh import Channel

_CHUNK = 1 << 16
_STEP = 0.2


def interact(shell: Shell) -> int:
    """Connect the terminal on standard input with a login shell; return its status.

    Size, keys (Ctrl-C too) and colours are the guest's.
    """
    size = os.get_terminal_size(sys.stdin.fileno())
    channel = shell.terminal(os.environ.get("TERM", "vt100"), size.columns, size.lines)
    with raw_mode(sys.stdin.fileno()), _resizing(channel):
        while not channel.closed and not (channel.exit_status_ready() and channel.eof_received):
            _carry(shell, channel)
    _write_out(channel)
    return max(0, channel.exit_status)


def _carry(shell: Shell, channel: Channel) -> None:
    keyboard = sys.stdin.fileno()
    if shell.poll(channel, _STEP, keyboard):
        channel.sendall(os.read(keyboard, _CHUNK))
    _write_out(channel)


def _write_out(channel: Channel) -> None:
    while channel.recv_ready():
        data = memoryview(channel.recv(_CHUNK))
        while data:
            select.select([], [sys.stdout.fileno()], [])
            data = data[os.write(sys.stdout.fileno(), data) :]


@contextlib.contextmanager
def raw_mode(descriptor: int) -> Iterator[None]:
    """Let the terminal `descriptor` hand on each key as it is."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizing(channel: Channel) -> Iterator[None]:
    def resize(_number: int, _frame: object) -> None:
        size = os.get_terminal_size(sys.stdin.fileno())
        with contextlib.suppress(OSError):
            channel.resize_pty(size.columns, size.lines)

    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
