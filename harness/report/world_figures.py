# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of a metric over the worlds: all worlds of each variant on an axis, or one by one."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.report.scale import Scale, Tick, make_scale, text_width, tick_text

# Left of the axis there is at least so much room, and right of it for values, or a line's label.
_LEFT, _RIGHT, _SERIES_RIGHT = 74, 70, 150
# From a label's end to the axis, and from the picture's edge to what is written.
_GAP, _EDGE = 8, 4
_TITLE = 13
# Texts of marks stand at least so far below each other.
_LINE = 12
_STRIP_WIDTH, _STRIP_TOP, _ROW, _AXIS = 430, 26, 26, 26
_SERIES_WIDTH, _SERIES_HEIGHT, _SERIES_TOP = 860, 240, 34
_INSET = 8
# A dot's radius, and how many dots a row has room for, one above the other.
DOT = 2.4
_STACK = 7
# More worlds than that are drawn without a line from one to the next.
_LINED = 60
_NOTE = "logarithmic, from 0"

# A variant's values by world.
Values = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Row:
    """One variant's dots as a path of points, and its centre.

    `number` is the variant's place, for its colour.
    """

    number: int
    label: str
    y: float
    dots: str
    centre: float
    centre_text: str


@dataclass(frozen=True)
class StripFigure:
    """A metric's values, a row a variant and a dot a world.

    Between `left` and `right` is the plot; labels stand before it, values after it.
    """

    title: str
    width: int
    height: int
    rows: Sequence[Row]
    ticks: Sequence[Tick]
    axis_y: float
    left: int
    right: int
    note: str


@dataclass(frozen=True)
class Series:
    """One variant's values, world by world: points, maybe a line, and the label at its end."""

    number: int
    label: str
    label_y: float
    dots: str
    line: str


@dataclass(frozen=True)
class SeriesFigure:
    """A metric world by world, a line a variant."""

    title: str
    width: int
    height: int
    series: Sequence[Series]
    ticks: Sequence[Tick]
    worlds: Sequence[Tick]
    block_word: str
    left: float
    right: float
    bottom: float
    note: str


def strip_figure(title: str, values: Values, labels: Mapping[str, str]) -> StripFigure | None:
    """Return the strip plot of a metric, None where there is no value at all."""
    arms = _arms(values)
    if not arms:
        return None
    longest = max(text_width(labels.get(variant, variant)) for variant in arms)
    left = max(_LEFT, _EDGE + longest + _GAP)
    right = left + _STRIP_WIDTH - _LEFT - _RIGHT
    scale = _scale(arms, left + _INSET, right - _INSET)
    rows = [
        _row(number, labels.get(variant, variant), list(arms[variant].values()), scale, place)
        for place, (number, variant) in enumerate(_places(values, arms))
    ]
    bottom = _STRIP_TOP + _ROW * len(rows)
    note = _NOTE if scale.logarithmic else ""
    return StripFigure(
        title,
        max(right + _RIGHT, _title_width(title, note)),
        bottom + _AXIS,
        rows,
        _apart_across(scale.ticks()),
        bottom,
        left,
        right,
        note,
    )


