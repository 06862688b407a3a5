# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as text: for a terminal, a mail to a list, Markdown, and JSON."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from harness.guest.machine import load_machine
from harness.kernel.variant import parse
from harness.measure.comparability import Difference
from harness.measure.comparison import Comparison, Finding, Measured, Pair
from harness.measure.own_counters import own_counters
from harness.measure.verdicts import Verdict
from harness.outcomes import ExitCode, Outcome
from harness.report.attribution import attribution_json, attribution_lines
from harness.report.comparison_words import (
    INSTRUCTIONS,
    aligned,
    cell,
    centres_of,
    equivalent_line,
    explained,
    fitting,
    folded,
    full_verdict,
    instrument_words,
    kept_words,
    lost_line,
    measured_pairs,
    number,
    placebo_doubts,
    rates_words,
    shown_unit,
    sizes_rows,
    trust_words,
    verdict_word,
    wrap,
)
from harness.report.deaths import Death, death_words, deaths_json, deaths_of
from harness.report.labels import comparison_labels
from harness.report.markdown import code, fenced, table
from harness.report.own_counters import HEAD as OWN_COUNTERS
from harness.report.own_counters import own_counter_lines, own_counters_json
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
# Longer labels leave a table of who splits the direct map no room for three variants.
_MOST_OF_THREE_SITES = 6
# So many variants, the reference among them, have room beside each other in a table of sizes.
_MOST_SIZES = 4
# A pair's name that is longer is put on two lines over its column.
_MOST_PAIR = 9
_DEFAULT_PLACEBO = "placebo@v1"
_MOST_DIFFERENCES = 20
_LOST_BOOTS = "Boots that did not come through; their worlds count for no metric"
_COSTS = "What it costs who does not use it"
_FORCED = "FORCED: these variants are not comparable"


@dataclass(frozen=True)
class Compared:
    """All that a report of a comparison is made from; no dates, so that it is the same again.

    `same` tells whether the self-check gave the same bytes, None where there was none.
    `not_built` is why there is no kernel, by variant; `footprint` what a variant costs before it
    boots, by variant and name; `attribution` who splits the direct map, where that was asked.
    `boots` are those that pictures show, `maps` direct maps by workload. `same_bytes` says of a
    variant that was not booted which one boots the same bytes. `shared` are the facts, by name,
    that all variants have to share: what compiled, and what ran the guests.
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
    shared: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> list[Step]:
        """The base and what there is after each patch, in a comparison patch by patch."""
        return steps_of(self.plan, self.same_bytes, self.not_built) if self.plan.patches else []

    @cached_property
    def labels(self) -> dict[str, str]:
        return comparison_labels(self.plan.variants, self.plan.control)

    @cached_property
    def deterministic(self) -> bool:
        """Whether the machine counts instructions instead of time."""
        return load_machine(self.plan.machine).deterministic

    @property
    def block_word(self) -> str:
        """What a block is called: a world where boots are deterministic."""
        return "world" if self.deterministic else "block"

    @property
    def unchecked(self) -> bool:
        """Whether the self-check failed, or there was none where the machine allows one."""
        return self.same is False or (self.same is None and self.deterministic)

    @cached_property
    def shown(self) -> Comparison:
        """The comparison with each metric's unit as people read it, see `shown_unit`."""
        found = self.comparison
        return replace(found, findings=tuple(map(self._shown, found.findings)))

    def _shown(self, one: Finding) -> Finding:
        unit = shown_unit(one.metric, deterministic=self.deterministic)
        if unit == one.metric.unit:
            return one
        return replace(one, metric=one.metric.model_copy(update={"unit": unit}))

    @cached_property
    def measured(self) -> Collection[tuple[str, Pair]]:
        """Each (workload, pair) that there is a block of in which both came through."""
        return measured_pairs(self.comparison.findings)

    @cached_property
    def deaths(self) -> Sequence[Death]:
        """How boots ended that did not come through."""
        return deaths_of(self.boots, self.plan.workloads, list(self.labels))

    def pair_label(self, pair: Pair) -> str:
        """Return what a pair is called: "v2-base"."""
        return f"{self.labels[pair.new]}-{self.labels[pair.reference]}"

    @property
    def again(self) -> str:
        """The command that measures the same again."""
        return shlex.join(self.again_words)

    @property
    def again_words(self) -> list[str]:
        """The words of that command."""
        plan = self.plan
        words = ["patchbed", "compare", *plan.variants]
        if plan.patches:
            words = ["patchbed", "compare", "--per-patch", plan.variants[0], plan.variants[-1]]
        words += ["--profile", plan.profile, "--machine", plan.machine]
        words += [word for key in plan.workloads for word in ("-w", key)]
        words += [f"--{self.block_word}s", str(len(plan.blocks)), "--seed", str(plan.seed)]
        if plan.blocks[0] != 1:
            words += ["--first", str(plan.blocks[0])]
        # A deterministic machine is TCG's, whatever is asked for; "auto" may be another elsewhere.
        accelerator = self.shared.get("accelerator", plan.accelerator)
        if not (self.deterministic or accelerator == "auto"):
            words += ["--accel", accelerator]
        placebo = _placebo_option(plan.control)
        if placebo != _DEFAULT_PLACEBO:
            words += ["--placebo", placebo]
        if plan.forced:
            words.append("--force")
        return words

    @property
    def instrument(self) -> str:
        """What measured, in words; "" where that was not kept."""
        return instrument_words(self.shared)


