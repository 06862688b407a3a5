# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import random
import re
import shlex
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from harness.measure.comparability import Difference
from harness.measure.comparison import Failures, Finding, Measured, Pair, compare, pairs_of
from harness.measure.metric import Better, Metric, MetricClass, Smallest
from harness.measure.statistics import Interval
from harness.measure.verdicts import Judgement, Verdict
from harness.measure.workload import load_workload
from harness.outcomes import Outcome
from harness.paths import TESTCASES
from harness.report.compare_html import comparison_html
from harness.report.comparison import (
    Compared,
    as_json,
    exit_code,
    mail_text,
    markdown_text,
    report_lines,
)
from harness.report.comparison_words import number
from harness.results.measurements import Boot, BootRecord, StoredPlan, new_folder
from harness.run.compare_job import analyse

BASE, V1, V2 = "debian-6.1", "debian-6.1+gfp-unmapped@v1", "debian-6.1+gfp-unmapped@v2"
PLACEBO = "debian-6.1+placebo@v1"
SPLITS = Metric(
    name="level2_splits",
    source="vmstat.direct_map_level2_splits",
    unit="splits",
    better=Better.LESS,
    smallest=Smallest(absolute=2, relative=0.1),
    gate=True,
)
FAULT = Metric(
    name="fault_median",
    source="out.fault_median",
    unit="ns",
    kind=MetricClass.LATENCY,
    better=Better.LESS,
    smallest=Smallest(relative=0.05),
)
NOT_RETURNED = Metric(
    name="memory_not_returned_at_all",
    source="end:meminfo.MemUsed",
    unit="kB",
    kind=MetricClass.GAUGE,
    smallest=Smallest(absolute=1),
)
WORKLOADS = ("secretmem-fragmented", "secretmem-idle")
CENTRES = {BASE: 1024.0, V1: 3.0, V2: 12.0, PLACEBO: 1024.0}
NOISE = (0.0, 3, 1, -2, 2, -1, 0, 1, 2, -3)


def boots(centres: dict[str, float], worlds: int = 10) -> list[Measured]:
    return [
        Measured(
            variant,
            workload,
            world,
            Outcome.PASS,
            {
                SPLITS.source: centre + NOISE[(world + len(variant)) % 10],
                FAULT.source: 1_234_567_890.0 + centre * 1000 + NOISE[(world * len(variant)) % 10],
                "vmstat.pgalloc_normal": 5000.0 + centre,
                NOT_RETURNED.source: 1e6 * centre,
            },
        )
        for variant, centre in centres.items()
        for workload in WORKLOADS
        for world in range(1, worlds + 1)
    ]


def compared(centres: dict[str, float] = CENTRES, worlds: int = 10) -> Compared:
    return make_compared(tuple(centres.items()), worlds)


@cache
def make_compared(items: tuple[tuple[str, float], ...], worlds: int) -> Compared:
    centres = dict(items)
    plan = StoredPlan(
        command=["patchbed"],
        variants=[BASE, V1, V2],
        control=[BASE, PLACEBO],
        profile="fast",
        machine="deterministic",
        accelerator="auto",
        workloads=["secretmem-fragmented", "secretmem-idle"],
        blocks=list(range(1, worlds + 1)),
        seed=7,
        gates=[["secretmem-fragmented", "level2_splits"]],
        version="0.1.0",
    )
    measured = boots(centres, worlds)
    comparison = compare(
        measured,
        {name: [SPLITS, FAULT] for name in plan.workloads},
        pairs_of(BASE, plan.variants),
        placebo=Pair(BASE, PLACEBO),
        gates=[("secretmem-fragmented", "level2_splits")],
        seed=7,
    )
    return Compared(
        name="20261123-000000-abcd",
        plan=plan,
        comparison=comparison,
        descriptions={"secretmem-idle": "Pages of secretmem, " * 12},
        wanted=len(measured),
        same=True,
        footprint={BASE: {"text_bytes": 8236970}, V1: {"text_bytes": 8238262, "new_lines": 287}},
    )


