# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as text: for a terminal, a mail to a list, Markdown, and JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from harness.kernel.variant import Variant, parse
from harness.measure.comparability import Difference
from harness.measure.comparison import Comparison, Finding, Kept, Measured, Pair
from harness.measure.metric import MetricClass
from harness.measure.statistics import rates_test
from harness.measure.verdicts import Verdict
from harness.outcomes import ExitCode, Outcome
from harness.report.attribution import attribution_json, attribution_lines
from harness.report.comparison_words import aligned, cell, number, verdict_word, wrap
from harness.report.per_patch import (
    Step,
    course_lines,
    moved_lines,
    per_patch_json,
    sizes_lines,
    steps_of,
)
from harness.report.words import counted, printable
from harness.results.attribution import Attribution
from harness.results.direct_maps import BootMaps
from harness.results.measurements import StoredPlan

TERMINAL = 100
MAIL = 78
_MOST_OTHERS = 8


@dataclass(frozen=True)
class Compared:
    """All that a report of a comparison is made from; no dates, so that it is the same again.

    `same` tells whether the self-check gave the same bytes, None where there was none.
    `not_built` is why there is no kernel, by variant; `footprint` what a variant costs before it
    boots, by variant and name; `attribution` who splits the direct map, where that was asked.
    `boots` are those that pictures show, `maps` direct maps by workload. `same_bytes` says of a
    variant that was not booted which one boots the same bytes.
    """

    name: str
    plan: StoredPlan
    comparison: Comparison
    descriptions: Mapping[str, str]
    wanted: int
    same: bool | None = None
    not_built: Mapping[str, str] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    footprint: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    attribution: Attribution | None = None
    boots: Sequence[Measured] = ()
    maps: Mapping[str, Sequence[BootMaps]] = field(default_factory=dict)
    same_bytes: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> list[Step]:
        """The base and what there is after each patch, in a comparison patch by patch."""
        return steps_of(self.plan, self.same_bytes, self.not_built) if self.plan.patches else []

    @property
    def labels(self) -> dict[str, str]:
        return short_labels([*self.plan.variants, *self.plan.control])

    @property
    def block_word(self) -> str:
        """What a block is called: a world where boots are deterministic."""
        return "world" if self.plan.machine.startswith("deterministic") else "block"

    @property
    def again(self) -> str:
        """The command that measures the same again."""
        plan = self.plan
        words = ["patchbed", "compare", *plan.variants]
        if plan.patches:
            words = ["patchbed", "compare", "--per-patch", plan.variants[0], plan.variants[-1]]
        words += ["--profile", plan.profile, "--machine", plan.machine]
        words += [word for key in plan.workloads for word in ("-w", key)]
        words += ["--worlds", str(len(plan.blocks)), "--seed", str(plan.seed)]
        if plan.blocks[0] != 1:
            words += ["--first", str(plan.blocks[0])]
        if plan.accelerator != "auto":
            words += ["--accel", plan.accelerator]
        if not plan.control:
            words += ["--placebo", "none"]
        return shlex.join(words)


def short_labels(variants: Sequence[str]) -> dict[str, str]:
    """Return a short name for each variant: "base", "v1", or more where that is not unique."""
    parsed = {name: parse(name) for name in variants}
    for shorten in (_by_version, _by_series):
        chosen = {
            name: "placebo" if one.series == "placebo" else shorten(one)
            for name, one in parsed.items()
        }
        if len(set(chosen.values())) == len(chosen):
            return chosen
    return {name: name for name in parsed}


def _by_version(variant: Variant) -> str:
    return variant.which or "base"


def _by_series(variant: Variant) -> str:
    return f"{variant.series}@{variant.which}" if variant.series else variant.base


def exit_code(compared: Compared) -> int:
    """Return what the command ends with.

    1 where a gate is worse, boots fail more often or a variant does not compile; 3 where a gate
    has no verdict, the placebo or the self-check shows that the instrument is not to be trusted,
    or boots are missing; 4 where nothing was measured.
    """
    found = compared.comparison
    if not found.boots:
        return ExitCode.FAILURE if compared.not_built else ExitCode.NOTHING_RAN
    gates = found.gates()
    judged = [one.verdict for one in gates] + [
        one.verdict for one in found.failures if one.pair.new != found.placebo
    ]
    if Verdict.REGRESSED in judged or compared.not_built:
        return ExitCode.FAILURE
    doubtful = found.false_alarms or compared.same is False or found.boots < compared.wanted
    if doubtful or any(one.verdict is Verdict.INCONCLUSIVE for one in gates):
        return ExitCode.INFRASTRUCTURE
    return ExitCode.OK


