# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's death leaves, and what looks into a living one: on real guests."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from harness.errors import GuestDied
from harness.guest.decode import decoder_for
from harness.guest.frames import Frame
from harness.guest.gdb import gdb_argv
from harness.guest.guest import Guest
from harness.guest.machine import load_machine
from harness.guest.serial import Serial, login
from harness.guest.trouble import Kind
from harness.kernel.artifact import Kernel
from harness.outcomes import Outcome
from tests.guest.command import argv, patchbed
from tests.guest.conftest import Boot

INSMOD = "insmod /patchbed/modules/crasher.ko how="
CRASH = ["sh", "-c", "echo c > /proc/sysrq-trigger"]


def bundle_of(folder: Path) -> dict[str, object]:
    facts = json.loads((folder / "crash.json").read_text())
    assert isinstance(facts, dict)
    return facts


def test_a_crash_leaves_a_bundle(boot: Boot) -> None:
    guest = boot()
    guest.dump_on_crash = True
    with guest, pytest.raises(GuestDied) as caught:
        guest.run(INSMOD + "null")
    facts = bundle_of(guest.folder)
    assert facts["kind"] == caught.value.kind == Kind.OOPS
    assert facts["function"] == "crasher_null"
    assert facts["fingerprint"] == caught.value.fingerprint
    assert any("crasher_null" in line for line in caught.value.stack)
    assert "crasher_null" in (guest.folder / "stack").read_text()
    for name in ("console.log", "argv", "config"):
        assert (guest.folder / name).stat().st_size > 0
    dump = guest.folder / "memory.kdump"
    assert dump.read_bytes()[:12] == b"makedumpfile"
    assert 1 << 20 < dump.stat().st_size < 512 << 20
    assert dump.stat().st_mode & 0o777 == 0o600