@pytest.mark.parametrize("width", [100, 78])
def test_no_line_is_too_wide(width: int) -> None:
    lines = report_lines(compared(), width)
    assert [line for line in lines if len(line) > width] == []
    assert max(len(line) for line in lines) > width - 12


@pytest.mark.parametrize("width", [100, 78])
def test_the_command_can_be_pasted_into_a_shell(width: int) -> None:
    """If this failed, nobody could measure again what a mail tells of."""
    plan = compared().plan.model_copy(
        update={"variants": [BASE, "tree:/home/some body/linux", V1, V2]}
    )
    shown = replace(compared(), plan=plan)
    *_, head, command = "\n".join(report_lines(shown, width)).rpartition("same again:\n")
    assert head
    assert "\n" in command
    assert shlex.split(command.replace("\\\n", "")) == shlex.split(shown.again)
    done = subprocess.run(
        ["sh", "-c", f"patchbed() {{ printf '%s\\n' \"$@\"; }}\n{command}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ["patchbed", *done.stdout.splitlines()] == shlex.split(shown.again)


def test_a_report_says_what_was_found() -> None:
    text = " ".join(mail_text(compared()).split())
    assert "IMPROVED" in text
    assert "v2 keeps 99." in text
    assert "Placebo (the base, its code moved about): clean" in text
    assert "gave the same bytes" in text
    assert "--seed 7" in text
    assert "| level2_splits (gate) | v1-base | 1,02" in markdown_text(compared())


def test_a_self_check_that_was_not_made_is_told_where_there_could_be_one() -> None:
    without = replace(compared(), same=None)
    assert "No self-check" in mail_text(without)
    smp = without.plan.model_copy(update={"machine": "smp-4"})
    assert "elf-check" not in mail_text(replace(without, plan=smp))


def test_the_same_boots_make_the_same_bytes() -> None:
    make_compared.cache_clear()
    first = json.dumps(as_json(compared()))
    make_compared.cache_clear()
    assert json.dumps(as_json(compared())) == first


def test_json_has_no_numbers_that_json_has_not() -> None:
    found = json.loads(json.dumps(as_json(compared()), allow_nan=False))
    assert found["exit_code"] == 1
    families = {one["family"] for one in found["findings"]}
    assert families == {"gate", "exploratory", "placebo"}


def test_exit_codes() -> None:
    same = {BASE: 1024.0, V1: 3.0, V2: 3.0, PLACEBO: 1024.0}
    # v2 has 9 splits more than v1: worse, and the gate says so.
    assert exit_code(compared()) == 1
    assert exit_code(compared(same)) == 0
    assert exit_code(replace(compared(same), same=False)) == 3
    assert exit_code(replace(compared(same), same=None)) == 3
    assert exit_code(replace(compared(same), wanted=99)) == 3
    assert exit_code(replace(compared(same), not_built={V2: "build.compile: x"})) == 1
    assert exit_code(compared(same, worlds=3)) == 3
    decided = compared(same).comparison
    gateless = replace(decided, findings=tuple(f for f in decided.findings if f.family != "gate"))
    assert exit_code(replace(compared(same), comparison=gateless)) == 3
    dead = Failures("w", Pair(BASE, V2), 0, 20, 4, 20, 0.12, Verdict.INCONCLUSIVE)
    assert exit_code(replace(compared(same), comparison=replace(decided, failures=(dead,)))) == 3
    both = replace(dead, failed=4)
    assert exit_code(replace(compared(same), comparison=replace(decided, failures=(both,)))) == 0
    empty = replace(compared(same).comparison, boots=0, findings=())
    assert exit_code(replace(compared(same), comparison=empty, wanted=0)) == 4


def test_what_was_forced_is_labelled() -> None:
    forced = compared().plan.model_copy(update={"forced": True})
    differs = [Difference(V2, "compiler", "gcc 12", "clang 14")]
    text = mail_text(replace(compared(), plan=forced, differences=differs))
    assert "FORCED: these variants are not comparable:" in text
    assert "clang 14" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1024.0, "1,024"), (0.0, "0"), (2.5, "2.50"), (66.25, "66.2"), (12345.6, "12,346")],
)
def test_numbers_for_people(value: float, text: str) -> None:
    assert number(value) == text


