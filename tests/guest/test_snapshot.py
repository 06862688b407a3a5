# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests restored from a snapshot: on real guests."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from harness.errors import GuestDied, UserError
from harness.guest.machine import load_machine
from harness.guest.snapshot import RestoredGuest, restored
from harness.kernel.artifact import Kernel
from harness.paths import cache
from tests.guest.command import patchbed, run_json

Restore = Callable[..., AbstractContextManager[RestoredGuest]]
INSIDE = "cat /root/.ssh/authorized_keys; head -c 16 /dev/urandom | hexdump -C; date +%s"


@pytest.fixture
def restore(kernel: Kernel, image: Path, tmp_path: Path) -> Restore:
    """Restore a guest on a small machine, with what `warn` hears in `told`."""
    numbers = iter(range(100))

    def make(told: list[str]) -> AbstractContextManager[RestoredGuest]:
        folder = tmp_path / str(next(numbers))
        machine = load_machine("q35-1g")
        return restored(kernel, image, machine, folder, accelerator="tcg", warn=told.append)

    return make


def test_two_at_once_are_one_boot_and_two_guests(restore: Restore, kernel: Kernel) -> None:
    told: list[str] = []
    with restore(told) as one, restore(told) as two:
        first, second = (guest.run(INSIDE).stdout.splitlines() for guest in (one, two))
        assert first[0] == second[0], "both come from one boot"
        assert first[1] != second[1], "their random numbers differ"
        for said in (first, second):
            assert abs(int(said[-1]) - time.time()) < 20, "their clocks are right"
        assert one.run("echo kept > /tmp/file; uname -r").stdout.decode() == f"{kernel.release}\n"
        assert two.run("test -e /tmp/file").status == 1
        before = (one.folder / "console-before.log").read_text().splitlines()
        assert "[    0.000000] Linux version" in before[0]
        with pytest.raises(GuestDied, match="sysrq triggered crash"):
            one.run("echo c > /proc/sysrq-trigger")
        assert two.run("true").status == 0
    with restore(told) as three:
        assert three.run("test -e /tmp/file").status == 1
    assert told == []


@pytest.mark.parametrize("name", ["memory", "state", "keys"])
def test_a_damaged_snapshot_is_made_anew(restore: Restore, name: str) -> None:
    told: list[str] = []
    with restore(told) as guest:
        file = guest.snapshot.folder / name
    with file.open("r+b") as stream:
        stream.seek(100)
        stream.write(b"damaged")
    with restore(told) as guest:
        assert guest.run("true").status == 0
    assert len(told) == 1
    assert f"changed since it was made: {name}" in told[0]


def test_a_snapshot_that_qemu_can_not_load_is_made_anew(restore: Restore) -> None:
    told: list[str] = []
    with restore(told) as guest:
        snapshot = guest.snapshot
    snapshot.state.write_bytes(b"no state of QEMU's")
    snapshot.seal()
    with restore(told) as guest:
        assert guest.run("true").status == 0
    assert len(told) == 1
    assert "can't be restored" in told[0]


def test_it_is_for_nobody_else(restore: Restore) -> None:
    with restore([]) as guest:
        snapshot = guest.snapshot
    assert snapshot.folder.stat().st_mode & 0o777 == 0o700
    for file in (snapshot.keys, snapshot.memory, snapshot.state):
        assert file.stat().st_mode & 0o777 == 0o600
    assert snapshot.folder.parent == cache() / "snapshots"


def test_what_can_not_be_saved_says_so(kernel: Kernel, image: Path, tmp_path: Path) -> None:
    for name in ("numa-2", "deterministic"):
        with (
            pytest.raises(UserError, match="--fresh-boot"),
            restored(kernel, image, load_machine(name), tmp_path),
        ):
            pass


def test_boot_restores_what_was_saved() -> None:
    for _ in range(2):
        done = patchbed("boot", "debian-6.1", "--snapshot", "--", "uname -r; exit 6")
        assert (done.returncode, done.stdout) == (6, "6.1.192\n")


TESTS = '''\
from harness.testing.testcase import testcase


@testcase("X1-leave")
def test_leave(guest):
    """Leaves a file behind."""
    assert guest.run("touch /tmp/left").status == 0
    assert (guest.folder / "console-before.log").is_file()


@testcase("X2-find")
def test_find(guest):
    """Has a guest of its own."""
    assert guest.run("test -e /tmp/left").status == 1


@testcase("X3-fresh", fresh_boot=True)
def test_fresh(guest):
    """Has a boot of its own."""
    assert guest.run("test -e /tmp/left").status == 1
    assert not (guest.folder / "console-before.log").exists()
'''


def test_each_testcase_of_a_run_may_have_a_guest_of_its_own(tmp_path: Path) -> None:
    area = tmp_path / "testcases" / "own"
    area.mkdir(parents=True)
    (area / "test_own.py").write_text(TESTS)
    (area.parent / "Kbuild").write_text("# no modules\n")
    (tmp_path / "patchbed.toml").write_text(
        '[plan]\nvariants = ["debian-6.1"]\nmachine = "q35-1g"\n[paths]\ntestcases = "testcases"\n'
    )
    ran = run_json("--snapshot", cwd=tmp_path)
    assert ran.outcomes("debian-6.1") == {
        "own/X1-leave": "pass",
        "own/X2-find": "pass",
        "own/X3-fresh": "pass",
    }
    (cell,) = ran.results["cells"]
    assert [boot["outcome"] for boot in cell["boots"]] == ["pass"] * 3
    assert ran.status == 0


def test_a_run_refuses_machines_that_can_not_do_it(tmp_path: Path) -> None:
    for options in (["--machine", "deterministic"], ["--machine", "numa-2", "--snapshot"]):
        done = patchbed("run", "--runs", str(tmp_path / "runs"), *options)
        assert done.returncode == 2
        assert "machine" in done.stderr
        assert not (tmp_path / "runs").exists()
