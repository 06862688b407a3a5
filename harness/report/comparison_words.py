# SPDX-License-Identifier: GPL-2.0-or-later
"""How what a comparison found is put into words, numbers and columns."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from harness.measure.comparison import Comparison, Failures, Finding, Kept, Pair
from harness.measure.metric import Metric, MetricClass
from harness.measure.statistics import rates_test, ruled_out
from harness.measure.verdicts import Verdict
from harness.report.words import counted

# Marks a verdict that does not rest on all worlds.
LOST = "~"
_SHORT = {Verdict.INCONCLUSIVE: "INCONCL.", Verdict.EQUIVALENT: "EQUIV."}
# The guest's clock, and its time stamp counter.
_NANOSECONDS, _COUNTED = "ns", "instr"
INSTRUCTIONS, TICKS = "instr.", "ticks"
_THOUSAND = 1000
_NAME_ROOM = 8
_MOST_ALARMS = 5
# One name in so many may get a line of its own, so that cells can be longer.
_FEW = 4


def shown_unit(metric: Metric, *, deterministic: bool) -> str:
    """Return the unit that a metric's values are in, on a `deterministic` machine or another one.

    Latencies are declared in "ns" where they are read from the guest's clock, in "instr" where
    they are read from its time stamp counter. On a deterministic machine both go on by one with
    each instruction (QEMU's -icount shift=0), and both are instructions. On any other the one is
    time, and the other counts whatever that machine's counter does.
    """
    if metric.kind is not MetricClass.LATENCY or metric.unit not in (_NANOSECONDS, _COUNTED):
        return metric.unit
    if deterministic:
        return INSTRUCTIONS
    return TICKS if metric.unit == _COUNTED else metric.unit


def wrap(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width`, those after the first further in."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def folded(words: Sequence[str], width: int) -> list[str]:
    """Return a command as lines of at most `width` that a shell takes as they are.

    An option and its value stay together where they can. A word that is longer than a line is not
    broken.
    """
    lines: list[str] = []
    line = " "
    quoted = [shlex.quote(word) for word in words]
    for word, after in zip(quoted, [*quoted[1:], ""], strict=True):
        value = f" {after}" if word.startswith("-") and not after.startswith("-") else ""
        # Two more are for the blank and the backslash.
        if line.strip() and len(f"{line} {word}{value}") + 2 > width:
            lines.append(f"{line} \\")
            line = "   "
        line += f" {word}"
    return [*lines, line]


def instrument_words(shared: Mapping[str, str]) -> str:
    """Return what ran the guests and compiled their kernels, by the facts that variants share.

    What is not known is left out; "" where nothing is.
    """
    qemu = shared.get("QEMU", "").removeprefix("QEMU emulator version ")
    # The compiler's binutils are told after it.
    compiler = shared.get("compiler", "").partition("; ")[0]
    told = {"accelerator": shared.get("accelerator", ""), "QEMU": qemu, "compiler": compiler}
    return ", ".join(f"{name} {text}" for name, text in told.items() if text)


def number(value: float) -> str:
    """Return a number for people: three or four digits that matter, thousands marked."""
    if value == int(value) or abs(value) >= _THOUSAND:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def signed(value: float, kind: MetricClass = MetricClass.COUNT) -> str:
    """Return a difference for people: "+3", "-473,186", "+0.17", "0".

    That of an exact metric is whole in each world. Their mean may not be, and is rounded where it
    is not small.
    """
    if kind is MetricClass.EXACT and abs(value) >= 10:
        return f"{value:+,.0f}"
    if 0 < abs(value) < 0.1:
        return f"{value:+.2g}"
    return f"{'-' if value < 0 else '+' if value else ''}{number(abs(value))}"


def cell(value: float | None, *, narrow: bool) -> str:
    """Return a number for a column, "-" where there is none; large ones are short if `narrow`."""
    if value is None:
        return "-"
    if abs(value) >= (1e6 if narrow else 1e9):
        return f"{value:.3g}".replace("e+0", "e").replace("e+", "e")
    return number(value)


def centres_of(findings: Iterable[Finding]) -> dict[str, float]:
    """Return the centre of each variant that one metric's `findings` have one of.

    A variant that is in several pairs has that of the first: where boots were lost, the worlds of
    the others may be other ones, see `lost_line`.
    """
    centres: dict[str, float] = {}
    for one in findings:
        if one.evidence.blocks:
            centres.setdefault(one.pair.reference, one.evidence.reference)
            centres.setdefault(one.pair.new, one.evidence.new)
    return centres


def measured_pairs(findings: Iterable[Finding]) -> set[tuple[str, Pair]]:
    """Return each (workload, pair) that there is a block of in which both came through."""
    return {(one.workload, one.pair) for one in findings if one.evidence.blocks}


def verdict_word(
    finding: Finding, measured: Collection[tuple[str, Pair]], *, needs: bool = True
) -> str:
    """Return the verdict for a column; an inconclusive one with how many blocks it would take.

    That number is left out without `needs`. A verdict has a mark where it does not rest on all
    blocks. Where it rests on none, there is "no boot" in its place, or "no value" where the pair is
    among those that were `measured`: then it is this metric alone that is missing.
    """
    absent = _absent(finding, measured)
    if absent:
        return absent
    mark = LOST if finding.evidence.lost else ""
    word = _SHORT.get(finding.verdict, finding.verdict.value) + mark
    needed = finding.judgement.needed
    if not needs or finding.verdict is not Verdict.INCONCLUSIVE or not needed:
        return word
    return f"{word} {'>999' if needed > 999 else needed}"


def full_verdict(finding: Finding, measured: Collection[tuple[str, Pair]]) -> str:
    """Return the verdict in full, or "no boot" or "no value", as `verdict_word` does."""
    mark = LOST if finding.evidence.lost else ""
    return _absent(finding, measured) or f"{finding.verdict}{mark}"


def _absent(finding: Finding, measured: Collection[tuple[str, Pair]]) -> str:
    if finding.evidence.blocks:
        return ""
    return "no value" if (finding.workload, finding.pair) in measured else "no boot"


def explained(one: Finding) -> str:
    """Return a finding's figures in words: the effect, its interval, n, p, why."""
    evidence = one.evidence
    if not evidence.blocks:
        return one.judgement.reason
    kind = evidence.kind
    words = [f"{signed(evidence.effect, kind)} {one.metric.unit}".rstrip()]
    if evidence.reference and evidence.effect and kind is not MetricClass.GAUGE:
        words[0] += f" ({evidence.effect / abs(evidence.reference):+.1%})"
    if evidence.interval is not None:
        low, high = (signed(end, kind) for end in (evidence.interval.low, evidence.interval.high))
        words.append(f"95% from {low} to {high}")
    words.append(f"n = {evidence.blocks}")
    if evidence.lost:
        words.append(f"{evidence.lost} lost")
    words.append(f"{kind}, Cliff's delta {evidence.delta:+.2f}")
    words.append(one.judgement.reason)
    if one.judgement.needed:
        words.append(f"it would take n = {one.judgement.needed}")
    return "; ".join(words)


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


def rates_words(failures: Sequence[Failures], labels: Mapping[str, str]) -> list[str]:
    """Return how many boots of each workload and pair did not come through, and the verdict."""
    return [
        f"{one.workload}: {labels[one.pair.reference]} {one.failed} of {one.boots}, "
        f"{labels[one.pair.new]} {one.new_failed} of {one.new_boots}: {one.verdict} "
        f"({rates_test(one.boots, one.new_boots)}, p = {one.p:.2g})"
        for one in failures
    ]


def sizes_rows(
    costs: Mapping[str, Mapping[str, int]], labels: Mapping[str, str]
) -> list[list[str]]:
    """Return what each variant costs as rows: the variants' labels, then a row a size."""
    names = dict.fromkeys(name for row in costs.values() for name in row)
    rows = [["", *(labels[variant] for variant in costs)]]
    for name in names:
        cells = [f"{row[name]:,}" if name in row else "-" for row in costs.values()]
        rows.append([name.replace("_", " "), *cells])
    return rows


def trust_words(found: Comparison, same: bool | None, *, deterministic: bool) -> list[str]:
    """Return what the placebo and the self-check say of the instrument.

    `same` tells whether the self-check gave the same bytes, None where there was none; only a
    `deterministic` machine has one.
    """
    lines = [_placebo_words(found, "world" if deterministic else "block")]
    if same is not None:
        told = "gave the same bytes" if same else "DIFFERED: the instrument is broken"
        lines.append(f"Self-check: the same world of the same kernel, booted again, {told}.")
    elif deterministic:
        lines.append("No self-check: no world was booted again, to see the same bytes.")
    return lines


def _placebo_words(found: Comparison, block_word: str) -> str:
    if not found.placebo:
        told = "metrics have the classes that they were declared to have, and none is exact"
        return f"No placebo: {told}."
    few = [one for one in found.placebo_failures if one.new_failed and not one.failed]
    words = ["clean", *(f"{_placebo_rates(one)}, too few to tell" for one in few)]
    if not found.clean:
        words = [f"NOT CLEAN: {'; '.join(placebo_doubts(found, block_word))}"]
    tested = [one for one in found.findings if one.family == "placebo"]
    exact = sum(one.evidence.kind is MetricClass.EXACT for one in tested)
    words.append(f"of {len(tested)} metrics {exact} are exact by it.")
    return f"Placebo (the base, its code moved about): {'; '.join(words)}"


def placebo_doubts(found: Comparison, block_word: str) -> list[str]:
    """Return what speaks against the placebo, nothing where it is clean.

    `block_word` is what a block is called.
    """
    doubts: list[str] = []
    alarms = found.false_alarms
    if alarms:
        names = ", ".join(f"{one.workload} {one.metric.name}" for one in alarms[:_MOST_ALARMS])
        more = ", ..." if len(alarms) > _MOST_ALARMS else ""
        told = f"{counted(len(alarms), 'FALSE ALARM')} ({names}{more})"
        doubts.append(f"{told}, do not trust such metrics here")
    doubts += [_placebo_rates(one) for one in found.placebo_failures if one.verdict.differs]
    if found.unmeasured:
        names = ", ".join(found.unmeasured)
        doubts.append(f"{names}: no {block_word} that both it and the base came through")
    return doubts


def _placebo_rates(one: Failures) -> str:
    return (
        f"{one.workload}: {one.new_failed} of {one.new_boots} boots of it did not come through, "
        f"of the base {one.failed} of {one.boots}"
    )


def lost_line(findings: Iterable[Finding], name: Callable[[Finding], str], block_word: str) -> str:
    """Return what the mark of verdicts means that do not rest on all blocks; "" without any.

    `name` says what a finding's pair is called in the table.
    """
    counts: dict[str, set[tuple[int, int]]] = {}
    for one in findings:
        if one.evidence.lost and one.evidence.blocks:
            whole, lost = one.evidence.blocks, one.evidence.lost
            counts.setdefault(name(one), set()).add((whole, whole + lost))
    if not counts:
        return ""
    pairs = ", ".join(f"{pair} {_spread(found)}" for pair, found in counts.items())
    return (
        f"{LOST} only {block_word}s that both came through count: {pairs}; "
        "a column's number is of the first pair that it is in"
    )


def equivalent_line(findings: Iterable[Finding], block_word: str) -> str:
    """Return what EQUIVALENT rules out of the metrics that are exact, "" where it is said of none.

    Where some rest on fewer blocks than others, it is said of the fewest.
    """
    counts = {
        one.evidence.blocks
        for one in findings
        if one.verdict is Verdict.EQUIVALENT
        and one.evidence.kind is MetricClass.EXACT
        and not one.evidence.differing
    }
    if not counts:
        return ""
    fewest, most = min(counts), max(counts)
    blocks = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return (
        f"{_SHORT[Verdict.EQUIVALENT]} of an exact metric: the same in all {blocks} {block_word}s: "
        f"with 95% confidence at most {100 * ruled_out(fewest):.2g}% of {block_word}s would differ"
    )


def _spread(counts: Collection[tuple[int, int]]) -> str:
    fewest, most = min(whole for whole, _ in counts), max(whole for whole, _ in counts)
    every = max(all_ for _, all_ in counts)
    return f"{fewest if fewest == most else f'{fewest} to {most}'} of {every}"


def aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows as lines of at most `width`; the first is the head.

    A cell of the head may have several lines. Where there is little room, one space is between
    columns instead of two; then units are left out, as in "name (unit)"; then a name has a line of
    its own above its numbers.
    """
    head, *rest = rows
    rows = [*_head_rows(head), *rest]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    taken, gaps = sum(widths[1:]), len(widths) - 1
    gap = 2 if widths[0] + taken + 2 * gaps <= width else 1
    room = min(widths[0], max(_NAME_ROOM, width - taken - gap * gaps))
    lines: list[str] = []
    for first, *cells in rows:
        name = first if len(first) <= room else first.partition(" (")[0]
        if len(name) > room:
            lines.append(name)
            name = ""
        numbers = [text.rjust(size) for text, size in zip(cells, widths[1:], strict=True)]
        lines.append((" " * gap).join([name.ljust(room), *numbers]))
    return lines


def fitting(full: Sequence[Sequence[str]], short: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the rows in `full` as lines, those in `short` where there is little room.

    A name may lose its unit to longer cells beside it, which is told below then. Few get a line of
    their own for them.
    """
    lines, least = aligned(full, width), aligned(short, width)
    more = len(lines) - len(least)
    if more > len(full) // _FEW or max(map(len, lines)) > width:
        lines = least
    told = _units_left_out([row[0] for row in full], lines)
    return lines + (wrap(f"  units: {told}", width) if told else [])


def _units_left_out(names: Sequence[str], lines: Sequence[str]) -> str:
    """Return the units of those of `names`, as in "name (unit)", that `lines` show without."""
    without: dict[str, list[str]] = {}
    for name in names:
        bare, _, unit = name.partition(" (")
        if unit and not any(line.startswith(name) for line in lines):
            without.setdefault(unit.removesuffix(")"), []).append(bare.lstrip("* "))
    return "; ".join(f"{', '.join(mine)} in {unit}" for unit, mine in without.items())


def _head_rows(head: Sequence[str]) -> list[list[str]]:
    """Return a head whose cells may have several lines as rows of single lines."""
    split = [cell.split("\n") for cell in head]
    high = max(map(len, split))
    columns = [[""] * (high - len(lines)) + lines for lines in split]
    return [list(row) for row in zip(*columns, strict=True)]