def report_lines(compared: Compared, width: int = TERMINAL) -> list[str]:
    """Return the report, no line longer than `width` but for commands and paths."""
    lines = [*_head(compared, width), ""]
    for workload in compared.plan.workloads:
        lines += [*_workload(compared, workload, width), ""]
    lines += part_lines(compared, width)
    lines += ["To measure the same again:", f"  {compared.again}"]
    return [printable(line).rstrip() for line in lines]


def part_lines(compared: Compared, width: int = TERMINAL) -> list[str]:
    """Return what the report says beside the workloads' tables: gates, gains, costs, trust."""
    lines: list[str] = []
    for part in (
        _moved(compared, width),
        _gates(compared, width),
        [line for text in _kept(compared) for line in wrap(text, width)],
        [line for text in _failures(compared) for line in wrap(text, width)],
        _others(compared, width),
        _footprint(compared, width),
        _attribution(compared, width),
        _trust(compared, width),
    ):
        lines += [*part, ""] if part else []
    return lines


def _head(compared: Compared, width: int) -> list[str]:
    plan = compared.plan
    labels = compared.labels
    lines = [f"{name:8} {variant}" for variant, name in labels.items()]
    lines.append("")
    lines.append(
        f"profile {plan.profile}, machine {plan.machine}, "
        f"{counted(len(plan.blocks), compared.block_word)} each, "
        f"{compared.comparison.boots} of {compared.wanted} boots"
    )
    if plan.forced and compared.differences:
        lines.append("FORCED: these variants are not comparable:")
        lines += [f"  {one}" for one in compared.differences[:20]]
    for variant, reason in compared.not_built.items():
        lines.append(f"NOT BUILT: {variant}: {reason}")
    return [line for text in lines for line in wrap(text, width)]


def groups(variants: Sequence[str]) -> list[list[str]]:
    """Return the variants in groups that a table has room for: the reference and two more."""
    reference, *new = variants
    if len(new) <= 2:
        return [list(variants)]
    return [[reference, *pair] for pair in pairwise(new)]


def _workload(compared: Compared, workload: str, width: int) -> list[str]:
    found = [
        one
        for one in compared.comparison.findings
        if one.workload == workload and one.metric.declared and one.family != "placebo"
    ]
    lines = [workload, *wrap(compared.descriptions.get(workload, ""), width)]
    if compared.steps:
        return lines + course_lines(compared.comparison, workload, compared.steps, width)
    for group in groups(compared.plan.variants):
        pairs = _pairs(group)
        rows = [_columns(compared.labels, group, pairs)]
        for metric in dict.fromkeys(one.metric.name for one in found):
            mine = {one.pair: one for one in found if one.metric.name == metric}
            rows.append(_row(metric, mine, group, pairs, narrow=width < TERMINAL))
        lines += aligned(rows, width)
    return lines


def _pairs(group: Sequence[str]) -> list[Pair]:
    reference, *new = group
    return [Pair(reference, one) for one in new] + [Pair(a, b) for a, b in pairwise(new)]


def _columns(labels: Mapping[str, str], group: Sequence[str], pairs: Sequence[Pair]) -> list[str]:
    names = [labels[variant] for variant in group]
    return ["", *names, *(f"{labels[one.new]}-{labels[one.reference]}" for one in pairs)]


def _row(
    metric: str,
    mine: Mapping[Pair, Finding],
    group: Sequence[str],
    pairs: Sequence[Pair],
    *,
    narrow: bool,
) -> list[str]:
    one = next(iter(mine.values()))
    unit = f" ({one.metric.unit})" if one.metric.unit else ""
    centres: dict[str, float] = {}
    for pair, finding in mine.items():
        if finding.evidence.blocks:
            centres.setdefault(pair.reference, finding.evidence.reference)
            centres.setdefault(pair.new, finding.evidence.new)
    values = [cell(centres.get(name), narrow=narrow) for name in group]
    verdicts = [verdict_word(mine[pair], narrow=narrow) if pair in mine else "-" for pair in pairs]
    return [f"{'*' if one.family == 'gate' else ' '} {metric}{unit}", *values, *verdicts]


def _moved(compared: Compared, width: int) -> list[str]:
    if not compared.steps:
        return []
    plan = compared.plan
    return moved_lines(compared.comparison, plan.workloads, compared.steps, width)


def _gates(compared: Compared, width: int) -> list[str]:
    gates = compared.comparison.gates()
    if not gates:
        return []
    lines = [f"Gates (*): {counted(len(gates), 'test')}, p adjusted together (Holm)"]
    for one in gates:
        names = compared.labels
        head = f"{names[one.pair.new]}-{names[one.pair.reference]} {one.workload} {one.metric.name}"
        lines += wrap(f"  {head}: {one.verdict}, {explained(one)}", width)
    return lines


