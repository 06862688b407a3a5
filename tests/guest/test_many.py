# SPDX-License-Identifier: GPL-2.0-or-later
"""Many guests at once, and what is left when whoever started them is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from harness.guest.scratch import PREFIX, sweep
from harness.kernel.artifact import Kernel
from harness.paths import PROJECT

COUNT = 16
# A guest a thread, each in a private folder, as `patchbed boot` has it; QEMU dies with its thread.
PARENT = """\
import os, sys, threading, time, traceback
from pathlib import Path
from harness.guest import admission, speed
from harness.guest.guest import Guest
from harness.guest.machine import Machine
from harness.guest.scratch import private_folder
from harness.kernel.builder import obtain
from harness.kernel.variant import parse

# All are to run, whatever else does on this host; and what so many take at once says nothing of
# what a boot takes.
admission.host_room = lambda: admission.Room(1 << 30, 1 << 20)
speed.remember = lambda seconds, accelerator: None
kernel = obtain(parse("debian-6.1"), "fast", listen=lambda event: None)
machine = Machine(description="one of many", memory_mib=256)
together = threading.Barrier(int(sys.argv[2]) + 1)

def live():
    with private_folder() as folder:
        options = {"accelerator": "tcg", "boot_limit": 300, "silence_limit": 300}
        with Guest(kernel, Path(sys.argv[1]), machine, folder, **options) as guest:
            print(guest.run("uname -r", timeout=120).stdout.decode(), end="", flush=True)
            together.wait()
            time.sleep(600)

def live_or_end():
    try:
        live()
    except BaseException:
        traceback.print_exc()
        os._exit(1)

for _ in range(int(sys.argv[2])):
    threading.Thread(target=live_or_end, daemon=True).start()
together.wait()
print("all", flush=True)
time.sleep(600)
"""


def sockets() -> set[str]:
    """Return the named Unix sockets of ours, and the ports that somebody listens on."""
    named = {
        line.split()[7]
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]
        if len(line.split()) > 7 and "patchbed" in line.split()[7]
    }
    listening = {
        str(connection.laddr)
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.pid is not None
    }
    return named | listening


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


def test_nothing_outlives_a_killed_parent(
    kernel: Kernel, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(image), str(COUNT)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
    )
    try:
        assert parent.stdout is not None
        said = [parent.stdout.readline().decode().strip() for _ in range(COUNT + 1)]
        assert said == [kernel.release] * COUNT + ["all"]
        children = psutil.Process(parent.pid).children(recursive=True)
        guests = [child for child in children if child.name().startswith("qemu")]
        assert len(guests) == COUNT
        if os.geteuid() == 0:
            assert {guest.username() for guest in guests} == {"nobody"}
        assert {
            Path(f"/proc/{guest.pid}/oom_score_adj").read_text().strip() for guest in guests
        } == {"700"}
        ports = {
            str(connection.laddr)
            for guest in guests
            for connection in guest.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert len(ports) == COUNT
        assert len(folders()) == COUNT
    finally:
        parent.kill()
        parent.communicate()
    _gone, alive = psutil.wait_procs(children, timeout=60)
    assert [child for child in alive if child.is_running()] == []
    assert not ports & sockets()
    # What no dead process can remove, the next start does.
    assert len(sweep(tmp_path)) == COUNT
    assert [path for path in tmp_path.iterdir() if path.name.startswith("patchbed")] == []
