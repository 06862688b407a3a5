# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling a listener how a build goes."""

from __future__ import annotations

import time
from typing import Literal

from harness.events import BuildProgress, Listener, Message
from harness.kernel.variant import Variant

_SECONDS = 0.25


class Teller:
    """Turns what happens in the build of a variant into events, not too many of them."""

    def __init__(self, variant: Variant, profile: str, listen: Listener) -> None:
        self._variant = str(variant)
        self._profile = profile
        self._listen = listen
        self._last = 0.0

    def phase(self, phase: str, done: int = 0, total: int = 0) -> None:
        """Say that a phase begins, or where it is."""
        self._listen(
            BuildProgress(
                variant=self._variant, profile=self._profile, phase=phase, done=done, total=total
            )
        )

    def step(self, done: int, total: int) -> None:
        """Say how far the compiling is; most calls say nothing. `total` is 0 where unknown."""
        now = time.monotonic()
        if now - self._last >= _SECONDS:
            self._last = now
            self.phase("compile", done, max(done, total) if total else 0)

    def waiting(self, holder: str) -> None:
        """Say that another process is waited for, and what it does."""
        self.phase("wait")
        self.say("info", f"{self._variant}: waiting for {holder}")

    def say(self, level: Literal["info", "warning", "error"], text: str) -> None:
        """Say a sentence to whoever watches."""
        self._listen(Message(level=level, text=text))
