# SPDX-License-Identifier: GPL-2.0-or-later
"""Sizes and ages as people write them."""

from __future__ import annotations

import re

from harness.errors import UserError

_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_size(text: str, option: str = "") -> int:
    """Return the bytes of a size such as 20GB, 512M (units are powers of 1024).

    `option` is what the value was given for, named in the error.

    Raises:
        UserError: it has no such form.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UserError(
            f"{_named(option)}{text!r} is no size", hint="write a number and K, M, G or T: 20GB"
        )
    return int(float(match.group(1)) * _BYTES[match.group(2).upper()])


def parse_age(text: str, option: str = "") -> float:
    """Return the seconds of an age such as 30d, 12h.

    `option` is what the value was given for, named in the error.

    Raises:
        UserError: it has no such form.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    if match is None:
        raise UserError(
            f"{_named(option)}{text!r} is no age", hint="write a number and s, m, h, d or w: 30d"
        )
    return float(match.group(1)) * _SECONDS[match.group(2)]


def _named(option: str) -> str:
    return f"{option}: " if option else ""


def format_size(size: int) -> str:
    """Return a size for people: 1.4 GiB."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def format_age(seconds: float) -> str:
    """Return an age for people, in its largest whole unit: 3 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
