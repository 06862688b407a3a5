# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ParseError, UserError
from harness.guest.completed import Completed
from harness.guest.script import ScriptResult, StepResult
from harness.measure.attribution import (
    CONFIG,
    HISTOGRAM,
    Counted,
    counted,
    folded,
    parse_histogram,
    site_of,
    sites,
    splits_of,
    steps_of,
)
from harness.measure.workload import AFTER, BEFORE, END, load_workload
from harness.outcomes import Outcome
from harness.paths import TESTCASES
from harness.report.attribution import attribution_json, attribution_lines
from harness.results.attribution import (
    FILE,
    AttributedBoot,
    Attribution,
    attributed,
    read_attribution,
    write_attribution,
    write_folded,
)

# A guest of debian-6.1 (wide) that had 64 pages of secretmem and loaded and unloaded two modules,
# with free memory scattered; /proc/vmstat counted 216 splits.
SAMPLE = (Path(__file__).parent / "data" / "split-stacks.txt").read_text()
BASE, V1, V2 = "debian-6.1", "debian-6.1+gfp-unmapped@v1", "debian-6.1+gfp-unmapped@v2"
LABELS = {BASE: "base", V1: "v1", V2: "v2"}
REFILL = ("__change_page_attr_set_clr", "set_pages_np", "refill", "__alloc_pages", "module_alloc")
HELD = (
    "__change_page_attr_set_clr",
    "set_direct_map_invalid_noflush",
    "secretmem_fault",
    "do_fault",
)


def test_a_real_histogram_accounts_for_what_was_counted() -> None:
    found = splits_of(parse_histogram(SAMPLE))
    assert sum(found.values()) == 216
    assert {one.name: one.counts["base"] for one in sites({"base": found})} == {
        "__vunmap < __x64_sys_delete_module": 139,
        "secretmem_fault": 64,
        "module_enable_ro < load_module < __do_sys_init_module": 12,
        "module_enable_ro < load_module < __do_sys_finit_module": 1,
    }


def test_other_flushes_are_no_splits() -> None:
    """The same function flushes after permissions have changed: 8 of the sample's 225 stacks."""
    histogram = parse_histogram(SAMPLE)
    assert sum(histogram.stacks.values()) == 225
    assert not any(stack[0] == "change_page_attr_set_clr" for stack in splits_of(histogram))


def test_compilers_names_and_modules_and_addresses() -> None:
    text = """# event histogram
{ common_stacktrace:
         flush_tlb_all+0x5/0x30
         __split_large_page.isra.0+0x1/0x2
         split_large_page.constprop.0.isra.1+0x1/0x2
         0xffffffffc021e0c8
         wants_it+0x10/0x20 [patchbed_oracle]
} hitcount:          3

Totals:
    Hits: 3
    Entries: 1
    Dropped: 2
"""
    histogram = parse_histogram(text)
    assert histogram.dropped == 2
    [(stack, count)] = splits_of(histogram).items()
    assert count == 3
    assert stack[:2] == ("__split_large_page", "split_large_page")
    assert site_of(stack) == "0xffffffffc021e0c8 < wants_it [patchbed_oracle]"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Totals:", "Summe:", "neither a stack nor a total"),
        ("    Dropped: 0\n", "", "cut"),
        ("Hits: 225", "Hits: 226", "do not make its totals"),
        ("Entries: 12", "Entries: 13", "do not make its totals"),
        ("secretmem_fault+0xea/0x450", "secretmem fault", "not a frame"),
        ("} hitcount:         64", "} hitcount: many", "not a frame"),
    ],
)
def test_what_is_damaged_is_refused(old: str, new: str, words: str) -> None:
    assert old in SAMPLE
    with pytest.raises(ParseError, match=words):
        parse_histogram(SAMPLE.replace(old, new))


@given(st.integers(min_value=0, max_value=len(SAMPLE) - 1))
def test_a_cut_is_noticed(end: int) -> None:
    """Counts of half a file would be taken for a variant that splits less."""
    if SAMPLE[:end].rstrip() == SAMPLE.rstrip():
        return
    try:
        found = parse_histogram(SAMPLE[:end])
    except ParseError:
        return
    # All that can be missing is a part of the last number, and that is no stack's.
    assert found.stacks == parse_histogram(SAMPLE).stacks


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(ParseError):
        parse_histogram(text)


def test_sites_are_compared_with_the_reference() -> None:
    found = sites({BASE: {HELD: 1024}, V1: {REFILL: 4, HELD: 24}})
    assert [one.name for one in found] == [
        "secretmem_fault",
        "refill < __alloc_pages < module_alloc",
    ]
    assert found[0].differences == {V1: -1000}
    assert found[1].counts == {BASE: 0, V1: 4}


def test_flame_graphs_want_the_outermost_first() -> None:
    assert folded({("b", "a [mod]"): 2, ("c", "a"): 1}) == "a;c 1\na_[mod];b 2\n"


def result(files: dict[str, dict[str, bytes]]) -> ScriptResult:
    done = Completed(0, b"", b"")
    return ScriptResult(
        tuple(StepResult(name, Outcome.PASS, done, mine) for name, mine in files.items())
    )


def vmstat(level2: int, level3: int) -> dict[str, bytes]:
    text = f"direct_map_level2_splits {level2}\ndirect_map_level3_splits {level3}\n"
    return {"/proc/vmstat": text.encode()}


