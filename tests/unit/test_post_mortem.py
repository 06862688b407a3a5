# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.cli.boot import spell_out
from harness.errors import GuestDied, UserError
from harness.guest.crash import Report
from harness.guest.gdb import gdb_argv
from harness.guest.machine import Machine
from harness.guest.post_mortem import backtrace, lockup_of, write_bundle
from harness.guest.silence import CpuState
from harness.guest.trouble import Kind
from harness.outcomes import Outcome
from harness.run.boot_job import BootRequest, again_argv, check_request

# A panic that an NMI made, shortened: CPU 0 took it and asked CPU 1.
LINES = tuple(
    f"[    2.{number:06d}] {text}"
    for number, text in enumerate(
        [
            "Kernel panic - not syncing: NMI: Not continuing",
            "Call Trace:",
            " <NMI>",
            " panic+0xf9/0x267",
            " default_do_nmi+0x1d7/0x220",
            " end_repeat_nmi+0x16/0x1f",
            "RIP: 0010:smp_call_function_many_cond+0xe6/0x2e0",
            " </NMI>",
            "NMI backtrace for cpu 0",
            "RIP: 0010:smp_call_function_many_cond+0xe6/0x2e0",
            "Sending NMI from CPU 0 to CPUs 1:",
            "NMI backtrace for cpu 1",
            "RIP: 0010:crasher_spin_irq+0x3/0x10 [crasher]",
            "Call Trace:",
            " <TASK>",
            " crasher_spinner+0x5/0x10 [crasher]",
            " kthread+0xbb/0xe0",
            " </TASK>",
            "Kernel Offset: disabled",
        ]
    )
)
REPORT = Report(Kind.PANIC, "Kernel panic - not syncing: NMI: Not continuing", LINES)


def test_a_lockup_is_told_by_the_stuck_cpus_own_backtrace() -> None:
    stuck = CpuState(1, 0xFFFFFFFFC00000E3, False, True, False)
    found = lockup_of(REPORT, stuck)
    assert found.title == "hard lockup: CPU 1 spins in crasher_spin_irq with interrupts off"
    assert (found.kind, found.outcome) == (Kind.HARD_LOCKUP, Outcome.KERNEL_LOCKUP)
    assert [frame.function for frame in found.frames] == [
        "crasher_spin_irq",
        "crasher_spinner",
        "kthread",
    ]
    assert found.lines == LINES


def test_a_cpus_backtrace_is_its_own_alone() -> None:
    assert backtrace(LINES, 0)[-1].startswith("Sending NMI")
    assert backtrace(LINES, 1)[0] == "NMI backtrace for cpu 1"
    assert backtrace(LINES, 2) == []


def test_a_bundle_can_be_read_by_machine_and_by_shell(tmp_path: Path) -> None:
    death = GuestDied(
        Outcome.KERNEL_OOPS, "title", kind="oops", function="f", fingerprint="ab", stack=("f+0x1",)
    )
    write_bundle(tmp_path, death, ["printf", "%s|", "a b", "c'd"], "notes")
    facts = json.loads((tmp_path / "crash.json").read_text())
    assert (facts["kind"], facts["function"], facts["notes"]) == ("oops", "f", "notes")
    assert (tmp_path / "stack").read_text() == "kernel.oops: title\n  f+0x1\n"
    again = subprocess.run([tmp_path / "again"], capture_output=True, text=True, check=True)
    assert again.stdout == "a b|c'd|"


def test_a_bundle_on_a_disk_that_takes_nothing_is_no_failure(tmp_path: Path) -> None:
    write_bundle(tmp_path / "none", GuestDied(Outcome.KERNEL_LOST, "title"), ["x"])


def test_the_same_again() -> None:
    request = BootRequest(
        "debian-6.1+s@v1",
        machine="deterministic",
        world=7,
        timeout=2.5,
        kernel_args=("a=b c",),
        command=("sh", "-c", "x"),
    )
    assert again_argv(request) == (
        *("patchbed", "boot", "debian-6.1+s@v1", "--profile", "fast"),
        *("--machine", "deterministic", "--accel", "auto", "--world", "7"),
        *("--timeout", "2.5", "--kernel-arg", "a=b c", "--", "sh", "-c", "x"),
    )
    assert again_argv(BootRequest("debian-6.1")) == ()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"gdb": "later"}, "no way to debug 'later'"),
        ({"gdb": "now", "batch": True, "command": ("x",)}, "need a guest that boots"),
        ({"console": True, "snapshot": True}, "need a guest that boots"),
        ({"console": True, "command": ("x",)}, "for a person"),
        ({"dump_on_crash": True}, "nowhere to put"),
    ],
)
def test_what_can_not_be_is_refused(options: dict[str, Any], problem: str) -> None:
    machine = Machine(description="any", memory_mib=1024)
    with pytest.raises(UserError, match=problem):
        check_request(BootRequest("debian-6.1", **options), machine)


def test_gdbs_command() -> None:
    argv = gdb_argv(Path("/k/vmlinux"), Path("/t/gdb"), sources=Path("/s"), built_in="/b/")
    assert argv == [
        *("gdb", "-q", "/k/vmlinux", "-ex", "directory /s"),
        *("-ex", "set substitute-path /b /s", "-ex", "target remote /t/gdb"),
    ]


def test_gdb_alone_is_spelled_out() -> None:
    words = ["boot", "x", "--gdb", "--", "echo", "--gdb"]
    assert spell_out(words) == ["boot", "x", "--gdb=now", "--", "echo", "--gdb"]
    assert spell_out(["boot", "x", "--gdb=wait"]) == ["boot", "x", "--gdb=wait"]