def test_the_command_to_measure_the_same_again_names_what_is_unusual() -> None:
    usual = compared()
    assert not {"--first", "--accel", "--placebo", "--force"} & set(usual.again.split())
    changed = {"blocks": [5, 6], "machine": "smp-4", "accelerator": "tcg", "control": []}
    other = replace(usual, plan=usual.plan.model_copy(update=changed))
    assert "--blocks 2 --seed 7 --first 5 --accel tcg --placebo none" in other.again
    unusual = {"control": [BASE, f"{BASE}+mine@v3"], "forced": True}
    forced = replace(usual, plan=usual.plan.model_copy(update=unusual))
    assert forced.again.endswith("--seed 7 --placebo mine@v3 --force")


ABSENT = Metric(
    name="absent_after",
    source="at:leaves.absent",
    unit="entries",
    smallest=Smallest(absolute=1),
)


def noisy(variants: Sequence[str], lost: Collection[int] = ()) -> Compared:
    """Return a comparison with a latency that nothing is shown of, and a metric that never differs.

    Of the last variant the worlds in `lost` were lost.
    """
    draw = random.Random(3)  # noqa: S311
    measured = [
        Measured(
            variant,
            "secretmem-idle",
            world,
            Outcome.PASS,
            {
                SPLITS.source: CENTRES[variant] + NOISE[world % 10],
                FAULT.source: 20_000 + draw.gauss(0, 1500),
                ABSENT.source: 5.0,
            },
        )
        for variant in [*variants, PLACEBO]
        for world in range(1, 21)
        if not (variant == variants[-1] and world in lost)
    ]
    comparison = compare(
        measured,
        {"secretmem-idle": [SPLITS, FAULT, ABSENT]},
        pairs_of(variants[0], variants),
        placebo=Pair(BASE, PLACEBO),
    )
    changed = {"variants": list(variants), "workloads": ["secretmem-idle"]}
    plan = compared().plan.model_copy(update=changed | {"blocks": list(range(1, 21))})
    return replace(compared(), plan=plan, comparison=comparison, footprint={})


@pytest.mark.parametrize("variants", [[BASE, V2], [BASE, V1, V2]])
def test_a_mail_says_how_many_worlds_it_would_take(variants: list[str]) -> None:
    found = noisy(variants)
    text = mail_text(found)
    [row] = [line for line in text.splitlines() if line.startswith("  fault_median")]
    needed = [
        one.judgement.needed
        for one in found.comparison.findings
        if one.metric == FAULT and one.family != "placebo"
    ]
    told = [">999" if number > 999 else f"{number}" for number in needed]
    assert re.findall(r"INCONCL\. (\S+)", row) == told
    assert "fault_median (instr.)" in row or "fault_median in instr." in " ".join(text.split())


def test_what_the_same_in_all_worlds_rules_out_is_told_once() -> None:
    """If this failed, EQUIVALENT would be taken for a proof."""
    told = "EQUIV. of an exact metric: the same in all 20 worlds: with 95% confidence at most 14%"
    for width in (100, 78):
        text = " ".join(" ".join(report_lines(noisy([BASE, V1, V2]), width)).split())
        assert text.count(f"{told} of worlds would differ") == 1
        text = " ".join(" ".join(report_lines(noisy([BASE, V1, V2], {3, 4}), width)).split())
        assert text.count("the same in all 18 to 20 worlds: with 95% confidence at most 15%") == 1
        assert "EQUIV. of an exact" not in " ".join(report_lines(compared(), width))