def test_memory_is_not_dumped_where_there_is_no_room(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A disk that has just too little: none of that size can be made without root.
    usage = shutil.disk_usage("/")._replace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    guest = boot()
    guest.dump_on_crash = True
    with guest, pytest.raises(GuestDied):
        guest.run(INSMOD + "null")
    assert "no room" in str(bundle_of(guest.folder)["notes"])
    assert not list(guest.folder.glob("memory*"))


def test_the_command_that_boots_it_again_does(tmp_path: Path) -> None:
    first = tmp_path / "first"
    words = ["--machine", "q35-1g", "--kernel-arg", "a.b=c d"]
    done = patchbed("boot", "debian-6.1", *words, "--bundle", str(first), "--", *CRASH)
    assert done.returncode == 1
    again = shlex.split((first / "again").read_text().splitlines()[1])[1:]
    assert again[0] == "patchbed"
    assert again[-3:] == CRASH
    split = again.index("--")
    twice = [*again[1:split], "--bundle", str(tmp_path / "second"), *again[split:]]
    assert patchbed(*twice).returncode == 1
    one, two = bundle_of(first), bundle_of(tmp_path / "second")
    assert one["fingerprint"] == two["fingerprint"]
    assert one["title"] == two["title"]
    kept = [(tmp_path / name / "argv").read_text() for name in ("first", "second")]
    assert kept[0] == kept[1]


def test_qemus_own_command_line_boots_it_again(boot: Boot) -> None:
    with boot() as guest, pytest.raises(GuestDied):
        guest.run("echo c > /proc/sysrq-trigger")
    by_hand = pexpect.spawn(str(guest.folder / "again"), timeout=60)
    try:
        by_hand.expect("Linux version 6.1")
        by_hand.expect("Run /init as init process")
    finally:
        by_hand.close(force=True)


def test_a_panic_is_told_with_its_function_soon(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    words = ["boot", "debian-6.1", "--machine", "q35-1g", "--console-log", str(log), "--", *CRASH]
    person = subprocess.Popen(
        argv(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert person.stderr is not None
    told = person.stderr.readline()
    seen = time.time()
    rest = person.stderr.read()
    assert person.wait(timeout=60) == 1
    assert told.startswith("patchbed: kernel.panic: Kernel panic - not syncing: sysrq triggered")
    assert "in sysrq_handle_crash" in rest
    # The console's last byte comes after the panic, by what the kernel needs to print it.
    assert seen - log.stat().st_mtime < 20


def test_a_hard_lockup_is_found_though_nothing_is_said(boot: Boot) -> None:
    guest = boot()
    guest.lockup_limit = 1.0
    with guest:
        start = time.monotonic()
        with pytest.raises(GuestDied) as caught:
            guest.run(INSMOD + "spin-irq-elsewhere; sleep 1000", timeout=2000)
        assert time.monotonic() - start < 50
    assert caught.value.outcome is Outcome.KERNEL_LOCKUP
    assert caught.value.kind == Kind.HARD_LOCKUP
    assert caught.value.function == "crasher_spin_irq"
    assert "CPU 1 spins in crasher_spin_irq with interrupts off" in caught.value.title


def test_a_boot_that_hangs_is_told_from_one_that_waits(boot: Boot) -> None:
    guest = boot(kernel_args=["rdinit=/bin/cat"], silence_limit=3)
    with pytest.raises(GuestDied, match="wait for something to do") as caught, guest:
        pass
    assert (caught.value.outcome, caught.value.kind) == (Outcome.KERNEL_BOOT_TIMEOUT, Kind.IDLE)


def test_a_guest_that_takes_no_more_commands(boot: Boot) -> None:
    with boot() as guest:
        guest.lockup_limit = 0
        with pytest.raises(GuestDied) as caught:
            guest.run("kill -9 $(pidof dropbear)")
        assert caught.value.outcome is Outcome.KERNEL_LOST
        assert caught.value.kind == Kind.SILENCE


def test_frames_are_decoded_with_a_kernels_own_symbols(boot: Boot, kernel: Kernel) -> None:
    decoder = decoder_for(kernel)
    with boot() as guest:
        line = guest.run("grep ' T vfs_write$' /proc/kallsyms").stdout.decode()
    address = int(line.split()[0], 16)
    (decoded,) = decoder.decode([Frame("", address=address + 5)])
    assert (decoded.frame.function, decoded.frame.offset) == ("vfs_write", 5)
    (known,) = decoder.decode([Frame("vfs_write", 5, exact=True)])
    if decoder.has_lines:
        assert known.places[-1].file == "fs/read_write.c"
    else:
        assert known.lines() == ["vfs_write+0x5/0x0"]


@pytest.fixture
def debugged(kernel: Kernel, image: Path, tmp_path: Path) -> Guest:
    if shutil.which("gdb") is None:
        pytest.skip("gdb is not installed")
    guest = Guest(kernel, image, load_machine("q35-1g"), tmp_path, accelerator="tcg")
    guest.debugger = tmp_path / "gdb"
    guest.lockup_limit = 0.0
    return guest


def ask_gdb(guest: Guest, *commands: str) -> str:
    assert guest.debugger is not None
    words = gdb_argv(guest.kernel.debug_vmlinux, guest.debugger)
    for command in commands:
        words += ["-ex", command]
    done = subprocess.run(
        [words[0], "-nx", "-batch", *words[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def test_gdb_looks_into_a_guest_that_goes_on(debugged: Guest) -> None:
    with debugged as guest:
        assert "Linux version 6.1." in ask_gdb(guest, "x/s &linux_banner", "detach")
        assert guest.run("echo on").stdout == b"on\n"
        assert "Linux version 6.1." in ask_gdb(guest, "x/s &linux_banner", "detach")


def test_a_guest_waits_for_gdb(debugged: Guest) -> None:
    debugged.halted = True
    debugged.boot_limit = debugged.silence_limit = 120.0
    log = debugged.folder / "console.log"
    script = (
        "import subprocess, sys, time\n"
        "from pathlib import Path\n"
        "time.sleep(3)\n"
        f"assert Path({str(log)!r}).stat().st_size == 0\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
    )
    assert debugged.debugger is not None
    words = gdb_argv(debugged.kernel.debug_vmlinux, debugged.debugger)
    debugger = subprocess.Popen(
        [sys.executable, "-c", script, words[0], "-nx", "-batch", *words[1:], "-ex", "detach"]
    )
    try:
        with debugged as guest:
            assert guest.run("echo on").stdout == b"on\n"
            assert debugger.wait(timeout=60) == 0
    finally:
        debugger.kill()


def test_the_command_prints_the_gdb_command() -> None:
    words = ["boot", "debian-6.1", "--machine", "q35-1g", "--gdb", "--", "true"]
    done = patchbed(*words)
    assert done.returncode == 0
    assert "target remote /" in done.stderr
    assert "vmlinux" in done.stderr


def test_the_serial_console_can_be_typed_on(boot: Boot) -> None:
    with boot() as guest:
        login(guest)
        with Serial(guest) as serial:
            serial.spawn.sendline("echo $((6 * 7)) $(tty)")
            serial.spawn.expect("42 /dev/ttyS0")
            serial.spawn.sendline("sleep 1000")
            time.sleep(1)
            serial.spawn.send("\x03")
            serial.spawn.sendline("echo after $?")
            serial.spawn.expect("after 130")
        assert guest.run("echo on").stdout == b"on\n"


def test_a_person_gets_the_console() -> None:
    words = argv("boot", "debian-6.1", "--machine", "q35-1g", "--console")
    person = pexpect.spawn(words[0], words[1:], timeout=60)
    person.setwinsize(33, 77)
    try:
        person.expect("Linux version 6.1")
        person.expect("# ")
        person.sendline("stty size; echo $((6 * 7))")
        person.expect("33 77\r\n42\r\n")
        person.send("\x1d")
        person.expect(pexpect.EOF)
    finally:
        person.close(force=True)
    assert person.exitstatus == 0
    assert person.signalstatus is None


def test_the_console_tells_of_a_death() -> None:
    words = argv("boot", "debian-6.1", "--machine", "q35-1g", "--console")
    person = pexpect.spawn(words[0], words[1:], timeout=60)
    try:
        person.expect("# ")
        person.sendline("echo c > /proc/sysrq-trigger")
        person.expect("patchbed: kernel.panic")
        person.expect(pexpect.EOF)
    finally:
        person.close(force=True)
    assert person.exitstatus == 1
