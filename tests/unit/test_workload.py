# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ConfigError, ParseError, UserError
from harness.guest.completed import Completed
from harness.guest.programs import find_programs
from harness.guest.script import ScriptResult, Step, StepResult
from harness.measure.values import snapshot, splits_of, values_of
from harness.measure.workload import (
    AFTER,
    BEFORE,
    END,
    PULLED,
    Workload,
    list_workloads,
    load_workload,
)
from harness.outcomes import Outcome
from harness.paths import TESTCASES

ALL = list_workloads(TESTCASES)
SPANS = ("", "at", "end")
SOURCE = re.compile(
    r"^(?:(at|end):)?(vmstat|meminfo|leaves|cache|interrupts|cpa|out)\.[A-Za-z0-9_()]+$"
)

TABLES = """---[ Low Kernel Mapping ]---
0xffff888000000000-0xffff888000200000           2M     RW                 GLB NX pte
0xffff888000200000-0xffff888040000000        1022M     RW         PSE     GLB NX pmd
0xffff888040000000-0xffff888040003000          12K                                  pte
0xffff888040003000-0xffff888040200000        2036K     RW                 GLB NX pte
---[ vmalloc() Area ]---
"""


def test_there_are_those_that_show_both_sides() -> None:
    """If idle ones were missing, a report would show the gain and not where there is none."""
    assert {"idle-boot", "secretmem-idle", "secretmem-fragmented"} <= set(ALL)
    assert {"modules-idle", "modules-fragmented"} <= set(ALL)
    assert {"pressure", "mixed-churn", "bpf-jit", "allocation-cost"} <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_workload_can_be_used(name: str) -> None:
    workload = load_workload(name, TESTCASES)
    assert workload.key == name
    assert workload.metrics
    assert all(SOURCE.match(metric.source) for metric in workload.metrics)
    steps = workload.steps(3)
    assert len({step.name for step in steps}) == len(steps)
    programs = {program.stem for program in find_programs(TESTCASES)}
    for step in steps:
        checked = subprocess.run(["sh", "-n"], input=step.command, text=True, check=False)
        assert checked.returncode == 0
        called = re.findall(r"\bworkload_\w+", step.command)
        assert set(called) <= programs


@pytest.mark.parametrize("name", ALL)
def test_a_metric_that_is_printed_is_printed_by_its_phase(name: str) -> None:
    """`out.` of a step that has not run yet would be missing in every boot."""
    workload = load_workload(name, TESTCASES)
    phases = {"at": "prepare", "": "work", "end": "release"}
    for metric in workload.metrics:
        span, _, source = metric.source.rpartition(":")
        wanted = phases[span]
        if source.startswith("out.") or span == "end":
            assert any(step.phase == wanted for step in workload.file.steps), metric.name


@pytest.mark.parametrize("name", ALL)
def test_splits_of_both_sizes_are_those_of_the_same_time(name: str) -> None:
    """Else a 1G mapping that falls when all is given back is missing beside its 2M ones."""
    sources = [one.source for one in load_workload(name, TESTCASES).metrics]
    spans = {one.rpartition(":")[0] for one in sources if re.search(r"level[23]_splits$", one)}
    assert len(spans) < 2


def test_the_world_decides_what_is_drawn_and_nothing_else() -> None:
    workload = load_workload("modules-idle", TESTCASES)
    assert workload.variables(1) == workload.variables(1)
    assert workload.variables(1)["order"] != workload.variables(2)["order"]
    assert len(workload.variables(1)["order"].split()) == 24
    few = load_workload("modules-idle:count=3", TESTCASES)
    assert len(few.variables(1)["order"].split()) == 3


def test_parameters_are_part_of_the_name() -> None:
    small = load_workload("secretmem-idle:pages=64", TESTCASES)
    assert small.key == "secretmem-idle:pages=64"
    assert "pages='64'\n" in small.steps(1)[1].command
    usual = load_workload("secretmem-idle:pages=1024", TESTCASES)
    assert usual.key == "secretmem-idle"
    assert small.digest != usual.digest