def _placebo_option(control: Sequence[str]) -> str:
    """Return the control as `--placebo` takes it: SERIES@VERSION, or none."""
    if not control:
        return "none"
    placebo = parse(control[1])
    return f"{placebo.series}@{placebo.which}"


def exit_code(compared: Compared) -> int:
    """Return what the command ends with.

    1 where a gate is worse, boots fail more often or a variant does not compile; 3 where nothing
    is decided (a gate has no verdict or no direction, there is no gate, or boots of a new variant,
    or of the placebo, died and those of its reference did not, too few to tell), where the placebo
    is not clean or the self-check failed, so that the instrument is not to be trusted, or boots are
    missing; 4 where nothing was measured.
    """
    found = compared.comparison
    if not found.boots:
        return ExitCode.FAILURE if compared.not_built else ExitCode.NOTHING_RAN
    gates = found.gates()
    failures = [one for one in found.failures if one.pair.new != found.placebo]
    judged = [*(one.verdict for one in gates), *(one.verdict for one in failures)]
    # That the placebo does not compile says nothing of a version.
    not_built = any(name in compared.not_built for name in compared.plan.variants)
    if Verdict.REGRESSED in judged or not_built:
        return ExitCode.FAILURE
    dying = any(one.new_failed and not one.failed for one in found.failures)
    unsure = not gates or any(map(_undecided, gates))
    doubtful = not found.clean or compared.unchecked or found.boots < compared.wanted
    return ExitCode.INFRASTRUCTURE if dying or unsure or doubtful else ExitCode.OK


def _undecided(gate: Finding) -> bool:
    """Whether a gate may be worse for all that is known: an exact one may go up and down."""
    evidence = gate.evidence
    if gate.verdict is Verdict.CHANGED and evidence.interval is not None:
        return not (evidence.one_way or evidence.interval.inside(evidence.margin))
    return gate.verdict is Verdict.INCONCLUSIVE


def report_lines(compared: Compared, width: int = TERMINAL) -> list[str]:
    """Return the report, no line longer than `width` but for paths."""
    lines = [*_head(compared, width), ""]
    for workload in compared.plan.workloads:
        lines += [*_workload(compared, workload, width), ""]
    equivalent = _equivalent(compared)
    lines += [*wrap(equivalent, width), ""] if equivalent else []
    lines += part_lines(compared, width)
    lines += ["To measure the same again:", *folded(compared.again_words, width)]
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
        _own_counters(compared, width),
        _footprint(compared, width),
        _attribution(compared, width),
        _trust(compared, width),
    ):
        lines += [*part, ""] if part else []
    return lines


def _head(compared: Compared, width: int) -> list[str]:
    wide = max(8, *map(len, compared.labels.values()))
    lines: list[str] = []
    for variant, label in compared.labels.items():
        # A path that is broken in two can't be copied.
        lines += textwrap.wrap(
            f"{label:{wide}} {variant}",
            width,
            subsequent_indent=" " * (wide + 1),
            break_long_words=False,
            break_on_hyphens=False,
        )
    told = _setting(compared)
    differences = _differences(compared)
    if differences:
        told += [f"{_FORCED}:", *(f"  {one}" for one in differences)]
    told += [f"NOT BUILT: {variant}: {why}" for variant, why in compared.not_built.items()]
    return [*lines, "", *(line for text in told for line in wrap(text, width))]


