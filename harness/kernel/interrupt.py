# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals as an exception, so that what is owned gets released."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal asked for an end.

    It is not KeyboardInterrupt itself. Where that comes out of an exec() of text, as the making
    of a dataclass is, CPython 3.11 ends by SIGINT in place of the exit code that it was asked for,
    whoever caught the exception (Python/pythonrun.c, run_eval_code_obj).
    """


def interrupt_on(*numbers: signal.Signals) -> None:
    """Raise Interrupted for these signals from now on, but for those that are ignored.

    Ignored is what `nohup` and a shell's `&` keep from us.
    """
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"signal {number}")


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise Interrupted for SIGTERM while the context lasts.

    Only in the main thread, and only where nobody else has seen to the signal.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    interrupt_on(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
