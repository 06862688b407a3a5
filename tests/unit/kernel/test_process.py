# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.kernel.process import Group

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def gone(processes: list[psutil.Process], seconds: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def sleeping() -> int:
    """Return how many of our processes are `sleep`."""
    found = 0
    for process in children(os.getpid()):
        with contextlib.suppress(psutil.Error):
            found += process.name() == "sleep"
    return found


def test_output_and_status(tmp_path: Path) -> None:
    with Group(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path, ENVIRONMENT) as group:
        assert list(group.lines()) == ["out", "err"]
        assert group.wait() == 3


def test_the_command_has_no_input_and_our_folder(tmp_path: Path) -> None:
    with Group(["sh", "-c", "cat; pwd"], tmp_path, ENVIRONMENT) as group:
        assert list(group.lines()) == [str(tmp_path)]


def test_bytes_that_are_no_utf8_are_read(tmp_path: Path) -> None:
    with Group(["printf", r"a\377b\n"], tmp_path, ENVIRONMENT) as group:
        assert list(group.lines()) == ["a\ufffdb"]


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_an_exception_ends_the_whole_group(tmp_path: Path, trap: str) -> None:
    script = f"{trap}(sleep 60; true) & sleep 60; true"
    with pytest.raises(KeyboardInterrupt), Group(["sh", "-c", script], tmp_path, ENVIRONMENT):
        deadline = time.monotonic() + 30
        while sleeping() < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sleeping() == 2
        started = children(os.getpid())
        began = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - began < 30
    assert gone(started, 30)


def test_what_outlives_the_command_is_ended(tmp_path: Path) -> None:
    with Group(["sh", "-c", "sleep 60 >&- 2>&- & echo $!"], tmp_path, ENVIRONMENT) as group:
        (pid,) = group.lines()
        left = psutil.Process(int(pid))
        assert group.wait() == 0
    assert gone([left], 30)


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_the_group_ends_with_us_even_by_sigkill(tmp_path: Path, trap: str) -> None:
    script = f"{trap}sleep 60; true"
    code = (
        "import time\nfrom pathlib import Path\nfrom harness.kernel.process import Group\n"
        f"with Group(['sh', '-c', {script!r}], Path({str(tmp_path)!r}), {ENVIRONMENT!r}):\n"
        "    print('started', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.3)
        started = children(process.pid)
        assert any(child.name() == "sleep" for child in started)
        process.kill()
    assert gone(started, 5)
