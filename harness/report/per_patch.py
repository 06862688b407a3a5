# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison patch by patch: what each metric is after each patch, and which patch moved it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from harness.measure.comparison import Comparison, Finding, Pair
from harness.measure.verdicts import Verdict
from harness.report.comparison_words import (
    aligned,
    cell,
    centres_of,
    lost_line,
    measured_pairs,
    number,
    verdict_word,
    wrap,
)
from harness.results.measurements import StoredPlan

# Narrower than a terminal, as a mail is, numbers are shortened.
_WIDE = 100


@dataclass(frozen=True)
class Step:
    """The kernel after the `number`-th patch; 0 is the base.

    `measured` is the variant whose boots tell of it: an earlier one where both boot the same
    bytes, "" where it was not built. `first` is the first of the patches that lie between it and
    the step before that was built.
    """

    number: int
    subject: str
    variant: str
    measured: str
    first: int

    @property
    def patches(self) -> str:
        """What a change since the step before is due to: "patch 3", "patches 2 to 3"."""
        if self.first == self.number:
            return f"patch {self.number}"
        return f"patches {self.first} to {self.number}"


@dataclass(frozen=True)
class Change:
    """What became of a metric by a step; `finding` is None where no pair was judged.

    Then both kernels are the same bytes, or nothing was measured of one.
    """

    step: Step
    finding: Finding | None


@dataclass(frozen=True)
class Course:
    """A metric of a workload from the base on: its centre by variant, and what each step did."""

    workload: str
    findings: Sequence[Finding]
    centres: Mapping[str, float]
    changes: Sequence[Change]

    @property
    def still(self) -> bool:
        """Whether it is the same after every patch, world by world."""
        return not any(one.evidence.differing or not one.evidence.blocks for one in self.findings)


def steps_of(plan: StoredPlan, same: Mapping[str, str], not_built: Mapping[str, str]) -> list[Step]:
    """Return the steps of a comparison patch by patch, the base first."""
    steps: list[Step] = []
    first = 1
    for place, variant in enumerate(plan.variants):
        built = variant not in not_built
        subject = plan.patches[place - 1] if place else ""
        measured = same.get(variant, variant) if built else ""
        steps.append(Step(place, subject, variant, measured, min(first, place)))
        if built:
            first = place + 1
    return steps


def courses_of(comparison: Comparison, workload: str, steps: Sequence[Step]) -> list[Course]:
    """Return the courses of a workload's declared metrics, in their order."""
    by_metric: dict[str, list[Finding]] = {}
    for one in comparison.findings:
        if one.workload == workload and one.metric.declared and one.family != "placebo":
            by_metric.setdefault(one.metric.name, []).append(one)
    return [_course(workload, findings, steps) for findings in by_metric.values()]


def _course(workload: str, findings: Sequence[Finding], steps: Sequence[Step]) -> Course:
    by_pair = {one.pair: one for one in findings}
    built = [step for step in steps if step.measured]
    before = {step: earlier for earlier, step in pairwise(built)}
    changes = [
        Change(step, by_pair.get(Pair(before[step].measured, step.measured)))
        if step in before
        else Change(step, None)
        for step in steps
    ]
    return Course(workload, findings, centres_of(findings), changes)


def moved(courses: Sequence[Course], *, shown: bool = True) -> dict[Step, list[Finding]]:
    """Return what each step moved: the metrics whose difference is shown, in the patches' order.

    Without `shown`, those whose difference would matter, were it not chance.
    """
    found: dict[Step, list[Finding]] = {}
    for course in courses:
        for change in course.changes:
            one = change.finding
            if one is not None and (one.verdict.differs if shown else _perhaps(one)):
                found.setdefault(change.step, []).append(one)
    return dict(sorted(found.items(), key=lambda item: item[0].number))


def _perhaps(one: Finding) -> bool:
    return one.verdict is Verdict.INCONCLUSIVE and one.evidence.blocks > 0 and one.evidence.matters


def course_lines(
    comparison: Comparison,
    workload: str,
    steps: Sequence[Step],
    width: int,
    block_word: str = "world",
) -> list[str]:
    """Return a workload's metrics as tables, a row a patch; one that never changes is a line.

    `block_word` is what a block is called.
    """
    lines: list[str] = []
    courses = courses_of(comparison, workload, steps)
    measured = measured_pairs(comparison.findings)
    for course in courses:
        first = course.findings[0]
        unit = f" ({first.metric.unit})" if first.metric.unit else ""
        head = f"{'*' if first.family == 'gate' else ' '} {first.metric.name}{unit}"
        if course.still:
            centres = {number(value) for value in course.centres.values()}
            lines += wrap(f"{head}: {', '.join(sorted(centres))} after every patch", width)
            continue
        rows = [[head, "", "change", ""]]
        rows += [_row(course, change, measured, narrow=width < _WIDE) for change in course.changes]
        lines += _table(rows, width)
    told = _lost(courses, block_word)
    return lines + (wrap(f"  {told}", width) if told else [])


