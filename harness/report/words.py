# SPDX-License-Identifier: GPL-2.0-or-later
"""How outcomes, numbers and what a guest said are put on a screen or a page."""

from __future__ import annotations

import re

from harness.outcomes import Outcome

# All but tab and newline: a guest's words must not steer a terminal, and XML can't hold them.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return `text` with control characters spelled out, as in "\\\\x1b"; newlines stay."""
    return _UNPRINTABLE.sub(_spell, text.replace("\r\n", "\n"))


def _spell(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def group_of(outcome: Outcome) -> str:
    """Return what an outcome looks like: good, known, quiet, bad, broken or host."""
    if outcome in (Outcome.PASS, Outcome.SKIP, Outcome.XFAIL):
        return {"pass": "good", "skip": "quiet", "xfail": "known"}[outcome.value]
    if outcome.infrastructure:
        return "host"
    return "bad" if outcome in (Outcome.FAIL, Outcome.XPASS) else "broken"


# Styles in rich's words, by group; every one comes with the outcome's own word beside it.
STYLES = {
    "good": "green",
    "known": "yellow",
    "quiet": "bright_black",
    "bad": "bold red",
    "broken": "bold magenta",
    "host": "bold yellow",
}


def style_of(outcome: Outcome) -> str:
    """Return rich's style for an outcome."""
    return STYLES[group_of(outcome)]


def duration(seconds: float) -> str:
    """Return a time span in words for people: "0.4 s", "12 s", "5 min 02 s", "1 h 05 min"."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def signed(number: int) -> str:
    """Return a difference: "+3", "-4,096", "0"."""
    return f"{number:+,}" if number else "0"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun: "1 check", "2 checks"."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
