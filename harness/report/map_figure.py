# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture of direct maps: a cell for each 2M of memory, before the work and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.measure.map_cells import CELL_BYTES, Cell
from harness.report.words import counted
from harness.results.direct_maps import BootMaps

WIDTH = 860
_LEFT, _PANEL, _GAP = 40, 384, 42
_TOP, _HEAD, _BETWEEN = 58, 22, 16
_LEAST_COLUMNS, _MOST_COLUMNS, _MOST_ROWS = 64, 512, 48
_EMPTY_ROWS = 12
_GIB = 1 << 30
# Addresses stand at least so far apart.
_LINE = 11

# By the class of each kind of cell: its words in the legend, and which cells are of it.
KINDS: Mapping[str, tuple[str, Callable[[Cell], bool]]] = {
    "huge": ("1G page", lambda cell: cell.size == "1G"),
    "large": ("2M page", lambda cell: cell.size == "2M"),
    "small": ("4K pages", lambda cell: cell.size == "4K" and not cell.holes),
    "holes": ("4K pages, some absent", lambda cell: cell.size == "4K" and cell.holes),
    "absent": ("absent", lambda cell: cell.size == ""),
}
READ_ONLY = "read-only, or some of it"


@dataclass(frozen=True)
class Layer:
    """All cells of one kind in a panel: their class, a word for who points there, the path."""

    kind: str
    words: str
    path: str


@dataclass(frozen=True)
class Label:
    """A text and where it stands."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Panel:
    """One map: what it is of, its layers, the read-only cells' marks, and gaps without memory."""

    head: Label
    counts: Label
    layers: Sequence[Layer]
    marks: str
    lines: str
    gaps: Sequence[Label]


@dataclass(frozen=True)
class MapFigure:
    """The maps of all variants that did a workload, one below the other."""

    title: str
    width: int
    height: int
    panels: Sequence[Panel]
    addresses: Sequence[Label]
    legend: Sequence[tuple[float, str, str]]
    legend_y: int


@dataclass(frozen=True)
class _Grid:
    """Where cells are drawn: rows of `columns` cells, where rows that no map has are left out.

    `tops` has each row's place below the panel's top, None for one that is left out; `gaps` the
    place of what stands for them, and how many they are.
    """

    columns: int
    tops: Sequence[float | None]
    gaps: Sequence[tuple[float, int]]
    height: float

    @property
    def pitch(self) -> float:
        return _PANEL / self.columns


def map_figure(
    maps: Sequence[BootMaps], labels: Mapping[str, str], workload: str, block_word: str = "world"
) -> MapFigure | None:
    """Return the picture of a workload's `maps`, None where there are none.

    `labels` are the variants' short names, `block_word` what a block is called.
    """
    if not maps:
        return None
    every = [cells for one in maps for cells in (one.before, one.after) if cells is not None]
    grid = _grid(every)
    panels: list[Panel] = []
    addresses: list[Label] = []
    top = float(_TOP)
    for one in maps:
        name = labels.get(one.boot.variant, one.boot.variant)
        panels.append(_panel(f"{name}, before", one.before, grid, _LEFT, top))
        if one.after is not None:
            panels.append(_panel(f"{name}, after", one.after, grid, _LEFT + _PANEL + _GAP, top))
        addresses += _addresses(grid, top + _HEAD)
        top += _HEAD + grid.height + _BETWEEN
    return MapFigure(
        f"{workload}: the direct map, {block_word} {maps[0].boot.block}",
        WIDTH,
        round(top),
        panels,
        addresses,
        _legend(every),
        40,
    )


def _grid(every: Sequence[Sequence[Cell]]) -> _Grid:
    longest = max(map(len, every))
    columns = _LEAST_COLUMNS
    while columns < _MOST_COLUMNS and longest > columns * _MOST_ROWS:
        columns *= 2
    pitch = _PANEL / columns
    used = [
        any(cell.size for cells in every for cell in cells[first : first + columns])
        for first in range(0, longest, columns)
    ]
    tops: list[float | None] = []
    gaps: list[tuple[float, int]] = []
    y = 0.0
    for has, rows in groupby(used):
        count = len(list(rows))
        if has:
            tops += [y + number * pitch for number in range(count)]
            y += count * pitch
        else:
            tops += [None] * count
            gaps.append((y + _EMPTY_ROWS * 0.75, count * columns))
            y += _EMPTY_ROWS
    return _Grid(columns, tops, gaps, y)