def _lost(courses: Sequence[Course], block_word: str) -> str:
    """Return what marks mean of verdicts that do not rest on all blocks, "" where none has one."""
    changes = [change for course in courses for change in course.changes]
    names = {one.finding.pair: one.step.patches for one in changes if one.finding is not None}
    findings = [one.finding for one in changes if one.finding is not None]
    return lost_line(findings, lambda one: names[one.pair], block_word)


def _row(
    course: Course, change: Change, measured: Collection[tuple[str, Pair]], *, narrow: bool
) -> list[str]:
    step, finding = change.step, change.finding
    head = f"  {step.number:>3} {step.subject}" if step.number else "    base"
    value = cell(course.centres.get(step.measured), narrow=narrow)
    if not step.measured:
        return [head, "-", "not built", ""]
    if finding is None:
        return [head, value, "same bytes" if step.number else "", ""]
    verdict = verdict_word(finding, measured)
    if not finding.evidence.blocks:
        return [head, value, "-", verdict]
    effect = finding.evidence.effect
    return [head, value, f"{'+' if effect > 0 else ''}{cell(effect, narrow=narrow)}", verdict]


def _table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows as lines; a subject that is too long ends with dots."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = min(widths[0], width - sum(widths[1:]) - 2 * (len(widths) - 1))
    lines: list[str] = []
    for first, *rest in rows:
        head = first if len(first) <= room else f"{first[: room - 3].rstrip()}..."
        cells = [text.rjust(size) for text, size in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([head.ljust(room), *cells]))
    return lines


def moved_lines(
    comparison: Comparison, workloads: Sequence[str], steps: Sequence[Step], width: int
) -> list[str]:
    """Return which patch moved what, which may have, and which made no other kernel."""
    every = [one for key in workloads for one in courses_of(comparison, key, steps)]
    lines = ["Which patch moved what:"]
    surely, perhaps = moved(every), moved(every, shown=False)
    for step, findings in surely.items():
        lines += _moved(f"{step.patches} ({step.subject}) moved", findings, width)
    if not surely:
        lines.append("  none is shown to have moved anything")
    for step, findings in perhaps.items():
        lines += _moved(f"{step.patches} ({step.subject}) may have moved", findings, width)
    numbers = {step.variant: step.number for step in steps}
    for step in steps:
        if step.measured not in ("", step.variant):
            earlier = numbers[step.measured]
            text = f"after patch {earlier}" if earlier else "before any"
            lines += wrap(
                f"  patch {step.number}: the kernel is that {text}, byte for byte; not booted",
                width,
            )
    return lines


def _moved(head: str, findings: Sequence[Finding], width: int) -> list[str]:
    lines = wrap(f"  {head}", width)
    for one in findings:
        evidence = one.evidence
        ends = f"{number(evidence.reference)} to {number(evidence.new)}"
        end = f"{one.verdict}"
        if one.verdict is Verdict.INCONCLUSIVE and one.judgement.needed:
            end += f", it would take n = {one.judgement.needed}"
        lines += wrap(f"    {one.workload} {one.metric.name}: {ends}, {end}", width)
    return lines


def sizes_lines(
    costs: Mapping[str, Mapping[str, int]], steps: Sequence[Step], width: int
) -> list[str]:
    """Return what each kernel costs who does not use it: a row a patch."""
    names = list(dict.fromkeys(name for row in costs.values() for name in row))
    rows = [["", *(name.replace("_bytes", "").replace("_", "\n") for name in names)]]
    for step in steps:
        if step.variant in costs:
            row = costs[step.variant]
            cells = [f"{row[name]:,}" if name in row else "-" for name in names]
            rows.append([f"{step.number:>3}" if step.number else "base", *cells])
    return [
        "What it costs who does not use it, bytes and lines after each patch:",
        *aligned(rows, width),
    ]


def per_patch_json(
    comparison: Comparison, plan: StoredPlan, steps: Sequence[Step]
) -> dict[str, Any]:
    """Return the patches and what they moved as JSON takes it."""
    every = [one for key in plan.workloads for one in courses_of(comparison, key, steps)]
    return {
        "patches": [
            {
                "number": step.number,
                "subject": step.subject,
                "variant": step.variant,
                "same_bytes_as": step.measured if step.measured != step.variant else "",
                "built": bool(step.measured),
            }
            for step in steps[1:]
        ],
        "moved": [_move(step, one) for step, all_ in moved(every).items() for one in all_],
        "perhaps_moved": [
            _move(step, one) for step, all_ in moved(every, shown=False).items() for one in all_
        ],
    }


def _move(step: Step, one: Finding) -> dict[str, Any]:
    return {
        "first_patch": step.first,
        "patch": step.number,
        "subject": step.subject,
        "workload": one.workload,
        "metric": one.metric.name,
        "from": one.evidence.reference,
        "to": one.evidence.new,
        "verdict": one.verdict,
        "p_adjusted": one.p,
        "blocks_needed": one.judgement.needed,
    }