def test_bpf_programs_need_a_kernel_that_compiles_them() -> None:
    """Without the compiler nothing is allocated for code, and no version could differ."""
    workload = load_workload("bpf-jit", TESTCASES)
    config = dict.fromkeys(workload.file.config, "y")
    assert workload.lacks(config) == []
    assert workload.lacks(config | {"BPF_JIT": "n"}) == ["BPF_JIT"]


def test_each_round_of_churn_has_pages_and_a_module() -> None:
    workload = load_workload("mixed-churn:rounds=5,kept=2", TESTCASES)
    [step] = [one for one in workload.steps(7) if one.name == "churn"]
    stubs = "workload_churn() { echo $*; }\nsleep() { :; }\n"
    said = subprocess.run(
        ["sh"], input=stubs + step.command, text=True, capture_output=True, check=True
    ).stdout.split()
    drawn = workload.variables(7)
    assert said[0] == "2"
    assert said[1:] == [
        f"{pages}:/patchbed/modules/patchbed_{module}.ko"
        for pages, module in zip(drawn["pages"].split(), drawn["order"].split(), strict=True)
    ]


HELD = """0xffff888100400000 0x100400 1024 2 present readable rw nx
0xffff888100800000 0x100800 512 1 present readable rw nx
0xffff888100a00000 0x100a00 3 1 absent faults ro nx
0xffff888140000000 0x140000 262144 3 present readable rw nx
"""


def test_what_others_got_under_pressure_is_counted() -> None:
    """The oracle's lines, one a run of pages, as figures: level 1 is 4K, 2 is 2M, 3 is 1G."""
    workload = load_workload("pressure", TESTCASES)
    [step] = [one for one in workload.file.steps if one.name == "squeeze"]
    found = re.search(r"awk '(.*?)'", step.command, re.DOTALL)
    assert found is not None
    said = subprocess.run(
        ["busybox", "awk", found[1]], input=HELD, text=True, capture_output=True, check=True
    ).stdout
    assert said.splitlines() == [
        "taken_pages 263683",
        "taken_absent 3",
        "taken_by_4k 515",
        "taken_by_2m 263168",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonesuch", "choose from: .*secretmem-idle"),
        ("secretmem-idle:sizes=3", "parameters: pages"),
        ("secretmem-idle:pages=0", "from 1 to"),
        ("secretmem-idle:pages=-1", "from 1 to"),
        ("secretmem-idle:pages=x", "from 1 to"),
        ("secretmem-idle:pages=²", "from 1 to"),
        ("secretmem-idle:pages", "from 1 to"),
    ],
)
def test_what_does_not_exist_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load_workload(text, TESTCASES)
    assert re.search(words, str(caught.value))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('[[steps]]\nname = "a"\nphase = "release"\ncommand = ":"\n'
         '[[steps]]\nname = "b"\ncommand = ":"\n', "order"),
        ('[choices.x]\nvalues = ["a"]\ncount = "nonesuch"\n', "nonesuch"),
        ("[parameters.x]\ndefault = 3\nleast = 4\nmost = 5\n", "from `least`"),
        ('[[metrics]]\nname = "a"\nsource = "out.a"\n' * 2, "same name"),
        ('[[metrics]]\nname = "a"\nsource = "out.a"\nnonesuch = 1\n', "nonesuch"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, toml: str, words: str) -> None:
    folder = tmp_path / "workloads" / "w"
    folder.mkdir(parents=True)
    (folder / "workload.toml").write_text('description = "x"\nversion = 1\n' + toml)
    with pytest.raises(ConfigError, match=words):
        load_workload("w", tmp_path)


def files(splits: int, free: int, tables: str = TABLES) -> dict[str, bytes]:
    texts = (
        f"nr_free_pages {free // 4}\ndirect_map_level2_splits {splits}\n",
        f"MemTotal:  4000000 kB\nMemFree:  {free} kB\nDirectMap4k:  {2048 * splits} kB\n",
        tables,
    )
    return {path: text.encode() for path, text in zip(PULLED, texts, strict=False)}


