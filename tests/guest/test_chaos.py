# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest is called when it is not the kernel that fails: each in its time, none a hang."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.errors import GuestDied, InfrastructureError
from harness.guest import qemu
from harness.guest.guest import Guest
from harness.guest.machine import load_machine
from harness.kernel.artifact import Kernel
from harness.outcomes import Outcome
from tests.guest.command import argv
from tests.guest.conftest import Boot

KIB = 1 << 10
FLOODS = {
    "text": "yes 'Kernel panic - not syncing: said a process' | head -c {size}",
    "nothing": "head -c {size} /dev/zero",
    "half characters": r"yes $(printf '\303') | tr -d '\n' | head -c {size}",
    "anything": "head -c {size} /dev/urandom",
    "one line": r"yes x | tr -d '\n' | head -c {size}",
}


def qemu_of(process: psutil.Process) -> psutil.Process:
    """The QEMU that `process` started, as soon as it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in process.children(recursive=True):
            if child.name().startswith("qemu"):
                return child
        time.sleep(0.01)
    raise AssertionError("no QEMU")


def at_qemu(number: int, delay: float) -> threading.Thread:
    """Send our QEMU a signal, `delay` seconds after its start."""

    def send() -> None:
        process = qemu_of(psutil.Process())
        time.sleep(delay)
        process.send_signal(number)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.8])
def test_qemu_killed_while_it_boots(boot: Boot, delay: float) -> None:
    at_qemu(signal.SIGKILL, delay)
    start = time.monotonic()
    with pytest.raises(InfrastructureError, match="signal 9") as caught, boot() as guest:
        guest.run("sleep 100", timeout=200)
    assert caught.value.outcome is Outcome.INFRA_QEMU
    assert time.monotonic() - start < 60


def test_qemu_stopped_while_it_boots(boot: Boot) -> None:
    guest = boot(silence_limit=4)
    at_qemu(signal.SIGSTOP, 0.4)
    start = time.monotonic()
    with pytest.raises(InfrastructureError) as caught, guest:
        pass
    assert caught.value.outcome is Outcome.INFRA_QEMU
    assert time.monotonic() - start < 100


def test_qemu_stopped_under_a_command(boot: Boot) -> None:
    with boot() as guest:
        qemu_of(psutil.Process()).suspend()
        start = time.monotonic()
        with pytest.raises(InfrastructureError, match="no answer") as caught:
            guest.run("sleep 1000", timeout=2000)
        assert caught.value.outcome is Outcome.INFRA_QEMU
        assert guest.death is None
    # The limit of a look, scaled to the host, and QEMU's time to answer.
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_on_the_console_is_no_crash(boot: Boot, what: str) -> None:
    size = 200 * KIB
    with boot() as guest:
        done = guest.run(f"{FLOODS[what].format(size=size)} > /dev/console", timeout=120)
        assert done.status == 0
        assert guest.run("echo alive").stdout == b"alive\n"
        assert guest.death is None
        assert (guest.folder / "console.log").stat().st_size > size
        with pytest.raises(GuestDied, match="sysrq triggered crash"):
            guest.run("echo c > /proc/sysrq-trigger")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "small", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("left", [0, 16, 60])
def test_a_full_disk(kernel: Kernel, image: Path, small: Path, left: int) -> None:
    (small / "hog").write_bytes(bytes((96 - left) * KIB))
    guest = Guest(kernel, image, load_machine("q35-1g"), small / "boot", accelerator="tcg")
    start = time.monotonic()
    with pytest.raises(InfrastructureError, match="No space left") as caught, guest:
        guest.run("yes | head -c 100000 > /dev/console; sleep 100", timeout=200)
    assert caught.value.outcome is Outcome.INFRA_DISK
    assert time.monotonic() - start < 60


OLD_QEMU = """\
#!/bin/sh
# Stands for a QEMU that knows less: there is but one on a host.
echo "qemu-system-x86_64: -action: invalid option" >&2
exit 1
"""


def test_a_qemu_that_is_too_old(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not in pytest's folder: QEMU's user may not look into that.
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "qemu"
        program.write_text(OLD_QEMU)
        program.chmod(0o755)
        Path(folder).chmod(0o755)
        monkeypatch.setattr(qemu, "PROGRAM", str(program))
        with pytest.raises(InfrastructureError, match="invalid option") as caught, boot():
            pass
    assert caught.value.outcome is Outcome.INFRA_QEMU


def test_the_command_tells_of_trouble_without_a_traceback() -> None:
    person = subprocess.Popen(
        argv("boot", "debian-6.1", "--machine", "q35-1g", "--", "sleep", "1000"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    qemu_of(psutil.Process(person.pid)).kill()
    _out, error = person.communicate(timeout=60)
    assert person.returncode == 3
    assert "infra.qemu" in error
    assert "Traceback" not in error
