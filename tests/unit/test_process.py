# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.errors import InfrastructureError
from harness.guest.process import QemuProcess, limits, qemu_user
from harness.outcomes import Outcome

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_it_has_a_console_and_ends_with_its_context() -> None:
    with QemuProcess(["sh", "-c", "echo hello; exec sleep 1000"]) as process:
        assert os.read(process.console, 100) == b"hello\n"
        assert os.getsid(process.pid) == process.pid
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "700\n"
    assert not psutil.pid_exists(process.pid)


def test_what_it_says_when_it_fails() -> None:
    with QemuProcess(["sh", "-c", "echo no such machine >&2; exit 3"]) as process:
        assert process.ended(30) == 3
        assert process.errors() == "no such machine"


def test_a_missing_helper_is_the_hosts_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InfrastructureError, match="can't start") as caught, QemuProcess(["true"]):
        pass
    assert caught.value.outcome is Outcome.INFRA_QEMU


@ROOT
def test_roots_qemu_is_nobodys() -> None:
    user = qemu_user("tcg")
    assert user is not None
    with QemuProcess(["sh", "-c", "id -u; exec sleep 1000"], user=user) as process:
        assert os.read(process.console, 100) == b"%d\n" % user.pw_uid


def test_it_dies_with_whoever_started_it() -> None:
    """SIGKILL gives nobody time to clean up: the kernel must do it."""
    script = (
        "import sys, time\n"
        "from harness.guest.process import QemuProcess, qemu_user\n"
        "with QemuProcess(['sleep', '1000'], user=qemu_user('tcg')) as process:\n"
        "    print(process.pid, flush=True)\n"
        "    time.sleep(1000)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    deadline = time.monotonic() + 30
    while psutil.Process(pid).name() != "sleep" and time.monotonic() < deadline:
        time.sleep(0.01)
    parent.kill()
    parent.communicate()
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not psutil.pid_exists(pid)


def test_limits_without_a_user_change_no_user() -> None:
    assert limits(None)[:5] == ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"]


def test_one_whose_parent_is_gone_already_does_not_start() -> None:
    """Another parent than us stands in for the one that takes orphans."""
    another = ["sh", "-c", '"$@"; exit $?', "sh"]
    orphan = subprocess.run(
        [*another, *limits(None), "echo", "up"], check=False, capture_output=True
    )
    assert (orphan.returncode, orphan.stdout) == (1, b"")
    ours = subprocess.run([*limits(None), "echo", "up"], check=False, capture_output=True)
    assert (ours.returncode, ours.stdout) == (0, b"up\n")