SHARED = {
    "compiler": "gcc (Debian 12.2.0-14) 12.2.0; GNU ld (GNU Binutils for Debian) 2.40",
    "image": "0123456789abcdef",
    "QEMU": "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)",
    "accelerator": "kvm",
}


def test_every_report_says_what_measured() -> None:
    """If this failed, figures of KVM and of TCG would look alike."""
    told = "accelerator kvm, QEMU 7.2.22 (Debian 1:7.2+dfsg-7), compiler gcc (Debian 12.2.0-14)"
    found = replace(compared(), shared=SHARED)
    texts = forms(found) | {"html": comparison_html(found, [])}
    assert json.loads(texts.pop("json"))["shared"] == SHARED
    for form, text in texts.items():
        assert f"{told} 12.2.0" in " ".join(text.split()), form
    older = forms(compared()) | {"html": comparison_html(compared(), [])}
    for form in texts:
        assert "accelerator" not in older[form], form
        assert "Measured by" not in older[form], form
    partly = replace(found, shared={"QEMU": "QEMU emulator version 8.0"})
    assert "\nQEMU 8.0\n" in mail_text(partly)


def test_the_command_names_the_accelerator_that_was_found_where_another_may_be_found() -> None:
    found = replace(compared(), shared=SHARED)
    assert "--accel" not in found.again
    smp = found.plan.model_copy(update={"machine": "smp-4"})
    assert "--accel kvm" in replace(found, plan=smp).again
    assert "--accel" not in replace(compared(), plan=smp).again
    asked = found.plan.model_copy(update={"accelerator": "tcg"})
    assert "--accel" not in replace(found, plan=asked, shared={}).again


def test_on_another_machine_the_words_are_other_ones() -> None:
    """Latencies of a machine with a real clock are nanoseconds, and its blocks are no worlds."""
    smp = compared().plan.model_copy(update={"machine": "smp-4"})
    texts = forms(replace(compared(), plan=smp))
    for form, text in texts.items():
        assert "instr." not in text, form
        assert "instr." in forms(compared())[form], form
    assert "fault_median (ns)" in texts["text"]
    assert "10 blocks each" in texts["mail"]


def forms(shown: Compared) -> dict[str, str]:
    """Return the report in each of its forms but HTML."""
    return {
        "text": "\n".join(report_lines(shown)),
        "mail": mail_text(shown),
        "markdown": markdown_text(shown),
        "json": json.dumps(as_json(shown)),
    }


LOSSES = {
    (V2, "secretmem-idle", 4): "BUG at mm/page_alloc.c:123",
    (V2, "secretmem-idle", 6): "BUG at mm/page_alloc.c:123",
    (V1, "secretmem-idle", 2): "Oops | `it`\n* did",
}


def with_losses(
    losses: dict[tuple[str, str, int], str], centres: dict[str, float] = CENTRES
) -> Compared:
    """Return the comparison where boots of (variant, workload, world) panicked."""
    measured = [
        replace(one, outcome=Outcome.KERNEL_PANIC, values={}, title=losses[key])
        if (key := (one.variant, one.workload, one.block)) in losses
        else one
        for one in boots(centres)
    ]
    whole = compared()
    comparison = compare(
        measured,
        {name: [SPLITS, FAULT] for name in whole.plan.workloads},
        pairs_of(BASE, whole.plan.variants),
        placebo=Pair(BASE, PLACEBO),
        gates=[("secretmem-idle", "level2_splits")],
        seed=7,
    )
    return replace(whole, comparison=comparison, boots=measured)