def explained(one: Finding) -> str:
    """Return a finding's figures in words: the effect, its interval, n, p, why."""
    evidence = one.evidence
    if not evidence.blocks:
        return one.judgement.reason
    words = [f"{evidence.effect:+,.4g} {one.metric.unit}".rstrip()]
    if evidence.reference and evidence.kind is not MetricClass.GAUGE:
        words[0] += f" ({evidence.effect / evidence.reference:+.1%})"
    if evidence.interval is not None:
        words.append(f"95% from {evidence.interval.low:+,.4g} to {evidence.interval.high:+,.4g}")
    words.append(f"n = {evidence.blocks}")
    if evidence.lost:
        words.append(f"{evidence.lost} lost")
    words.append(f"{evidence.kind}, Cliff's delta {evidence.delta:+.2f}")
    words.append(one.judgement.reason)
    if one.judgement.needed:
        words.append(f"it would take n = {one.judgement.needed}")
    return "; ".join(words)


def _kept(compared: Compared) -> list[str]:
    return [kept_words(one, compared.labels) for one in compared.comparison.kept]


def kept_words(one: Kept, labels: Mapping[str, str]) -> str:
    """Return "v2 keeps 90% of v1's gain" with its interval."""
    head = f"{labels[one.later]} keeps"
    tail = f"of {labels[one.earlier]}'s gain in {one.workload} {one.metric.name}"
    if one.share is None:
        return f"{head} an unknown part {tail}"
    interval = ""
    if one.interval is not None:
        interval = f" (95% from {one.interval.low:.1%} to {one.interval.high:.1%})"
    return f"{head} {one.share:.1%} {tail}{interval}"


def _failures(compared: Compared) -> list[str]:
    labels = compared.labels
    rows = [
        f"  {one.workload}: {labels[one.pair.reference]} {one.failed} of {one.boots}, "
        f"{labels[one.pair.new]} {one.new_failed} of {one.new_boots}: {one.verdict} "
        f"({rates_test(one.boots, one.new_boots)}, p = {one.p:.2g})"
        for one in compared.comparison.failures
    ]
    return (
        ["Boots that did not come through; their worlds count for no metric:", *rows]
        if rows
        else []
    )


def _others(compared: Compared, width: int) -> list[str]:
    found = [
        one
        for one in compared.comparison.findings
        if one.family == "exploratory" and not one.metric.declared
    ]
    if not found:
        return []
    differ = [one for one in found if one.verdict.differs]
    differ.sort(key=lambda one: (-abs(one.evidence.delta), one.p, one.metric.name))
    head = (
        f"Exploratory: of {counted(len(found), 'counter')} that nobody declared "
        f"{len(differ)} differ (Benjamini-Hochberg)"
    )
    lines = wrap(head, width)
    labels = compared.labels
    for one in differ[:_MOST_OTHERS]:
        pair = f"{labels[one.pair.new]}-{labels[one.pair.reference]}"
        text = (
            f"{pair} {one.workload} {one.metric.name}: {number(one.evidence.reference)} to "
            f"{number(one.evidence.new)}"
        )
        lines.append(f"  {text}"[:width])
    if len(differ) > _MOST_OTHERS:
        lines.append(f"  ... {len(differ) - _MOST_OTHERS} more: see results.json")
    return lines


def _footprint(compared: Compared, width: int) -> list[str]:
    costs = compared.footprint
    if not costs:
        return []
    if compared.steps:
        return sizes_lines(costs, compared.steps, width)
    names = dict.fromkeys(name for row in costs.values() for name in row)
    rows = [["", *(compared.labels[variant] for variant in costs)]]
    for name in names:
        cells = [f"{row[name]:,}" if name in row else "-" for row in costs.values()]
        rows.append([f"  {_plain(name)}", *cells])
    return ["What it costs who does not use it:", *aligned(rows, width)]


def _attribution(compared: Compared, width: int) -> list[str]:
    found = compared.attribution
    if found is None or not found.boots:
        return []
    return attribution_lines(found, groups(compared.plan.variants), compared.labels, width)


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _trust(compared: Compared, width: int) -> list[str]:
    found = compared.comparison
    lines: list[str] = []
    if found.placebo:
        tested = [one for one in found.findings if one.family == "placebo"]
        alarms = found.false_alarms
        if alarms:
            names = ", ".join(f"{one.workload} {one.metric.name}" for one in alarms[:5])
            word = f"{counted(len(alarms), 'FALSE ALARM')}: {names}; do not trust such metrics here"
        else:
            word = "clean"
        exact = sum(one.evidence.kind is MetricClass.EXACT for one in tested)
        lines.append(
            f"Placebo (the base, its code moved about): {word}; of {len(tested)} metrics "
            f"{exact} are exact by it."
        )
    else:
        lines.append("No placebo: metrics have the classes that they were declared to have.")
    if compared.same is not None:
        told = "gave the same bytes" if compared.same else "DIFFERED: the instrument is broken"
        lines.append(f"Self-check: the same world of the same kernel, booted again, {told}.")
    return [line for text in lines for line in wrap(text, width)]


