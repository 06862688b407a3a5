# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, in which unit, and what difference of it matters."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from harness.config import Model


class MetricClass(StrEnum):
    """How a metric varies between boots of kernels that do the same."""

    EXACT = "exact"
    COUNT = "count"
    GAUGE = "gauge"
    LATENCY = "latency"


class Better(StrEnum):
    """Which way is better."""

    LESS = "less"
    MORE = "more"
    NEITHER = "neither"


class Smallest(Model):
    """The smallest difference that matters: in the metric's unit, and as a share of the reference.

    A difference matters that is at least as large as both.
    """

    absolute: float = Field(default=0.0, ge=0)
    relative: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.absolute or self.relative):
            raise ValueError("`absolute` or `relative` has to be more than 0")
        return self

    def margin(self, reference: float) -> float:
        """Return the smallest difference that matters where the reference is `reference`."""
        return max(self.absolute, self.relative * abs(reference))


class Metric(Model):
    """A metric of a workload.

    `source` is where its value comes from, see `harness.measure.values`; `kind` its class where
    no placebo has been measured. A `gate` is tested with few others, so that a verdict on it
    stands on its own.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-zA-Z0-9_.-]*$")
    source: str = Field(min_length=1)
    unit: str = ""
    description: str = ""
    kind: MetricClass = Field(default=MetricClass.COUNT, strict=False)
    better: Better = Field(default=Better.NEITHER, strict=False)
    smallest: Smallest = Smallest(absolute=1)
    gate: bool = False
    declared: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind is MetricClass.GAUGE and not self.smallest.absolute:
            raise ValueError("a gauge may be 0: `smallest` needs an `absolute`")
        if self.gate and self.better is Better.NEITHER:
            raise ValueError("a gate says what is better: less or more")
        return self


def settle_class(kind: MetricClass, placebo: list[float]) -> MetricClass:
    """Return a metric's class by what the placebo's blocks showed.

    `placebo` are the differences between placebo and reference, a block each. Where there are
    some and none differs, the metric is exact. Where one does, or there is none to tell what the
    metric does of itself, it is not, whatever was declared: then it is a count.
    """
    if placebo and not any(placebo):
        return MetricClass.EXACT
    return MetricClass.COUNT if kind is MetricClass.EXACT else kind