def test_every_report_says_what_boots_died_of() -> None:
    found = with_losses(LOSSES)
    told = "2 x kernel.panic: BUG at mm/page_alloc.c:123 (world 4 first)"
    texts = forms(found)
    assert f"  v2 secretmem-idle: {told}" in texts["text"].splitlines()
    assert f"v2 secretmem-idle: {told}" in " ".join(texts["mail"].split())
    assert f"- v2 secretmem-idle: `{told}`" in texts["markdown"].splitlines()
    # What a kernel says is on one line, and ends no code.
    assert "``1 x kernel.panic: Oops | `it` * did (world 2)``" in texts["markdown"]
    assert as_json(found)["deaths"][1] == {
        "workload": "secretmem-idle",
        "variant": V2,
        "outcome": "kernel.panic",
        "title": "BUG at mm/page_alloc.c:123",
        "boots": 2,
        "first_block": 4,
    }
    assert as_json(compared())["deaths"] == []
    assert "did not come through" not in forms(compared())["text"]


def clean_but_for(losses: dict[tuple[str, str, int], str]) -> Compared:
    """Return a comparison that would end with 0, were it not for boots that panicked."""
    return with_losses(losses, CENTRES | {V2: CENTRES[V1]})


def test_a_placebo_that_crashes_is_not_clean() -> None:
    """If this failed, a control that says nothing, or is worse, would vouch for the others."""
    assert exit_code(clean_but_for({})) == 0
    some = clean_but_for({(PLACEBO, "secretmem-idle", world): "dead" for world in range(1, 9)})
    every = clean_but_for({(PLACEBO, "secretmem-idle", world): "dead" for world in range(1, 11)})
    rates = "boots of it did not come through, of the base 0 of 10"
    none = "secretmem-idle: no world that both it and the base came through"
    for found, words in (
        (some, f"NOT CLEAN: secretmem-idle: 8 of 10 {rates}; of "),
        (every, f"NOT CLEAN: secretmem-idle: 10 of 10 {rates}; {none}; of "),
    ):
        assert exit_code(found) == 3
        texts = forms(found) | {"html": comparison_html(found, [])}
        told = as_json(found)
        assert (told["exit_code"], told["placebo_clean"]) == (3, False)
        assert "; ".join(told["placebo_doubts"]) in words
        del texts["json"]
        for form, text in texts.items():
            assert words in " ".join(text.split()), form
            assert "came through; clean" not in text, form


def test_a_workload_without_a_world_of_the_placebo_is_not_clean() -> None:
    """Neither dies more often than the other, and there is nothing to hold against each other."""
    half = {(PLACEBO, "secretmem-idle", world): "dead" for world in range(1, 6)}
    half |= {(BASE, "secretmem-idle", world): "dead" for world in range(6, 11)}
    found = clean_but_for(half)
    assert found.comparison.unmeasured == ("secretmem-idle",)
    assert not any(one.verdict.differs for one in found.comparison.placebo_failures)
    assert as_json(found)["placebo_clean"] is False
    assert "NOT CLEAN: secretmem-idle: no world that both" in forms(found)["text"]


def test_few_deaths_of_the_placebo_are_told_with_it() -> None:
    found = clean_but_for({(PLACEBO, "secretmem-idle", 3): "dead"})
    told = " ".join(forms(found)["text"].split())
    assert "clean; secretmem-idle: 1 of 10 boots of it did not come through" in told
    assert "too few to tell; of " in told
    assert (exit_code(found), as_json(found)["placebo_clean"]) == (3, True)


def test_the_placebo_s_deaths_are_nobody_else_s() -> None:
    """They neither make a version worse nor are they weighed beside what versions died of."""
    losses = {(PLACEBO, "secretmem-idle", world): "dead" for world in range(1, 7)}
    alone = clean_but_for(losses).comparison.placebo_failures
    losses |= {(V1, "secretmem-fragmented", world): "dead" for world in range(1, 4)}
    beside = clean_but_for(losses).comparison
    assert beside.placebo_failures == alone
    assert [one.pair.new for one in beside.failures] == [V1, V2, PLACEBO]


