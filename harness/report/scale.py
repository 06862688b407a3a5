# SPDX-License-Identifier: GPL-2.0-or-later
"""From a value to a place in a picture, and from a text to the room that it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Centres so far apart need a logarithmic axis for the smaller ones to be told from 0.
_FAR = 50
_MOST_TICKS = 5
# How wide letters are, in the height of the font: not less than in bold DejaVu Sans, which is the
# widest of those that pictures are shown in.
_THIN, _PLAIN, _CAPITAL, _BROAD = 0.5, 0.72, 0.86, 1.11
_THIN_LETTERS = frozenset("fijlrtI .,:;|!'`-()[]/_")
_BROAD_LETTERS = frozenset("mwMW@%")
_FONT = 12


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` on the places from `first` to `last`.

    On a logarithmic one the distance from 0 to 9 is that from 9 to 99: log(1 + value).
    """

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the place of `value`, to a tenth."""
        low, high, here = (self._bent(one) for one in (self.low, self.high, value))
        return round(self.first + (self.last - self.first) * (here - low) / (high - low), 1)

    def ticks(self) -> list[Tick]:
        """Return up to five marks, at round values."""
        return [Tick(self.at(value), tick_text(value)) for value in self._round_values()]

    def _bent(self, value: float) -> float:
        return math.log10(1 + max(value, 0.0)) if self.logarithmic else value

    def _round_values(self) -> list[float]:
        if self.logarithmic:
            powers = math.floor(math.log10(max(self.high, 1.0)))
            every = -(-(powers + 1) // (_MOST_TICKS - 1))
            return [0.0, *(10.0**power for power in range(0, powers + 1, every))]
        step = _round_step((self.high - self.low) / (_MOST_TICKS - 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def make_scale(
    values: Sequence[float], centres: Sequence[float], first: float, last: float
) -> Scale:
    """Return a scale that `values` fit on; `centres` are those of the arms to be told apart.

    It is logarithmic where nothing is below 0 and the centres are far apart.
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low >= 0 and centres and max(centres) + 1 >= _FAR * (min(centres) + 1):
        return Scale(0.0, high, first, last, logarithmic=True)
    if low == high:
        room = max(abs(low) * 0.05, 1.0)
        low, high = low - room, high + room
    return Scale(low, high, first, last)


def _round_step(least: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= least * (1 - 1e-9))


def tick_text(value: float) -> str:
    """Return a short text: "0", "250", "1.5k", "2M"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.4g}{letter}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def text_width(text: str, font: float = _FONT) -> int:
    """Return how wide `text` is at most, in letters `font` high; both in pixels."""
    return math.ceil(font * sum(map(_letter_width, text)))


def _letter_width(letter: str) -> float:
    if letter in _THIN_LETTERS:
        return _THIN
    if letter in _BROAD_LETTERS or not letter.isascii():
        return _BROAD
    return _PLAIN if letter.islower() or letter.isdigit() else _CAPITAL
