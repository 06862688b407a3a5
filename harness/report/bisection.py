# SPDX-License-Identifier: GPL-2.0-or-later
"""A bisection as text and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.guest.machine import load_machine
from harness.measure.bisection import Decision, Side, Values, tell_apart, wrong_at_most
from harness.measure.metric import Metric
from harness.report.comparison_words import (
    aligned,
    folded,
    instrument_words,
    number,
    shown_unit,
    wrap,
)
from harness.report.words import counted, printable
from harness.results.bisections import BisectPlan

_WIDTH = 100
_ID = 12


@dataclass(frozen=True)
class Asked:
    """A commit that was asked about, and the answer; `lost` boots did not come through."""

    commit: str
    subject: str
    decision: Decision
    values: Values = field(default_factory=dict)
    lost: int = 0

    @property
    def side(self) -> Side:
        return self.decision.side


@dataclass(frozen=True)
class Bisected:
    """All that a report of a bisection is made from; no dates.

    `candidates` may each be the first bad commit; `first_bad` is "" where they are several, or
    GOOD and BAD don't differ. `values` has what `first_bad` and its `parent` measured ("" where
    that was not asked about). `same` tells whether the self-check gave the same bytes. `shared`
    are the facts, by name, that all commits share.
    """

    name: str
    plan: BisectPlan
    metric: Metric
    good: Values
    bad: Values
    asked: Sequence[Asked]
    candidates: Sequence[str]
    first_bad: str
    parent: str
    values: Mapping[str, Values]
    subjects: Mapping[str, str]
    same: bool | None = None
    shared: Mapping[str, str] = field(default_factory=dict)

    @property
    def again(self) -> str:
        """The command that looks for it again."""
        return shlex.join(self.again_words)

    @property
    def again_words(self) -> list[str]:
        """The words of that command."""
        plan = self.plan
        good = plan.variant(plan.good[:_ID])
        words = ["patchbed", "bisect", f"{plan.workload}/{plan.metric}", good, plan.bad[:_ID]]
        words += ["--profile", plan.profile, "--machine", plan.machine]
        words += ["--worlds", str(len(plan.blocks)), "--seed", str(plan.seed)]
        if plan.blocks[0] != 1:
            words += ["--first", str(plan.blocks[0])]
        accelerator = self.shared.get("accelerator", plan.accelerator)
        if not (load_machine(plan.machine).deterministic or accelerator == "auto"):
            words += ["--accel", accelerator]
        return words


def ends_words(ends: tuple[Values, Values], plan: BisectPlan, metric: Metric) -> str:
    """Return what GOOD and BAD measured, and the verdict on the two."""
    evidence, judgement = tell_apart(metric, *ends, plan.seed)
    shown = shown_unit(metric, deterministic=load_machine(plan.machine).deterministic)
    unit = f" {shown}" if shown else ""
    words = (
        f"{plan.workload} {plan.metric}: {number(evidence.reference)}{unit} in GOOD, "
        f"{number(evidence.new)} in BAD: {judgement.verdict}, {judgement.reason}, "
        f"n = {evidence.blocks}"
    )
    if judgement.verdict.differs or not judgement.needed:
        return words
    return f"{words}; it would take n = {judgement.needed}"


def step_words(one: Asked) -> str:
    """Return the answer about a commit in a line."""
    value = "" if one.decision.value is None else f" {number(one.decision.value)}"
    return printable(f"  {one.commit[:_ID]}{value}: {one.side}, {_why(one)}")


def _why(one: Asked) -> str:
    words = one.decision.reason.partition("\n")[0]
    if one.lost:
        words += f"; {counted(one.lost, 'boot')} did not come through"
    if one.decision.needed:
        words += f"; it would take n = {one.decision.needed}"
    return words


def report_lines(found: Bisected) -> list[str]:
    """Return the report, no line longer than 100 columns but for paths."""
    plan = found.plan
    lines = [
        *wrap(f"GOOD {plan.good[:_ID]} {plan.good_name}", _WIDTH),
        *wrap(f"BAD  {plan.bad[:_ID]} {plan.bad_name}", _WIDTH),
        *wrap(ends_words((found.good, found.bad), plan, found.metric), _WIDTH),
    ]
    measured_by = instrument_words(found.shared)
    lines += [*(wrap(measured_by, _WIDTH) if measured_by else []), ""]
    if found.asked:
        lines += [*_steps(found.asked), ""]
    lines += [*_verdict(found), ""]
    if found.candidates:
        lines += [*_rests_on(found), ""]
    lines += [*_self_check(found), "To look for it again:", *folded(found.again_words, _WIDTH)]
    return [printable(line).rstrip() for line in lines]


def _steps(asked: Sequence[Asked]) -> list[str]:
    rows = [["step", "commit", "value", "side"]]
    for place, one in enumerate(asked, start=1):
        value = "-" if one.decision.value is None else number(one.decision.value)
        rows.append([f"{place:>4}", one.commit[:_ID], value, one.side.value])
    head, *lines = aligned(rows, _WIDTH)
    told = [head]
    for line, one in zip(lines, asked, strict=True):
        told.append(line)
        told += wrap(f"        {one.subject}", _WIDTH) + wrap(f"        {_why(one)}", _WIDTH)
    return told


def _verdict(found: Bisected) -> list[str]:
    if found.first_bad:
        head = f"{found.first_bad} is the first bad commit"
        return [head, *wrap(f"  {found.subjects[found.first_bad]}", _WIDTH), *_jump(found)]
    if not found.candidates:
        return wrap("GOOD and BAD are not shown to differ: there is nothing to look for", _WIDTH)
    count = len(found.candidates)
    lines = [f"The first bad commit is one of these {count}: the others can't be judged"]
    lines += [f"  {commit[:_ID]} {found.subjects[commit]}"[:_WIDTH] for commit in found.candidates]
    return lines


def _jump(found: Bisected) -> list[str]:
    """Return what the first bad commit changed against its parent, as a comparison says it."""
    values = found.values.get(found.first_bad)
    before = found.values.get(found.parent)
    if not values or not before:
        return []
    evidence, judgement = tell_apart(found.metric, before, values, found.plan.seed)
    words = (
        f"  from {number(evidence.reference)} to {number(evidence.new)} against its parent "
        f"{found.parent[:_ID]} ({found.subjects[found.parent]}): {judgement.verdict}, "
        f"{judgement.reason}, n = {evidence.blocks}"
    )
    return wrap(words, _WIDTH)


def _rests_on(found: Bisected) -> list[str]:
    plan = found.plan
    judged = [one.decision for one in found.asked if one.side is not Side.SKIP]
    exact = sum(one.exact for one in judged)
    skipped = len(found.asked) - len(judged)
    words = (
        f"It rests on GOOD, BAD and {counted(len(judged), 'commit')} between, "
        f"{counted(len(plan.blocks), 'world')} each, {exact} of {len(judged)} exact"
    )
    if exact < len(judged):
        words += (
            f"; the others would look as they do by chance in {wrong_at_most(judged):.2g} of"
            " bisections at most, all together"
        )
    lines = wrap(f"{words}.", _WIDTH)
    if skipped:
        lines += wrap(f"{counted(skipped, 'commit')} could not be judged.", _WIDTH)
    lines += wrap(
        "Bad is what is nearer to BAD than to GOOD; that all before it are good, and all after it"
        " bad, is taken for granted.",
        _WIDTH,
    )
    return lines


def _self_check(found: Bisected) -> list[str]:
    if found.same is None:
        return []
    told = "gave the same bytes" if found.same else "DIFFERED: the instrument is broken"
    return [f"Self-check: a world of GOOD, booted again, {told}.", ""]


def as_json(found: Bisected) -> dict[str, Any]:
    """Return all of a bisection as JSON takes it."""
    evidence, judgement = tell_apart(found.metric, found.good, found.bad, found.plan.seed)
    judged = [one.decision for one in found.asked if one.side is not Side.SKIP]
    return {
        "schema_version": 1,
        "bisection": found.name,
        "plan": found.plan.model_dump(),
        "good_value": evidence.reference,
        "bad_value": evidence.new,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "steps": [
            {
                "commit": one.commit,
                "subject": one.subject,
                "side": one.side,
                "reason": one.decision.reason,
                "value": one.decision.value,
                "worlds": one.decision.worlds,
                "boots_lost": one.lost,
                "wrong_at_most": one.decision.wrong,
                "worlds_needed": one.decision.needed,
            }
            for one in found.asked
        ],
        "first_bad": found.first_bad or None,
        "subject": found.subjects.get(found.first_bad, ""),
        "candidates": list(found.candidates),
        "wrong_at_most": wrong_at_most(judged),
        "self_check": found.same,
        "shared": dict(found.shared),
        "again": found.again,
    }
