# SPDX-License-Identifier: GPL-2.0-or-later
"""Booting, dying and ending: on real guests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import psutil
import pytest

from harness.errors import GuestDied, InfrastructureError
from harness.guest import qemu
from harness.guest.guest import Guest
from harness.guest.machine import Machine
from harness.guest.tsc import tsc_khz
from harness.kernel.artifact import Kernel
from harness.outcomes import Outcome
from tests.guest.command import argv, patchbed
from tests.guest.conftest import Boot

INSMOD = "insmod /patchbed/modules/crasher.ko how="


def our_qemus() -> set[int]:
    """The QEMU processes that this process or its children started."""
    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if child.name().startswith("qemu")
    }


def test_a_boot_leaves_its_facts_and_nothing_else(boot: Boot, kernel: Kernel) -> None:
    before = set(Path("/tmp").iterdir())
    with boot() as guest:
        assert guest.run("uname -r").stdout.decode().strip() == kernel.release
        assert 0 < guest.seconds_to_ready < 60
        assert (guest.accelerator, guest.accelerator_reason) == ("tcg", "asked for")
        (pid,) = our_qemus()
        if os.geteuid() == 0:
            assert psutil.Process(pid).username() == "nobody"
    assert our_qemus() == set()
    assert [path for path in set(Path("/tmp").iterdir()) - before if "patchbed" in path.name] == []
    console = (guest.folder / "console.log").read_text()
    assert console.startswith("<5>[    0.000000] Linux version 6.1.")
    assert "Linux version 6.1." in (guest.folder / "dmesg").read_text()
    assert (guest.folder / "config").read_text() == kernel.config_file.read_text()
    assert str(kernel.vmlinux) in (guest.folder / "argv").read_text()


def test_a_guest_is_told_how_fast_its_counter_runs(boot: Boot) -> None:
    """A kernel that measures it itself beside many other guests is far off at times."""
    if tsc_khz() == 0:
        pytest.skip("this host's time stamp counter is not constant")
    with boot() as guest:
        detected = guest.run("dmesg | grep 'tsc: Detected'").stdout.decode()
    assert f"{tsc_khz() / 1000:.3f} MHz" in detected


@pytest.mark.parametrize(
    ("command", "outcome", "title"),
    [
        (
            "echo c > /proc/sysrq-trigger",
            Outcome.KERNEL_PANIC,
            "Kernel panic - not syncing: sysrq triggered crash",
        ),
        (
            INSMOD + "null",
            Outcome.KERNEL_OOPS,
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
        ),
        (INSMOD + "bug", Outcome.KERNEL_OOPS, "kernel BUG at "),
        (INSMOD + "panic", Outcome.KERNEL_PANIC, "Kernel panic - not syncing: crasher: asked for"),
        ("echo b > /proc/sysrq-trigger", Outcome.KERNEL_LOST, "the machine was reset"),
        ("poweroff -f", Outcome.KERNEL_LOST, "the guest powered itself off"),
    ],
)
def test_a_death_is_seen_at_once_and_named(
    boot: Boot, command: str, outcome: Outcome, title: str
) -> None:
    with boot() as guest:
        start = time.time()
        with pytest.raises(GuestDied) as caught:
            guest.run(command, timeout=60)
        written = (guest.folder / "console.log").stat().st_mtime
        assert time.time() - max(start, written) < 20
        assert caught.value.outcome is outcome
        assert caught.value.title.startswith(title)
        assert guest.death is caught.value
        with pytest.raises(GuestDied):
            guest.run("true")
        # Its memory outlives it.
        assert len(guest.physical_memory(0x1000000, 4096)) == 4096
    if "insmod" in command:
        assert any("crasher" in line for line in caught.value.lines)
    assert not (guest.folder / "dmesg").exists()


def test_a_death_between_commands_is_seen(boot: Boot) -> None:
    with boot() as guest:
        with contextlib.suppress(GuestDied):
            guest.run("(sleep 0.5; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &")
        deadline = time.monotonic() + 30
        while guest.death is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(GuestDied, match="sysrq triggered crash"):
            guest.check()


def test_a_warning_is_kept_and_the_guest_lives(boot: Boot) -> None:
    with boot() as guest:
        assert guest.run(INSMOD + "warn").status == 0
        assert guest.run("echo alive").stdout == b"alive\n"
        assert [report.outcome for report in guest.warnings] == [Outcome.KERNEL_WARN]
        assert "crasher_warn" in guest.warnings[0].title


def test_what_a_process_prints_on_the_console_is_no_death(boot: Boot) -> None:
    with boot() as guest:
        guest.run("echo 'Kernel panic - not syncing: said a process' > /dev/console")
        guest.run(INSMOD + "lie")
        time.sleep(1)
        assert guest.death is None
        assert "said a process" in (guest.folder / "console.log").read_text()


def test_a_hung_task_is_seen(boot: Boot) -> None:
    with boot() as guest:
        guest.run("echo 1 > /proc/sys/kernel/hung_task_timeout_secs")
        guest.run("echo 1 > /proc/sys/kernel/hung_task_check_interval_secs; " + INSMOD + "hang")
        with pytest.raises(GuestDied, match="crasher-hung") as caught:
            guest.run("sleep 50", timeout=60)
        assert caught.value.outcome is Outcome.KERNEL_HUNG_TASK


def test_a_kernel_that_dies_early_is_a_panic(boot: Boot) -> None:
    with (
        pytest.raises(GuestDied, match="Attempted to kill init") as caught,
        boot(kernel_args=["rdinit=/bin/true"]),
    ):
        pass
    assert caught.value.outcome is Outcome.KERNEL_PANIC
    assert our_qemus() == set()


def test_a_guest_that_never_takes_commands(boot: Boot) -> None:
    guest = boot(kernel_args=["rdinit=/bin/cat"], boot_limit=6)
    with pytest.raises(GuestDied, match="no commands taken within 6 s") as caught, guest:
        pass
    assert caught.value.outcome is Outcome.KERNEL_BOOT_TIMEOUT
    assert any("Run /bin/cat" in line for line in caught.value.lines)


def test_a_guest_that_falls_silent(boot: Boot) -> None:
    guest = boot(kernel_args=["rdinit=/bin/cat"], silence_limit=3)
    with pytest.raises(GuestDied, match="not a word on the console for 3 s") as caught, guest:
        pass
    assert caught.value.outcome is Outcome.KERNEL_BOOT_TIMEOUT


def test_qemu_that_is_killed_is_the_hosts_trouble(boot: Boot) -> None:
    with boot() as guest:
        (pid,) = our_qemus()
        os.kill(pid, signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(InfrastructureError, match="killed by signal 9") as caught:
            guest.run("sleep 100", timeout=200)
        assert time.monotonic() - start < 50
        assert caught.value.outcome is Outcome.INFRA_QEMU


def test_qemu_that_refuses_says_why(kernel: Kernel, image: Path, tmp_path: Path) -> None:
    machine = Machine(description="broken", memory_mib=1024, cpu="no-such-cpu")
    guest = Guest(kernel, image, machine, tmp_path, accelerator="tcg")
    with pytest.raises(InfrastructureError, match="no-such-cpu") as caught, guest:
        pass
    assert caught.value.outcome is Outcome.INFRA_QEMU


def test_no_qemu_at_all(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "PROGRAM", "no-such-qemu")
    with pytest.raises(InfrastructureError, match="no-such-qemu"), boot():
        pass


def test_a_compressed_kernel_boots_too(kernel: Kernel, image: Path, tmp_path: Path) -> None:
    machine = Machine(description="as worlds will", memory_mib=1024, boot="bzimage")
    with Guest(kernel, image, machine, tmp_path, accelerator="tcg") as guest:
        assert guest.run("uname -r").status == 0
        assert kernel.bzimage.name in (tmp_path / "argv").read_text()


def test_a_person_gets_a_shell() -> None:
    person = pexpect.spawn(argv("boot", "debian-6.1")[0], argv("boot", "debian-6.1")[1:])
    person.setwinsize(33, 77)
    try:
        person.expect("# ", timeout=60)
        # What says "43" can be interrupted from then on; the shell itself, while it forks, not.
        person.sendline("echo $((6 * 7)); stty size; sh -c 'echo $((42 + 1)); exec sleep 1000'")
        person.expect("42\r\n33 77\r\n43\r\n", timeout=60)
        person.sendintr()
        person.expect("# ", timeout=60)
        person.sendline("exit 9")
        person.expect(pexpect.EOF, timeout=60)
    finally:
        person.close(force=True)
    assert person.exitstatus == 9


def test_boot_passes_output_and_status_on() -> None:
    done = patchbed("boot", "debian-6.1", "--", "sh", "-c", "uname -r; echo err >&2; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, "6.1.192\n", "err\n")


def test_boot_reports_a_death(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    done = patchbed(
        "boot",
        "debian-6.1",
        "--console-log",
        str(log),
        "--",
        "sh",
        "-c",
        "echo c > /proc/sysrq-trigger",
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "kernel.panic: Kernel panic - not syncing: sysrq triggered crash" in done.stderr
    assert "sysrq_handle_crash" in done.stderr
    assert log.read_text().startswith("<5>[    0.000000] Linux version")
    assert "sysrq triggered crash" in log.read_text()


def test_boot_hands_its_input_on_and_tells_json() -> None:
    done = subprocess.run(
        argv("boot", "debian-6.1", "--json", "--", "sh", "-c", "cat; exit 4"),
        input=b"given\n",
        capture_output=True,
        timeout=120,
        check=False,
    )
    told = json.loads(done.stdout)
    assert done.returncode == 4
    assert (told["status"], told["stdout"], told["outcome"]) == (4, "given\n", "fail")
    assert told["accelerator"] in {"tcg", "kvm"}
    assert told["accelerator_reason"]


def test_boot_keeps_a_time_limit() -> None:
    done = patchbed("boot", "debian-6.1", "--timeout", "2", "--", "sleep", "1000")
    assert done.returncode == 1
    assert "test.timeout: took longer than 2 s" in done.stderr


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        argv("boot", "debian-6.1", "--", "sh", "-c", "echo up; sleep 1000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert any(child.name().startswith("qemu") for child in children)
    process.send_signal(signal.SIGINT)
    _out, error = process.communicate(timeout=60)
    assert b"Traceback" not in error
    assert not any(child.is_running() for child in children)
    assert list(tmp_path.iterdir()) == []


def test_sigkill_leaves_no_qemu() -> None:
    process = subprocess.Popen(
        argv("boot", "debian-6.1", "--", "sh", "-c", "echo up; sleep 1000"),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _gone, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