def result_of(workload: Workload) -> ScriptResult:
    pulls = {BEFORE: files(2, 4000), AFTER: files(66, 3000), END: files(66, 3900)}
    said = b"fault_first 9\nfault_median 7\nfault_total 70\nheld\nrelease_total 5\n"

    def came(step: Step) -> StepResult:
        completed = Completed(0, b"" if step.name in pulls else said, b"")
        return StepResult(step.name, Outcome.PASS, completed, pulls.get(step.name, {}))

    return ScriptResult(tuple(came(step) for step in workload.steps(1)))


def test_values_are_what_changed() -> None:
    workload = load_workload("secretmem-idle:pages=64", TESTCASES)
    with pytest.raises(ParseError, match="direct_map_level3_splits"):
        values_of(workload, result_of(workload))
    few = [one for one in workload.metrics if "level3" not in one.source]
    file = workload.file.model_copy(update={"metrics": few})
    workload = Workload(workload.name, file, workload.parameters, workload.digest)
    values = values_of(workload, result_of(workload))
    assert values["vmstat.direct_map_level2_splits"] == 64
    assert values["end:meminfo.MemUsed"] == 100
    assert values["end:out.release_total"] == 5
    assert values["out.fault_median"] == 7
    assert values["leaves.all"] == 0
    # Totals of the boot, and sizes that nobody asked for, are left out.
    assert not [name for name in values if name.startswith("at:")]
    assert "meminfo.MemFree" not in values


def test_splits_are_known_at_every_tenth_of_the_work() -> None:
    workload = load_workload("secretmem-idle:pages=64", TESTCASES)
    result = result_of(workload)
    assert splits_of(workload, result) == {}
    at = {"hold": b"at 0 7\nat 10 9\nat 100 71\nheld\n", "release": b"at 0 99\n"}
    steps = [
        replace(step, completed=Completed(0, at.get(step.name, b""), b"")) for step in result.steps
    ]
    assert splits_of(workload, ScriptResult(tuple(steps))) == {0: 0, 10: 2, 100: 64}


def pulled(cpus: int) -> dict[str, bytes]:
    """Return a pull of a guest whose kernel counts flushes."""
    heading = " " * 11 + "".join(f"CPU{cpu:<8d}" for cpu in range(cpus))
    row = "".join(f"{10 + cpu:10d} " for cpu in range(cpus))
    texts = {
        "/proc/vmstat": "nr_tlb_remote_flush 7\nnr_tlb_remote_flush_received 9\n"
        "nr_tlb_local_flush_all 3\n",
        "/proc/interrupts": f"{heading}\nLOC: {row}  Local timer interrupts\n"
        f"CAL: {row}  Function call interrupts\n",
        "/sys/kernel/debug/x86/cpa_stats": "2M pages preserved:   4\n",
    }
    assert set(texts) <= set(PULLED)
    return {path: text.encode() for path, text in texts.items()}


def test_what_cpus_ask_of_each_other_is_counted() -> None:
    assert snapshot(pulled(cpus=3)) == {
        "vmstat.nr_tlb_remote_flush": 7,
        "vmstat.nr_tlb_remote_flush_received": 9,
        "vmstat.nr_tlb_local_flush_all": 3,
        "interrupts.CAL": 33,
        "cpa.2M_preserved": 4,
    }


def test_on_one_cpu_there_are_no_remote_flushes_to_count() -> None:
    assert snapshot(pulled(cpus=1)) == {"vmstat.nr_tlb_local_flush_all": 3, "cpa.2M_preserved": 4}


def test_a_pull_counts_the_direct_map() -> None:
    values = snapshot(files(0, 4))
    assert values["leaves.4K"] == 512 + 509
    assert values["leaves.2M"] == 511
    assert values["leaves.all"] == 512 + 509 + 511
    assert values["leaves.absent"] == 3
    assert values["leaves.ranges"] == 4