def _setting(compared: Compared) -> list[str]:
    """Return what was measured where, and in which units, on a line each."""
    plan = compared.plan
    plan_words = (
        f"profile {plan.profile}, machine {plan.machine}, "
        f"{counted(len(plan.blocks), compared.block_word)} each, "
        f"{compared.comparison.boots:,} of {compared.wanted:,} boots"
    )
    return [text for text in (plan_words, compared.instrument, *unit_words(compared)) if text]


def unit_words(compared: Compared) -> list[str]:
    """Return what units mean that need a word, on a line each."""
    units = {one.metric.unit for one in compared.shown.findings if one.metric.declared}
    if INSTRUCTIONS not in units:
        return []
    return [
        f"{INSTRUCTIONS}: instructions executed, one for each nanosecond of the guest's clock; "
        "where the guest waits, the nanoseconds that it waits"
    ]


def _differences(compared: Compared) -> list[str]:
    """Return what differs in a comparison that was forced, as much as a report has room for."""
    if not compared.plan.forced:
        return []
    every = [str(one) for one in compared.differences]
    more = len(every) - _MOST_DIFFERENCES
    return every[:_MOST_DIFFERENCES] + ([f"... {more} more: see kernels.json"] if more > 0 else [])


def groups(variants: Sequence[str]) -> list[list[str]]:
    """Return the variants in groups that a table has room for: the reference and two more."""
    reference, *new = variants
    if len(new) <= 2:
        return [list(variants)]
    return [[reference, *pair] for pair in pairwise(new)]


def _workload(compared: Compared, workload: str, width: int) -> list[str]:
    found = declared(compared, workload)
    description = compared.descriptions.get(workload, "")
    lines = [workload, *(wrap(description, width) if description else [])]
    if compared.steps:
        return lines + course_lines(
            compared.shown, workload, compared.steps, width, compared.block_word
        )
    for group in groups(compared.plan.variants):
        pairs = _pairs(group)
        narrow = width < TERMINAL
        full = _rows(compared, found, group, narrow=narrow, needs=True)
        # A mail has not always room for how many worlds it would take.
        lines += fitting(full, _rows(compared, found, group, narrow=narrow, needs=False), width)
        told = lost_words(compared, [one for one in found if one.pair in pairs])
        lines += wrap(f"  {told}", width) if told else []
    return lines


def _equivalent(compared: Compared) -> str:
    every = [one for key in compared.plan.workloads for one in declared(compared, key)]
    return equivalent_line(every, compared.block_word)


def declared(compared: Compared, workload: str) -> list[Finding]:
    """Return what was found on the metrics that a workload declares, but for the placebo's."""
    return [
        one
        for one in compared.shown.findings
        if one.workload == workload and one.metric.declared and one.family != "placebo"
    ]


def lost_words(compared: Compared, findings: Iterable[Finding]) -> str:
    """Return what marks mean in a table of `findings`, "" where none has one."""
    return lost_line(findings, lambda one: compared.pair_label(one.pair), compared.block_word)


def _pairs(group: Sequence[str]) -> list[Pair]:
    reference, *new = group
    return [Pair(reference, one) for one in new] + [Pair(a, b) for a, b in pairwise(new)]


def _columns(compared: Compared, group: Sequence[str], pairs: Sequence[Pair]) -> list[str]:
    labels = compared.labels
    names = [compared.pair_label(one) for one in pairs]
    heads = [
        name if len(name) <= _MOST_PAIR else f"{labels[one.new]}\n-{labels[one.reference]}"
        for name, one in zip(names, pairs, strict=True)
    ]
    return ["", *(labels[variant] for variant in group), *heads]


def _rows(
    compared: Compared,
    found: Sequence[Finding],
    group: Sequence[str],
    *,
    narrow: bool,
    needs: bool,
) -> list[list[str]]:
    """Return a table of the variants in `group`, its head first; see `_row`."""
    pairs = _pairs(group)
    rows = [_columns(compared, group, pairs)]
    for metric in dict.fromkeys(one.metric.name for one in found):
        mine = {one.pair: one for one in found if one.metric.name == metric}
        rows.append(_row(compared, mine, group, pairs, narrow=narrow, needs=needs))
    return rows


