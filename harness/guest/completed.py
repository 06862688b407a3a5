# SPDX-License-Identifier: GPL-2.0-or-later
"""How a command in a guest ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Completed:
    """A command's status, 128+N where signal N killed it, and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes
