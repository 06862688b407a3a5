# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of a comparison, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from harness.errors import InfrastructureError
from harness.measure.metric import Metric
from harness.outcomes import Outcome
from harness.report.comparison import Compared
from harness.report.html import environment
from harness.report.map_figure import MapFigure, map_figure
from harness.report.world_figures import SeriesFigure, StripFigure, series_figure, strip_figure
from harness.results.files import write_atomically
from harness.results.run_folder import disk_error

# 2M mappings split into 4K: by the work, and where there is none since the kernel booted.
_COUNTER = "vmstat.direct_map_level2_splits"
_SPLITS = (_COUNTER, f"at:{_COUNTER}")
_DONE = "% done"

Figure = MapFigure | SeriesFigure | StripFigure


@dataclass(frozen=True)
class NamedFigure:
    """A picture of a workload; `kind` is "map", "series" or "strip", `name` a file's without end.

    `metric` is what a strip shows.
    """

    name: str
    kind: str
    workload: str
    figure: Figure
    metric: str = ""


def figures_of(compared: Compared) -> list[NamedFigure]:
    """Return the pictures of a comparison, by workload; those without data are left out."""
    return [one for workload in compared.plan.workloads for one in _figures(compared, workload)]


def _figures(compared: Compared, workload: str) -> Iterator[NamedFigure]:
    labels = compared.labels
    maps = map_figure(compared.maps.get(workload, ()), labels, workload, compared.block_word)
    if maps is not None:
        yield NamedFigure(f"direct-map-{_slug(workload)}", "map", workload, maps)
    metrics = _metrics(compared, workload)
    values = _Values(compared, workload)
    # What a verdict is about comes first.
    sources = [one.source for one in metrics if one.source.endswith(_COUNTER)]
    source = next((one for one in (*sources, *_SPLITS) if any(values.of(one).values())), "")
    title = f"{workload}: 2M mappings of the direct map that were split"
    series = series_figure(title, values.of(source), labels, compared.block_word)
    if series is not None:
        yield NamedFigure(f"splits-{_slug(workload)}", "series", workload, series)
    title = f"{workload}: splits as the work goes on, on the average of {compared.block_word}s"
    over_time = series_figure(title, values.splits(), labels, _DONE, grows=True)
    if over_time is not None:
        yield NamedFigure(f"splits-over-time-{_slug(workload)}", "series", workload, over_time)
    for metric in metrics:
        title = f"{metric.name} ({metric.unit})" if metric.unit else metric.name
        strip = strip_figure(title, values.of(metric.source), labels)
        if strip is not None:
            name = f"strip-{_slug(workload)}-{_slug(metric.name)}"
            yield NamedFigure(name, "strip", workload, strip, metric.name)


def _metrics(compared: Compared, workload: str) -> Sequence[Metric]:
    found = {
        one.metric.name: one.metric
        for one in compared.shown.findings
        if one.workload == workload and one.metric.declared
    }
    return list(found.values())


class _Values:
    """A workload's values by variant and block, of the boots that came through."""

    def __init__(self, compared: Compared, workload: str) -> None:
        self._variants = list(compared.labels)
        self._boots = [
            boot
            for boot in compared.boots
            if boot.workload == workload and boot.outcome is Outcome.PASS
        ]

    def of(self, source: str) -> Mapping[str, Mapping[int, float]]:
        values: dict[str, dict[int, float]] = {variant: {} for variant in self._variants}
        for boot in self._boots:
            if source in boot.values and boot.variant in values:
                values[boot.variant][boot.block] = boot.values[source]
        return values

    def splits(self) -> Mapping[str, Mapping[int, float]]:
        """Return how many 2M mappings were split, by percent of the work done: the mean."""
        counts: dict[str, dict[int, list[int]]] = {variant: {} for variant in self._variants}
        for boot in self._boots:
            for percent, splits in boot.splits.items():
                counts.get(boot.variant, {}).setdefault(percent, []).append(splits)
        return {
            variant: {percent: fmean(mine[percent]) for percent in sorted(mine)}
            for variant, mine in counts.items()
        }


def figure_texts(figures: Sequence[NamedFigure]) -> dict[str, str]:
    """Return each picture as a file of its own, by the file's name."""
    template = environment().get_template("figure.svg.j2")
    return {
        f"{one.name}.svg": template.render(kind=one.kind, figure=one.figure).strip() + "\n"
        for one in figures
    }


def write_figures(folder: Path, figures: Sequence[NamedFigure]) -> None:
    """Write each picture into `folder`, which is made where needed.

    Raises:
        InfrastructureError: one can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    for name, text in figure_texts(figures).items():
        write_atomically(folder / name, text)


def _unwritable(folder: Path, error: OSError) -> InfrastructureError:
    found = disk_error(folder, error)
    return InfrastructureError(found.outcome, found.message, hint="name another with --figures")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", text).strip("-.") or "-"