def _row(
    compared: Compared,
    mine: Mapping[Pair, Finding],
    group: Sequence[str],
    pairs: Sequence[Pair],
    *,
    narrow: bool,
    needs: bool,
) -> list[str]:
    """Return a metric's row; `narrow` shortens numbers, `needs` as `verdict_word` takes it."""
    one = next(iter(mine.values()))
    unit = f" ({one.metric.unit})" if one.metric.unit else ""
    centres = centres_of(mine.values())
    values = [cell(centres.get(name), narrow=narrow) for name in group]
    verdicts = [
        verdict_word(mine[pair], compared.measured, needs=needs) if pair in mine else "-"
        for pair in pairs
    ]
    return [f"{'*' if one.family == 'gate' else ' '} {one.metric.name}{unit}", *values, *verdicts]


def _moved(compared: Compared, width: int) -> list[str]:
    if not compared.steps:
        return []
    plan = compared.plan
    return moved_lines(compared.shown, plan.workloads, compared.steps, width)


def _gates(compared: Compared, width: int) -> list[str]:
    gates = compared.shown.gates()
    if not gates:
        return []
    lines = wrap(_gates_words(gates), width)
    for one in gates:
        verdict = full_verdict(one, compared.measured)
        head = f"{compared.pair_label(one.pair)} {one.workload} {one.metric.name}"
        lines += wrap(f"  {head}: {verdict}, {explained(one)}", width)
    return lines


def _gates_words(gates: Sequence[Finding]) -> str:
    return f"Gates (*): {counted(len(gates), 'test')}, p adjusted together (Holm)"


def _kept(compared: Compared) -> list[str]:
    return [kept_words(one, compared.labels) for one in compared.comparison.kept]


def _failures(compared: Compared) -> list[str]:
    rates = rates_words(compared.comparison.failures, compared.labels)
    deaths = death_words(compared.deaths, compared.labels, compared.block_word)
    if not (rates or deaths):
        return []
    return [
        f"{_LOST_BOOTS}:",
        *(f"  {one}" for one in rates),
        *(f"  {who}: {how}" for who, how in deaths),
    ]


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
    for one in differ[:_MOST_OTHERS]:
        text = (
            f"{compared.pair_label(one.pair)} {one.workload} {one.metric.name}: "
            f"{number(one.evidence.reference)} to {number(one.evidence.new)}"
        )
        lines += wrap(f"  {text}", width)
    if len(differ) > _MOST_OTHERS:
        lines.append(f"  ... {len(differ) - _MOST_OTHERS} more: see results.json")
    return lines


def _own_counters(compared: Compared, width: int) -> list[str]:
    variants = compared.plan.variants
    # Patch by patch there is no room for them, nor a question that they answer.
    if compared.steps:
        return []
    found = own_counters(compared.boots, variants)
    return own_counter_lines(found, variants, compared.labels, width)


def _footprint(compared: Compared, width: int) -> list[str]:
    costs = compared.footprint
    if not costs:
        return []
    if compared.steps:
        return sizes_lines(costs, compared.steps, width)
    head, *rows = sizes_rows(costs, compared.labels)
    rows = [[f"  {name}", *cells] for name, *cells in rows]
    lines = [f"{_COSTS}:"]
    for first in range(2, max(3, len(head)), _MOST_SIZES - 1):
        places = [0, 1, *range(first, min(len(head), first + _MOST_SIZES - 1))]
        lines += aligned([[row[place] for place in places] for row in (head, *rows)], width)
    return lines


def _attribution(compared: Compared, width: int) -> list[str]:
    found = compared.attribution
    if found is None or not found.boots:
        return []
    labels, variants = compared.labels, compared.plan.variants
    if max(len(labels[name]) for name in variants) <= _MOST_OF_THREE_SITES:
        beside = groups(variants)
    else:
        beside = [[variants[0], one] for one in variants[1:]]
    return attribution_lines(found, beside, labels, width)


def _trust(compared: Compared, width: int) -> list[str]:
    return [line for text in _trust_texts(compared) for line in wrap(text, width)]


def _trust_texts(compared: Compared) -> list[str]:
    return trust_words(compared.comparison, compared.same, deterministic=compared.deterministic)


def mail_text(compared: Compared) -> str:
    """Return the report as plain text for a mail to a list, 78 columns wide."""
    return "\n".join(report_lines(compared, MAIL)) + "\n"


def markdown_text(compared: Compared) -> str:
    """Return the report as Markdown: a table for each workload, and all that the others say."""
    lines = _markdown_head(compared)
    for workload in compared.plan.workloads:
        lines += ["", f"## {workload}", "", compared.descriptions.get(workload, ""), ""]
        lines += _markdown_workload(compared, workload)
    for head, part in _markdown_parts(compared):
        lines += ["", f"## {head}", "", *part] if part else []
    lines += ["", "## To measure the same again", "", *fenced([compared.again])]
    return "\n".join(printable(line).rstrip() for line in lines) + "\n"