def test_a_placebo_that_never_booted_is_not_taken_for_none(tmp_path: Path) -> None:
    plan = compared().plan
    folder = new_folder(tmp_path, plan)
    with folder:
        for one in boots(CENTRES):
            if one.variant != PLACEBO:
                boot = Boot(one.variant, one.workload, one.block)
                folder.append(BootRecord(boot, one.outcome, values=dict(one.values)))
    found = analyse(folder, plan, {key: load_workload(key, TESTCASES) for key in WORKLOADS})
    assert (found.comparison.clean, found.comparison.unmeasured) == (False, WORKLOADS)
    text = " ".join(forms(found)["text"].split())
    assert f"NOT CLEAN: {', '.join(WORKLOADS)}: no world that both it and the base" in text
    assert "No placebo" not in text


def test_a_placebo_that_does_not_compile_makes_no_version_worse() -> None:
    found = clean_but_for({(PLACEBO, key, n): "" for key in WORKLOADS for n in range(1, 11)})
    assert exit_code(replace(found, not_built={PLACEBO: "build.compile: x"})) == 3


def test_a_gate_that_went_up_and_down_is_not_decided() -> None:
    decided = clean_but_for({})
    one = decided.comparison.gates()[0]
    evidence = replace(
        one.evidence, interval=Interval(-400.0, 700.0), blocks=20, differing=20, above=11
    )
    gate = replace(one, evidence=evidence, judgement=Judgement(Verdict.CHANGED, "differs"))

    def code(found: Finding) -> int:
        findings = tuple(found if each is one else each for each in decided.comparison.findings)
        changed = replace(decided.comparison, findings=findings)
        return exit_code(replace(decided, comparison=changed))

    assert code(gate) == 3
    small = replace(evidence, interval=Interval(-4.0, 7.0))
    assert code(replace(gate, evidence=small)) == 0
    assert code(replace(gate, evidence=replace(evidence, interval=Interval(50.0, 300.0)))) == 0


def test_verdicts_of_other_worlds_are_marked() -> None:
    """Columns of different worlds are never beside a verdict as if they were its figures."""
    for form, text in forms(with_losses(LOSSES)).items():
        if form == "json":
            continue
        told = " ".join(text.split())
        assert "v1-base 9 of 10, v2-base 8 of 10, v2-v1 7 of 10" in told, form
        assert "IMPROVED~" in told, form
    idle = report_lines(with_losses(LOSSES))
    idle = idle[idle.index("secretmem-idle") :]
    [row] = [line for line in idle[:8] if "level2_splits" in line]
    assert [word[-1] for word in row.split()[-3:]] == ["~", "~", "~"]
    assert "~" not in forms(compared())["text"]


def test_an_arm_without_a_boot_says_so() -> None:
    dead = {(V2, "secretmem-idle", world): "dead" for world in range(1, 11)}
    found = with_losses(dead)
    for width in (100, 78):
        lines = report_lines(found, width)
        lines = lines[lines.index("secretmem-idle") :]
        [row] = [line for line in lines[:8] if "level2_splits" in line]
        assert row.split()[-5:] == ["IMPROVED", "no", "boot", "no", "boot"]
    cells = [line.split(" | ") for line in markdown_text(found).splitlines() if "v2-base" in line]
    [mine] = [one for one in cells if one[0] == "| level2_splits (gate)"]
    assert mine[2:6] == ["-", "-", "splits", "no boot"]
    assert "INCONCLUSIVE, no block" not in forms(found)["text"]


def test_what_boots_but_lacks_a_metric_is_not_called_dead() -> None:
    """A counter that only the series adds has no value on the reference."""
    measured = [
        one
        if one.variant != BASE
        else replace(one, values={k: v for k, v in one.values.items() if k != FAULT.source})
        for one in boots(CENTRES)
    ]
    comparison = compare(
        measured,
        {name: [SPLITS, FAULT] for name in compared().plan.workloads},
        pairs_of(BASE, [BASE, V1, V2]),
        placebo=None,
    )
    text = "\n".join(report_lines(replace(compared(), comparison=comparison)))
    [row] = [line for line in text.splitlines() if "fault_median" in line][:1]
    assert row.split()[-5:-1] == ["no", "value", "no", "value"]
    assert "no boot" not in text


