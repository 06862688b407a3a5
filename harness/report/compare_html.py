# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as one HTML page that needs nothing but itself, pictures and all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.measure.comparison import Finding
from harness.measure.verdicts import Verdict
from harness.outcomes import ExitCode
from harness.report.compare_figures import NamedFigure
from harness.report.comparison import (
    Compared,
    exit_code,
    explained,
    part_lines,
)
from harness.report.comparison_words import number
from harness.report.html import Link, environment

_FILES = ("results.json", "mail.txt", "report.md", "plan.json", "boots.jsonl", "kernels.json")
_WORDS = {
    ExitCode.OK: ("good", "decided, and none is worse"),
    ExitCode.FAILURE: ("bad", "worse, or not built"),
    ExitCode.INFRASTRUCTURE: ("host", "not decided"),
    ExitCode.NOTHING_RAN: ("quiet", "nothing was measured"),
}
_CLASSES = {
    Verdict.IMPROVED: "good",
    Verdict.REGRESSED: "bad",
    Verdict.CHANGED: "known",
    Verdict.EQUIVALENT: "quiet",
    Verdict.INCONCLUSIVE: "host",
}


@dataclass(frozen=True)
class Row:
    """A metric of a workload: its centre in each variant, its verdict for each pair."""

    metric: str
    unit: str
    description: str
    gate: bool
    centres: Sequence[str]
    verdicts: Sequence[Finding]


@dataclass(frozen=True)
class Section:
    """A workload: its metrics and its pictures."""

    workload: str
    description: str
    rows: Sequence[Row]
    figures: Sequence[NamedFigure]
    strips: Sequence[NamedFigure]


def comparison_html(compared: Compared, figures: Sequence[NamedFigure]) -> str:
    """Return the page of a comparison with its `figures`."""
    kind, words = _WORDS[exit_code(compared)]
    labels = compared.labels
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            compared=compared,
            plan=compared.plan,
            labels=labels,
            verdict=words,
            verdict_class=kind,
            exit_code=exit_code(compared),
            sections=[_section(compared, name, figures) for name in compared.plan.workloads],
            parts=part_lines(compared),
            classes=_CLASSES,
            explained=explained,
            files=[Link(name, name) for name in _FILES],
        )
    )


def _section(compared: Compared, workload: str, figures: Sequence[NamedFigure]) -> Section:
    mine = [one for one in figures if one.workload == workload]
    found: dict[str, list[Finding]] = {}
    for one in compared.comparison.findings:
        if one.workload == workload and one.metric.declared and one.family != "placebo":
            found.setdefault(one.metric.name, []).append(one)
    return Section(
        workload,
        compared.descriptions.get(workload, ""),
        [_row(compared, findings) for findings in found.values()],
        [one for one in mine if one.kind != "strip"],
        [one for one in mine if one.kind == "strip"],
    )


def _row(compared: Compared, findings: Sequence[Finding]) -> Row:
    metric = findings[0].metric
    centres: dict[str, float] = {}
    for one in findings:
        if one.evidence.blocks:
            centres.setdefault(one.pair.reference, one.evidence.reference)
            centres.setdefault(one.pair.new, one.evidence.new)
    return Row(
        metric.name,
        metric.unit,
        metric.description,
        findings[0].family == "gate",
        [_cell(centres, variant) for variant in compared.plan.variants],
        findings,
    )


def _cell(centres: Mapping[str, float], variant: str) -> str:
    return number(centres[variant]) if variant in centres else "\N{EN DASH}"
