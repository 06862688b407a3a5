# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for steps whichever way they go in, and what worlds promise: on real guests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.errors import GuestDied, InfrastructureError, UserError
from harness.guest.batch import Batch, run_batch
from harness.guest.guest import Guest
from harness.guest.machine import Machine, load_machine
from harness.guest.script import ScriptResult, Step, carry_out
from harness.kernel.artifact import Kernel
from harness.outcomes import Outcome
from tests.guest.command import patchbed

Run = Callable[[Sequence[Step]], ScriptResult]

WAYS = ("interactive", "batch", "deterministic")
LOOK = (
    Step("layout", "grep -m1 ' T _text' /proc/kallsyms"),
    Step("count", "true", files=("/proc/vmstat", "/proc/uptime", "/proc/meminfo")),
    Step("tables", "cat /sys/kernel/debug/page_tables/kernel"),
)


@pytest.fixture(params=WAYS)
def carry(request: pytest.FixtureRequest, kernel: Kernel, image: Path, tmp_path: Path) -> Run:
    """Have steps done on a guest of their own, one way or the other."""
    small = Machine(description="small", memory_mib=1024, cpus=2)
    counted = Machine(description="small", memory_mib=1024, boot="bzimage", deterministic=True)

    def interactive(steps: Sequence[Step]) -> ScriptResult:
        with Guest(kernel, image, small, tmp_path, accelerator="tcg") as guest:
            return carry_out(guest, steps)

    def batch(steps: Sequence[Step]) -> ScriptResult:
        machine = small if request.param == "batch" else counted
        return run_batch(kernel, image, machine, steps, tmp_path, accelerator="tcg")

    return interactive if request.param == "interactive" else batch


def test_steps_are_done_in_order(carry: Run, kernel: Kernel) -> None:
    loud = (
        "yes 'Kernel panic - not syncing: no' | head -n 2000 > /dev/console;"
        " head -c 300000 /proc/kcore"
    )
    result = carry(
        [
            Step("release", "uname -r", files=("/proc/version", "/no/such/file")),
            Step("streams", "printf 'out\\0\\n'; printf err >&2; exit 7"),
            Step("input", "cat > /tmp/kept; cat /tmp/kept", stdin=b"\x1ePB1 0 out 1 1 0\n\0"),
            Step("late", "echo early; trap '' TERM; sleep 1000", limit=2, files=("/tmp/kept",)),
            Step("signal", "kill -9 $$"),
            Step("loud", loud),
        ]
    )
    result.check()
    assert result["release"].completed is not None
    assert result["release"].completed.stdout.decode() == f"{kernel.release}\n"
    assert kernel.release.encode() in result["release"].files["/proc/version"]
    assert "No such file" in result["release"].problems[0]
    streams = result["streams"].completed
    assert streams is not None
    assert (streams.status, streams.stdout, streams.stderr) == (7, b"out\0\n", b"err")
    assert result["streams"].outcome is Outcome.FAIL
    given = result["input"].completed
    assert given is not None
    assert given.stdout == b"\x1ePB1 0 out 1 1 0\n\0"
    assert result["late"].outcome is Outcome.TEST_TIMEOUT
    assert result["late"].files == {"/tmp/kept": given.stdout}
    assert result["signal"].completed is not None
    assert result["signal"].completed.status == 137
    noise = result["loud"].completed
    assert noise is not None
    assert len(noise.stdout) == 300000
    assert noise.stdout.startswith(b"\x7fELF")


def test_a_death_keeps_what_was_done_before(carry: Run) -> None:
    result = carry(
        [
            Step("before", "echo done"),
            Step("deadly", "echo c > /proc/sysrq-trigger", limit=60),
            Step("after", "true"),
        ]
    )
    assert [step.outcome for step in result.steps] == [
        Outcome.PASS,
        Outcome.KERNEL_PANIC,
        Outcome.KERNEL_PANIC,
    ]
    with pytest.raises(GuestDied, match="sysrq triggered crash"):
        result.check()