def series_figure(
    title: str,
    values: Values,
    labels: Mapping[str, str],
    block_word: str = "world",
    *,
    grows: bool = False,
) -> SeriesFigure | None:
    """Return the picture of a metric world by world, None where there is no value at all.

    Each line is labelled with its median; with what it comes to in the end where it `grows`.
    """
    arms = _arms(values)
    if not arms:
        return None
    bottom = float(_SERIES_HEIGHT - 34)
    scale = _scale(arms, bottom - _INSET, _SERIES_TOP + _INSET)
    worlds = sorted({world for mine in arms.values() for world in mine})
    right = float(_SERIES_WIDTH - _SERIES_RIGHT)
    first = _LEFT + _INSET
    step = (right - _INSET - first) / max(1, len(worlds) - 1)
    places = {world: round(first + number * step, 1) for number, world in enumerate(worlds)}
    series = [
        _series(number, labels.get(variant, variant), arms[variant], scale, places, grows=grows)
        for number, variant in _places(values, arms)
    ]
    shown = worlds[:: max(1, -(-len(worlds) // 10))]
    note = _NOTE if scale.logarithmic else ""
    room = max(_SERIES_RIGHT, *(12 + text_width(one.label) + _EDGE for one in series))
    return SeriesFigure(
        title,
        max(round(right + room), _title_width(title, note)),
        _SERIES_HEIGHT,
        _apart(series, bottom),
        _apart_down(scale.ticks()),
        [Tick(places[world], str(world)) for world in shown],
        block_word,
        _LEFT,
        right,
        bottom,
        note,
    )


def _apart_across(ticks: Sequence[Tick]) -> list[Tick]:
    """Return the marks of an axis from left to right whose texts do not touch."""
    kept: list[Tick] = []
    for tick in ticks:
        room = text_width(kept[-1].text + tick.text) / 2 if kept else 0
        if not kept or tick.at - kept[-1].at >= room:
            kept.append(tick)
    return kept


def _apart_down(ticks: Sequence[Tick]) -> list[Tick]:
    """Return the marks of an axis from the bottom up whose texts do not touch."""
    kept: list[Tick] = []
    for tick in ticks:
        if not kept or kept[-1].at - tick.at >= _LINE:
            kept.append(tick)
    return kept


def _title_width(title: str, note: str) -> int:
    """Return how wide a picture has to be for its title and the note beside it."""
    return round(_EDGE + text_width(title, _TITLE) + (10 + text_width(note) if note else 0))


def _arms(values: Values) -> dict[str, Mapping[int, float]]:
    return {variant: mine for variant, mine in values.items() if mine}


def _places(values: Values, arms: Values) -> list[tuple[int, str]]:
    """Return the variants that have values, each with its place among all."""
    return [(number, variant) for number, variant in enumerate(values) if variant in arms]


def _scale(arms: Values, first: float, last: float) -> Scale:
    every = [value for mine in arms.values() for value in mine.values()]
    centres = [statistics.median(mine.values()) for mine in arms.values()]
    return make_scale(every, centres, first, last)


def _row(number: int, label: str, values: Sequence[float], scale: Scale, place: int) -> Row:
    y = _STRIP_TOP + _ROW * (place + 0.5)
    centre = statistics.median(values)
    return Row(
        number, label, y, _dots(values, scale, y), scale.at(centre), tick_text(round(centre, 3))
    )


def _dots(values: Sequence[float], scale: Scale, y: float) -> str:
    """Return a path of points; those that would be on each other are stacked.

    A stack that is too high for its row becomes a bar.
    """
    width = DOT * 2
    stacks = Counter(round(scale.at(value) / width) for value in values)
    parts: list[str] = []
    for place, count in sorted(stacks.items()):
        x = round(place * width, 1)
        high = width * (min(count, _STACK) - 1) / 2 * 0.75
        if count > _STACK:
            parts.append(f"M{x:g} {y - high:g}v{2 * high:g}")
            continue
        parts += [
            f"M{x:g} {y + (number - (count - 1) / 2) * width * 0.75:g}h0" for number in range(count)
        ]
    return "".join(parts)


def _series(
    number: int,
    label: str,
    values: Mapping[int, float],
    scale: Scale,
    places: Mapping[int, float],
    *,
    grows: bool,
) -> Series:
    points = [(places[world], scale.at(value)) for world, value in sorted(values.items())]
    line = "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if len(points) <= _LINED else ""
    dots = "".join(f"M{x:g} {y:g}h0" for x, y in dict.fromkeys(points))
    centre = values[max(values)] if grows else statistics.median(values.values())
    text = f"{label}: {tick_text(round(centre, 3))}"
    return Series(number, text, scale.at(centre), dots, line)


def _apart(series: Sequence[Series], bottom: float) -> list[Series]:
    """Return the series with their labels moved so far apart that each can be read."""
    room = 16.0
    places: dict[int, float] = {}
    lowest, highest = bottom + 4, _SERIES_TOP + 4.0
    order = sorted(series, key=lambda one: -one.label_y)
    for one in order:
        places[one.number] = min(one.label_y + 4, lowest)
        lowest = places[one.number] - room
    for one in reversed(order):
        places[one.number] = max(places[one.number], highest)
        highest = places[one.number] + room
    return [Series(one.number, one.label, places[one.number], one.dots, one.line) for one in series]