def _panel(head: str, cells: Sequence[Cell], grid: _Grid, left: float, top: float) -> Panel:
    below = top + _HEAD
    layers = []
    for kind, (words, has) in KINDS.items():
        mine = [has(cell) for cell in cells]
        if any(mine):
            blocks = counted(sum(mine), "block")
            layers.append(Layer(kind, f"{words}: {blocks} of 2M", _runs(mine, grid, left, below)))
    huge, large, small = (sum(cell.size == size for cell in cells) for size in ("1G", "2M", "4K"))
    counts = f"1G {huge:,}, 2M {large:,}, 4K {small:,} blocks"
    return Panel(
        Label(left, top + 14, head),
        Label(left + _PANEL, top + 14, counts),
        layers,
        _marks(cells, grid, left, below),
        _lines(grid, left, below),
        [
            Label(left + _PANEL / 2, below + y, f"{_size(count * CELL_BYTES)} without memory")
            for y, count in grid.gaps
        ],
    )


def _runs(mine: Sequence[bool], grid: _Grid, left: float, top: float) -> str:
    """Return a path with a rectangle for each run of cells that are `mine`."""
    parts: list[str] = []
    high = max(grid.pitch - 1, grid.pitch * 0.7)
    for row, y in enumerate(grid.tops):
        if y is None:
            continue
        place = 0
        for has, run in groupby(mine[row * grid.columns : (row + 1) * grid.columns]):
            length = len(list(run))
            if has:
                x, wide = left + place * grid.pitch, length * grid.pitch
                parts.append(f"M{x:g} {top + y:g}h{wide:g}v{high:g}h-{wide:g}z")
            place += length
    return "".join(parts)


def _marks(cells: Sequence[Cell], grid: _Grid, left: float, top: float) -> str:
    """Return a path with a dot in each cell that has something read-only."""
    size = grid.pitch / 3
    parts: list[str] = []
    for number, cell in enumerate(cells):
        y = grid.tops[number // grid.columns]
        if cell.read_only and y is not None:
            x = left + number % grid.columns * grid.pitch + size
            parts.append(f"M{x:g} {top + y + size * 0.75:g}h{size:g}v{size:g}h-{size:g}z")
    return "".join(parts)


def _lines(grid: _Grid, left: float, top: float) -> str:
    """Return the lines between cells; none where cells are too small for them."""
    if grid.pitch < 3:
        return ""
    return "".join(
        f"M{left + column * grid.pitch - 0.5:g} {top:g}v{grid.height:g}"
        for column in range(1, grid.columns)
    )


def _addresses(grid: _Grid, top: float) -> list[Label]:
    """Return the physical address of each row that begins a GiB."""
    step = grid.columns * CELL_BYTES
    found: list[Label] = []
    for row, y in enumerate(grid.tops):
        if y is None or row * step % _GIB or (found and top + y + 8 < found[-1].y + _LINE):
            continue
        found.append(Label(_LEFT - 6, top + y + 8, _size(row * step)))
    return found


def _legend(every: Sequence[Sequence[Cell]]) -> list[tuple[float, str, str]]:
    """Return (place, kind, words) of each kind that occurs."""
    x = float(_LEFT)
    entries: list[tuple[float, str, str]] = []
    kinds = [(kind, words, has) for kind, (words, has) in KINDS.items()]
    for kind, words, has in [*kinds, ("ro", READ_ONLY, lambda cell: cell.read_only)]:
        if any(has(cell) for cells in every for cell in cells):
            entries.append((x, kind, words))
            x += 34 + 6.6 * len(words)
    return entries


def _size(size: int) -> str:
    if size % _GIB:
        return f"{size >> 20}M"
    return f"{size // _GIB}G" if size else "0"