def test_markdown_says_all_that_the_others_say() -> None:
    forced = compared().plan.model_copy(update={"forced": True})
    text = markdown_text(
        replace(
            compared(),
            plan=forced,
            wanted=90,
            differences=[Difference(V2, "compiler", "gcc 12", "clang 14")],
            not_built={V2: "build.compile: mm/x.c:1: `y'\n```\nundeclared"},
        )
    )
    assert "**FORCED: these variants are not comparable:**" in text
    assert "clang 14" in text
    # A compiler's words can't end the block that they are in.
    assert f"**NOT BUILT:** `{V2}`:\n\n````\nbuild.compile: mm/x.c:1: `y'\n```\n" in text
    assert "profile fast, machine deterministic, 10 worlds each, 80 of 90 boots" in text
    assert "## Gates\n\nGates (*): 3 tests, p adjusted together (Holm)" in text
    assert "| v2-v1 | secretmem-fragmented level2_splits | REGRESSED | +9 splits" in text
    assert "| text bytes | 8,236,970 | 8,238,262 |" in text
    assert "| new lines | - | 287 |" in text
    assert "- Placebo (the base, its code moved about): clean" in text
    assert f"```\n{replace(compared(), plan=forced).again}\n```" in text


@pytest.mark.parametrize("width", [100, 78])
@pytest.mark.parametrize(
    "news",
    [
        ["git:/home/somebody/src/linux@v6.2"],
        ["debian-6.1+gfp-unmapped@2023-03-08", "debian-6.1+unmapped-alloc@2023-03-08"],
        [f"tree:/home/somebody/linux-{'x' * 30}{number}" for number in range(5)],
        ["debian-6.12", "debian-6.6.123"],
    ],
)
def test_long_labels_leave_room_for_the_metrics_names(news: list[str], width: int) -> None:
    base = "git:/home/somebody/src/linux@v6.1"
    renamed = dict(zip([V1, V2], news, strict=False)) | {BASE: base, PLACEBO: f"{base}+placebo@v1"}
    variants = [base, *news]
    centres = {renamed.get(name, name): CENTRES[name] for name in (BASE, PLACEBO)}
    centres |= {name: 7.0 + 1e9 * place for place, name in enumerate(news)}
    measured = boots(centres)
    plan = compared().plan.model_copy(
        update={"variants": variants, "control": [base, renamed[PLACEBO]]}
    )
    comparison = compare(
        measured,
        {name: [SPLITS, FAULT, NOT_RETURNED] for name in plan.workloads},
        pairs_of(base, variants),
        placebo=Pair(base, renamed[PLACEBO]),
    )
    sizes = {"text_bytes": 12345678, "changed_lines": 1234}
    shown = replace(
        compared(),
        plan=plan,
        comparison=comparison,
        footprint=dict.fromkeys(variants, sizes),
    )
    lines = report_lines(shown, width)
    # A path that is longer than a line alone is not broken.
    assert [line for line in lines if len(line) > width and len(line.split()) > 2] == []
    tables = sum(line.startswith("  level2_splits") for line in lines)
    assert tables == sum(line.startswith("  memory_not_returned_at_all") for line in lines) > 0
    labels = list(shown.labels.values())
    assert len(set(labels)) == len(labels)
    for name, label in shown.labels.items():
        assert f"{label} {name}" in " ".join(" ".join(lines).split())


def test_a_comparison_of_what_differs_by_half_a_million_says_so_in_whole_numbers() -> None:
    text = " ".join(forms(compared({**CENTRES, V1: 474_224.0}))["mail"].split())
    assert "+473,200 splits" in text or "+473,201 splits" in text or "+473,199 splits" in text
    for form in forms(compared({**CENTRES, V1: 474_224.0})).values():
        assert "e+05" not in form
