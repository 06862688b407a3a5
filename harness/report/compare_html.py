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
    declared,
    exit_code,
    lost_words,
    part_lines,
    unit_words,
)
from harness.report.comparison_words import centres_of, explained, full_verdict, number
from harness.report.deaths import death_words
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
class Told:
    """A verdict as the page has it: its words, their class, and its figures."""

    words: str
    kind: str
    figures: str


@dataclass(frozen=True)
class Row:
    """A metric of a workload: its centre in each variant, its verdict for each pair."""

    metric: str
    unit: str
    description: str
    gate: bool
    centres: Sequence[str]
    verdicts: Sequence[Told]


@dataclass(frozen=True)
class Section:
    """A workload: its metrics, a row each, with a column for each of `pairs`; and its pictures.

    `lost` says what marks of verdicts mean, "" where none has one.
    """

    workload: str
    description: str
    pairs: Sequence[str]
    rows: Sequence[Row]
    lost: str
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
            units=unit_words(compared),
            deaths=death_words(compared.deaths, labels, compared.block_word),
            parts=part_lines(compared),
            files=[Link(name, name) for name in _FILES],
        )
    )


def _section(compared: Compared, workload: str, figures: Sequence[NamedFigure]) -> Section:
    mine = [one for one in figures if one.workload == workload]
    every = declared(compared, workload)
    pairs = list(dict.fromkeys(one.pair for one in every))
    found: dict[str, list[Finding]] = {}
    for one in every:
        found.setdefault(one.metric.name, []).append(one)
    return Section(
        workload,
        compared.descriptions.get(workload, ""),
        [compared.pair_label(pair) for pair in pairs],
        [_row(compared, findings) for findings in found.values()],
        lost_words(compared, every),
        [one for one in mine if one.kind != "strip"],
        [one for one in mine if one.kind == "strip"],
    )


def _row(compared: Compared, findings: Sequence[Finding]) -> Row:
    metric = findings[0].metric
    centres = centres_of(findings)
    return Row(
        metric.name,
        metric.unit,
        metric.description,
        findings[0].family == "gate",
        [_cell(centres, variant) for variant in compared.plan.variants],
        [_told(compared, one) for one in findings],
    )


def _told(compared: Compared, one: Finding) -> Told:
    kind = _CLASSES[one.verdict] if one.evidence.blocks else "broken"
    return Told(full_verdict(one, compared.measured), kind, explained(one))


def _cell(centres: Mapping[str, float], variant: str) -> str:
    return number(centres[variant]) if variant in centres else "\N{EN DASH}"