def test_a_guest_that_ends_early_is_lost(carry: Run) -> None:
    result = carry([Step("off", "poweroff -f; sleep 100", limit=60), Step("after", "true")])
    assert isinstance(result.error, GuestDied)
    assert {step.outcome for step in result.steps} == {Outcome.KERNEL_LOST}


def test_a_guest_that_was_reset_is_lost(carry: Run) -> None:
    result = carry([Step("reset", "echo b > /proc/sysrq-trigger", limit=60)])
    assert isinstance(result.error, GuestDied)
    assert result.steps[0].outcome is Outcome.KERNEL_LOST


def test_a_batch_that_never_begins(kernel: Kernel, image: Path, tmp_path: Path) -> None:
    machine = load_machine("q35-1g")
    batch = Batch(
        kernel,
        image,
        machine,
        LOOK,
        tmp_path,
        accelerator="tcg",
        kernel_args=["rdinit=/bin/cat"],
        boot_limit=8,
    )
    with batch:
        result = batch.wait()
    assert {step.outcome for step in result.steps} == {Outcome.KERNEL_BOOT_TIMEOUT}


def test_qemu_that_refuses_says_why(kernel: Kernel, image: Path, tmp_path: Path) -> None:
    machine = Machine(description="broken", memory_mib=1024, cpu="no-such-cpu")
    with pytest.raises(InfrastructureError, match="no-such-cpu"):
        run_batch(kernel, image, machine, LOOK, tmp_path, accelerator="tcg")


def test_a_deterministic_machine_takes_no_commands(
    kernel: Kernel, image: Path, tmp_path: Path
) -> None:
    machine = load_machine("deterministic")
    with (
        pytest.raises(UserError, match="takes no commands"),
        Guest(kernel, image, machine, tmp_path),
    ):
        pass
    with pytest.raises(UserError, match="counts instructions"):
        run_batch(kernel, image, machine, LOOK, tmp_path, accelerator="kvm")


def test_a_world_is_the_same_each_time_and_no_other(
    kernel: Kernel, image: Path, tmp_path: Path
) -> None:
    seen: dict[str, tuple[bytes, bytes, bytes]] = {}
    for name, world in (("one", 1), ("again", 1), ("other", 2)):
        folder = tmp_path / name
        machine = load_machine("deterministic")
        with Batch(kernel, image, machine, LOOK, folder, world=world) as batch:
            if name == "again":
                # Looking from outside must not be seen inside.
                batch.hmp("stop")
                batch.hmp("info tlb")
                batch.hmp("cont")
            result = batch.wait()
            assert batch.hmp("info tlb").count("\n") > 100
        result.check()
        text = result["layout"].completed
        assert text is not None
        seen[name] = (
            (folder / "console.log").read_bytes(),
            (folder / "results.raw").read_bytes(),
            text.stdout,
        )
    assert seen["one"] == seen["again"]
    assert all(one != other for one, other in zip(seen["one"], seen["other"], strict=True))


def test_boot_gives_a_world_and_a_status(tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "two"]
    for log in logs:
        done = patchbed(
            "boot",
            "debian-6.1",
            "--world",
            "3",
            "--console-log",
            str(log),
            "--",
            "uname -r; exit 5",
        )
        assert (done.returncode, done.stdout, done.stderr) == (5, "6.1.192\n", "")
    assert logs[0].read_bytes() == logs[1].read_bytes()
    assert b"Linux version 6.1.192" in logs[0].read_bytes()


def test_boot_tells_a_batch_in_json() -> None:
    done = patchbed("boot", "debian-6.1", "--batch", "--json", "--timeout", "2", "--", "sleep 99")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert (told["outcome"], told["status"]) == ("test.timeout", None)
    assert "took longer than 2 s" in told["title"]
