# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGTERM as an exception, so that what is owned gets released."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(f"signal {number}")


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise KeyboardInterrupt for SIGTERM while the context lasts.

    Only in the main thread, and only where nobody else has seen to the signal.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