def _markdown_head(compared: Compared) -> list[str]:
    labels, plan = compared.labels, compared.plan
    lines = ["# " + " / ".join(labels[name] for name in plan.variants), ""]
    for variant, label in labels.items():
        reference = " (reference)" if variant == plan.variants[0] else ""
        lines.append(f"- {label}: {code(variant)}{reference}")
    for text in _setting(compared):
        lines += ["", text]
    differences = _differences(compared)
    if differences:
        lines += ["", f"**{_FORCED}:**", "", *(f"- {code(one)}" for one in differences)]
    for variant, why in compared.not_built.items():
        lines += ["", f"**NOT BUILT:** {code(variant)}:", "", *fenced(why.splitlines())]
    return lines


def _markdown_workload(compared: Compared, workload: str) -> list[str]:
    rows: list[list[str]] = []
    for one in declared(compared, workload):
        gate = " (gate)" if one.family == "gate" else ""
        there = one.evidence.blocks > 0
        rows.append(
            [
                f"{one.metric.name}{gate}",
                compared.pair_label(one.pair),
                number(one.evidence.reference) if there else "-",
                number(one.evidence.new) if there else "-",
                one.metric.unit,
                full_verdict(one, compared.measured),
                explained(one),
            ]
        )
    told = lost_words(compared, declared(compared, workload))
    head = ["metric", "pair", "from", "to", "unit", "verdict", "figures"]
    return [*table(head, rows, right=(2, 3)), *(["", told] if told else [])]


def _markdown_parts(compared: Compared) -> list[tuple[str, list[str]]]:
    """Return what a report says beside the workloads' tables: (heading, lines)."""
    return [
        ("Which patch moved what", _block(_moved(compared, TERMINAL)[1:])),
        ("Gates", _markdown_gates(compared)),
        ("What is kept of the gain", [f"- {one}" for one in _kept(compared)]),
        ("Boots that did not come through", _markdown_failures(compared)),
        ("What nobody declared", _block(_others(compared, TERMINAL))),
        (OWN_COUNTERS, _block(_own_counters(compared, TERMINAL)[1:])),
        (_COSTS, _markdown_sizes(compared)),
        ("Who splits the direct map", _block(_attribution(compared, TERMINAL))),
        ("Whether to trust it", [f"- {one}" for one in _trust_texts(compared)]),
    ]


def _block(lines: Sequence[str]) -> list[str]:
    return fenced(lines) if lines else []


def _markdown_gates(compared: Compared) -> list[str]:
    gates = compared.shown.gates()
    if not gates:
        return []
    rows = [
        [
            compared.pair_label(one.pair),
            f"{one.workload} {one.metric.name}",
            full_verdict(one, compared.measured),
            explained(one),
        ]
        for one in gates
    ]
    return [_gates_words(gates), "", *table(["pair", "metric", "verdict", "figures"], rows)]


def _markdown_failures(compared: Compared) -> list[str]:
    deaths = death_words(compared.deaths, compared.labels, compared.block_word)
    told = [f"- {one}" for one in rates_words(compared.comparison.failures, compared.labels)]
    told += [f"- {who}: {code(how)}" for who, how in deaths]
    return [f"{_LOST_BOOTS}:", "", *told] if told else []


def _markdown_sizes(compared: Compared) -> list[str]:
    if not compared.footprint:
        return []
    if compared.steps:
        return _block(_footprint(compared, TERMINAL))
    head, *rows = sizes_rows(compared.footprint, compared.labels)
    return table(head, rows, right=range(1, len(head)))


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
        "shared": dict(compared.shared),
        "differing_fields": [str(one) for one in compared.differences],
        "footprint": {name: dict(row) for name, row in compared.footprint.items()},
        "placebo_clean": found.clean if found.placebo else None,
        "placebo_doubts": placebo_doubts(found, compared.block_word),
        "false_alarms": len(found.false_alarms),
        "findings": [_finding(one) for one in compared.shown.findings],
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
        "deaths": deaths_json(compared.deaths),
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
        "own_counters": own_counters_json(own_counters(compared.boots, compared.plan.variants)),
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
        "gate": one.gate,
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