def mail_text(compared: Compared) -> str:
    """Return the report as plain text for a mail to a list, 78 columns wide."""
    return "\n".join(report_lines(compared, MAIL)) + "\n"


def markdown_text(compared: Compared) -> str:
    """Return the report as Markdown: a table for each workload."""
    labels = compared.labels
    lines = ["# " + " / ".join(labels[name] for name in compared.plan.variants), ""]
    lines += [f"- `{variant}`: {name}" for variant, name in labels.items()]
    for workload in compared.plan.workloads:
        lines += ["", f"## {workload}", "", compared.descriptions.get(workload, ""), ""]
        lines += [
            "| metric | pair | from | to | verdict | figures |",
            "| --- | --- | ---: | ---: | --- | --- |",
        ]
        for one in compared.comparison.findings:
            if one.workload == workload and one.metric.declared and one.family != "placebo":
                lines.append(_markdown_row(one, labels))
    lines += ["", "## Summary", "", "```", *_summary(compared), "```"]
    return "\n".join(printable(line).rstrip() for line in lines) + "\n"


def _markdown_row(one: Finding, labels: Mapping[str, str]) -> str:
    gate = " (gate)" if one.family == "gate" else ""
    cells = [
        f"{one.metric.name}{gate}",
        f"{labels[one.pair.new]}-{labels[one.pair.reference]}",
        number(one.evidence.reference),
        number(one.evidence.new),
        one.verdict.value,
        explained(one),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _summary(compared: Compared) -> Iterable[str]:
    yield from _moved(compared, TERMINAL)
    yield from _kept(compared)
    yield from _failures(compared)
    yield from _others(compared, TERMINAL)
    yield from _attribution(compared, TERMINAL)
    yield from _trust(compared, TERMINAL)
    yield compared.again


def as_json(compared: Compared) -> dict[str, Any]:
    """Return all of a comparison as JSON takes it."""
    found = compared.comparison
    return {
        "schema_version": 1,
        "comparison": compared.name,
        "exit_code": exit_code(compared),
        "plan": compared.plan.model_dump(),
        "labels": compared.labels,
        "boots": found.boots,
        "boots_wanted": compared.wanted,
        "self_check": compared.same,
        "not_built": dict(compared.not_built),
        "differing_fields": [str(one) for one in compared.differences],
        "footprint": {name: dict(row) for name, row in compared.footprint.items()},
        "false_alarms": len(found.false_alarms),
        "findings": [_finding(one) for one in found.findings],
        "failures": [
            {
                "workload": one.workload,
                "reference": one.pair.reference,
                "new": one.pair.new,
                "failed": one.failed,
                "boots": one.boots,
                "new_failed": one.new_failed,
                "new_boots": one.new_boots,
                "p": one.p,
                "verdict": one.verdict,
            }
            for one in found.failures
        ],
        "kept": [
            {
                "workload": one.workload,
                "metric": one.metric.name,
                "reference": one.reference,
                "earlier": one.earlier,
                "later": one.later,
                "share": one.share,
                "interval": [one.interval.low, one.interval.high] if one.interval else None,
            }
            for one in found.kept
        ],
        "attribution": attribution_json(compared.attribution, compared.plan.variants)
        if compared.attribution
        else None,
        "per_patch": per_patch_json(found, compared.plan, compared.steps)
        if compared.steps
        else None,
        "again": compared.again,
    }


def _finding(one: Finding) -> dict[str, Any]:
    evidence = one.evidence
    return {
        "workload": one.workload,
        "metric": one.metric.name,
        "source": one.metric.source,
        "unit": one.metric.unit,
        "declared": one.metric.declared,
        "reference": one.pair.reference,
        "new": one.pair.new,
        "family": one.family,
        "verdict": one.verdict,
        "reason": one.judgement.reason,
        "blocks_needed": one.judgement.needed,
        "class": evidence.kind,
        "blocks": evidence.blocks,
        "blocks_lost": evidence.lost,
        "blocks_differing": evidence.differing,
        "reference_value": evidence.reference,
        "new_value": evidence.new,
        "effect": evidence.effect,
        "interval": [evidence.interval.low, evidence.interval.high] if evidence.interval else None,
        "margin": evidence.margin,
        "cliffs_delta": evidence.delta,
        "p": evidence.p,
        "p_adjusted": one.p,
    }


def outcome_words(outcome: Outcome, title: str) -> str:
    """Return how a boot ended, in one line."""
    return outcome.value if outcome is Outcome.PASS else f"{outcome}: {printable(title)[:200]}"
