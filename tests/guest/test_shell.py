# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands in a real guest."""

from __future__ import annotations

import os
import time

import pytest

from harness.errors import CommandTimeout
from harness.guest.guest import Guest


def test_status_and_both_outputs_come_apart(guest: Guest) -> None:
    done = guest.run("echo out; echo err >&2; exit 3")
    assert (done.status, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


@pytest.mark.parametrize("signal", [6, 9, 15])
def test_death_by_signal_is_128_and_its_number(guest: Guest, signal: int) -> None:
    assert guest.run(f"kill -{signal} $$").status == 128 + signal
    assert guest.run(f"sh -c 'kill -{signal} $$'; exit $?").status == 128 + signal


def test_the_command_is_the_shells_not_quoted_away(guest: Guest) -> None:
    assert guest.run("""echo "it's" $((6 * 7)) | tr a-z A-Z""").stdout == b"IT'S 42\n"


def test_every_byte_goes_in_and_comes_out(guest: Guest) -> None:
    data = bytes(range(256)) * 64
    assert guest.run("cat", stdin=data).stdout == data
    assert guest.run("cat >&2", stdin=data).stderr == data


def test_much_output_is_whole(guest: Guest) -> None:
    done = guest.run("seq 300000; seq 100000 >&2", timeout=120)
    assert done.stdout == b"".join(b"%d\n" % number for number in range(1, 300001))
    assert done.stderr == b"".join(b"%d\n" % number for number in range(1, 100001))


def test_much_input_is_whole(guest: Guest) -> None:
    data = os.urandom(3_000_000)
    guest.put(data, "/tmp/big file", 0o640)
    assert guest.get("/tmp/big file") == data
    assert guest.run("stat -c %a '/tmp/big file'").stdout == b"640\n"
    guest.run("rm '/tmp/big file'")


def test_files_that_are_not_there(guest: Guest) -> None:
    with pytest.raises(OSError, match="No such file"):
        guest.get("/no/such")
    with pytest.raises(OSError, match="/no/such"):
        guest.put(b"", "/no/such/file")


def test_input_that_nobody_reads_is_no_trouble(guest: Guest) -> None:
    assert guest.run("true", stdin=bytes(5_000_000), timeout=60).status == 0


def test_a_limit_is_kept_and_leaves_no_process(guest: Guest) -> None:
    start = time.monotonic()
    with pytest.raises(CommandTimeout, match="longer than 1 s"):
        guest.run("(setsid sleep 1001 &) ; sleep 1002 | sleep 1003", timeout=1)
    assert time.monotonic() - start < 10
    assert guest.run("ps | grep -c 'slee[p] 100[123]'").stdout == b"0\n"


def test_what_ignores_sigterm_is_killed(guest: Guest) -> None:
    with pytest.raises(CommandTimeout) as caught:
        guest.run("trap '' TERM; echo busy; while :; do :; done", timeout=1)
    assert "busy" in str(caught.value)
    assert guest.run("ps | grep -c 'echo bus[y]'").stdout == b"0\n"


def test_a_command_that_closes_its_output_is_still_waited_for(guest: Guest) -> None:
    start = time.monotonic()
    assert guest.run("exec >&- 2>&-; sleep 1; exit 5").status == 5
    assert time.monotonic() - start > 0.9


def test_a_process_is_talked_to_while_it_runs(guest: Guest) -> None:
    with guest.start("while read line; do echo got $line; done; echo end; exit 7") as process:
        process.write(b"one\n")
        assert process.readline() == b"got one\n"
        process.write(b"two\n")
        assert process.readline() == b"got two\n"
        with pytest.raises(CommandTimeout):
            process.readline(timeout=0.2)
        process.close_stdin()
        done = process.wait()
    assert (done.status, done.stdout) == (7, b"end\n")


def test_leaving_a_process_ends_it(guest: Guest) -> None:
    with guest.start("echo started; exec sleep 2001") as process:
        assert process.readline() == b"started\n"
    assert guest.run("ps | grep -c 'slee[p] 2001'").stdout == b"0\n"


def test_two_processes_at_once(guest: Guest) -> None:
    with guest.start("read x; echo $x") as one, guest.start("read x; echo $x") as two:
        two.feed(b"2\n")
        one.feed(b"1\n")
        assert (one.wait().stdout, two.wait().stdout) == (b"1\n", b"2\n")


def test_the_guest_is_set_up(guest: Guest) -> None:
    mounts = guest.get("/proc/mounts").decode()
    for place in ("/proc", "/sys", "/sys/kernel/debug", "/tmp", "/dev"):
        assert f" {place} " in mounts
    assert "secretmem.enable=1" in guest.get("/proc/cmdline").decode()
    assert b"crasher.ko" in guest.run("ls /patchbed/modules").stdout.split()
    assert guest.run("echo $PATH").stdout.startswith(b"/patchbed/bin:")


def test_the_guest_reaches_nobody(guest: Guest) -> None:
    for address in ("10.0.2.2", "10.0.2.3", "192.0.2.1"):
        assert guest.run(f"timeout 2 nc {address} 80 < /dev/null").status != 0


def test_memory_from_outside(guest: Guest) -> None:
    symbols = guest.get("/proc/kallsyms").decode()
    (banner,) = (line for line in symbols.splitlines() if line.endswith(" linux_banner"))
    physical = guest.translate(int(banner.split()[0], 16))
    assert physical is not None
    assert guest.physical_memory(physical, 22) == b"Linux version 6.1.192 "
    assert guest.translate(0xDEAD_0000_0000) is None
    assert "CR3=" in guest.hmp("info registers")


def test_an_answer_of_the_monitor_may_be_long(guest: Guest) -> None:
    """If this failed, a guest whose direct map is all 4K could not be looked at from outside."""
    text = guest.hmp("xp /2000000xb 0", timeout=120)
    assert len(text) > 10 << 20
    assert text.count("\n") == 250000