def test_what_is_counted_is_what_is_measured() -> None:
    """Counting begins before the first pull and is read after the last."""
    workload = load_workload("modules-fragmented", TESTCASES)
    steps = steps_of(workload, 3)
    names = [step.name for step in steps]
    place = names.index(BEFORE)
    # What counting takes of memory is taken before the workload prepares its own.
    assert ":pause" in steps[0].command
    assert steps[1 : place - 1] == workload.steps(3)[: place - 2]
    assert ":cont' >> " in steps[place - 1].command
    assert steps[-1].files == (HISTOGRAM,)
    assert names.index(END) == len(names) - 2
    files = {BEFORE: vmstat(2, 1), AFTER: vmstat(50, 1), END: vmstat(217, 2)}
    found = counted(result(files | {names[-1]: {HISTOGRAM: SAMPLE.encode()}}))
    assert found.splits == 216
    assert sum(found.stacks.values()) == 216


def test_a_guest_without_a_histogram_is_no_guest_without_splits() -> None:
    steps = steps_of(load_workload("secretmem-idle", TESTCASES), 1)
    files = {BEFORE: vmstat(2, 1), AFTER: vmstat(50, 1)}
    with pytest.raises(ParseError, match="can't be read"):
        counted(result(files | {steps[-1].name: {}}))


def boot(variant: str, stacks: dict[tuple[str, ...], int], splits: int) -> AttributedBoot:
    return attributed(variant, "modules-idle", Counted(stacks, splits))


def found(*boots: AttributedBoot) -> Attribution:
    return Attribution(profile="wide", world=1, boots=list(boots))


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    assert read_attribution(tmp_path) is None
    kept = found(boot(BASE, {HELD: 5, REFILL: 9}, 14))
    write_attribution(tmp_path, kept)
    again = read_attribution(tmp_path)
    assert again == kept
    assert again.boots[0].counts() == {HELD: 5, REFILL: 9}
    write_folded(tmp_path, again.boots[0])
    assert (tmp_path / "stacks.folded").read_text().startswith("do_fault;secretmem_fault;")
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(UserError, match=FILE):
        read_attribution(tmp_path)


def test_only_what_the_host_failed_in_is_booted_again() -> None:
    lost = AttributedBoot(variant=V1, workload="modules-idle", outcome=Outcome.INFRA_QEMU)
    kept = found(boot(BASE, {}, 0), lost)
    assert kept.settled(BASE, "modules-idle")
    assert not kept.settled(BASE, "secretmem-idle")
    assert not kept.settled(V1, "modules-idle")
    crashed = lost.model_copy(update={"outcome": Outcome.KERNEL_PANIC})
    kept = kept.with_boot(crashed)
    assert kept.settled(V1, "modules-idle")
    assert len(kept.boots) == 2


def test_the_table_has_counts_and_differences_and_doubts() -> None:
    kept = found(boot(BASE, {HELD: 1024}, 1030), boot(V1, {REFILL: 4}, 4))
    lines = attribution_lines(kept, [[BASE, V1, V2]], LABELS, 100)
    text = "\n".join(lines)
    assert re.search(r"^  secretmem_fault +1,024 +0 +-1,024$", text, re.MULTILINE)
    assert re.search(r"^  refill < __alloc_pages < module_alloc +0 +4 +\+4$", text, re.MULTILINE)
    assert re.search(r"^  splits, by /proc/vmstat +1,030 +4 +-1,026$", text, re.MULTILINE)
    assert "base: stacks tell of 1,024 of 1,030 splits" in text
    assert "v1: stacks tell" not in text
    assert "v2: not booted for it" in text
    assert "boots of their own" in lines[0]


@pytest.mark.parametrize("width", [78, 100])
def test_no_line_is_too_long(width: int) -> None:
    deep = ("__change_page_attr_set_clr", *(f"a_function_of_some_name_{n}" for n in range(9)))
    many: dict[tuple[str, ...], int] = {(*HELD[:2], f"function_{n}"): n + 1 for n in range(40)}
    failed = AttributedBoot(
        variant=V2, workload="modules-idle", outcome=Outcome.BUILD_COMPILE, title="why " * 40
    )
    kept = found(boot(BASE, many, 3), boot(V1, {deep: 1000000}, 1000000), failed)
    lines = attribution_lines(kept, [[BASE, V1, V2]], LABELS, width)
    assert max(map(len, lines)) <= width
    assert any("more: see results.json" in line for line in lines)
    assert any("v2: build.compile: why" in line for line in lines)


def test_json_has_every_stack() -> None:
    kept = found(boot(BASE, {HELD: 1024}, 1030), boot(V1, {REFILL: 4}, 4))
    data = attribution_json(kept, [BASE, V1, V2])["workloads"]["modules-idle"]
    assert [one["attributed"] for one in data["boots"]] == [1024, 4]
    assert data["boots"][0]["stacks"] == [{"frames": list(HELD), "count": 1024}]
    assert data["sites"][0]["differences"] == {V1: -1024}


def test_the_profile_that_is_asked_has_what_it_takes() -> None:
    from harness.kernel.profile import load_profile
    from harness.run.attribute import PROFILE

    asked = {one.symbol for one in load_profile(PROFILE).requests if one.value == "y"}
    assert asked.issuperset(CONFIG)


def test_who_is_asked() -> None:
    from harness.results.measurements import StoredPlan
    from harness.run.attribute import asked_of

    plan = StoredPlan(
        command=[],
        variants=[BASE, V1],
        control=[BASE, "debian-6.1+placebo@v1"],
        profile="fast",
        machine="deterministic",
        accelerator="auto",
        workloads=["idle-boot", "secretmem-idle"],
        blocks=[1],
        seed=1,
        gates=[],
        version="1",
    )
    workloads = {key: load_workload(key, TESTCASES) for key in plan.workloads}
    assert asked_of(plan, workloads) == [(BASE, "secretmem-idle"), (V1, "secretmem-idle")]
