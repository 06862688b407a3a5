# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.paths import PROJECT

PROGRAM = """\
import os, signal, sys
from harness.kernel.interrupt import interrupt_on

interrupt_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
try:
    exec("os.kill(os.getpid(), int(sys.argv[1]))\\nfor _ in range(1000): pass")
except KeyboardInterrupt:
    sys.exit(3)
sys.exit(4)
"""


def status_of(folder: Path, number: signal.Signals, *prefix: str) -> int:
    """Run PROGRAM as `python -m` does, which is where CPython ends by SIGINT.

    It starts with the signal as a terminal's commands have it, even if the tests are run by nohup.
    """
    (folder / "program.py").write_text(PROGRAM)
    return subprocess.run(
        [*prefix, sys.executable, "-m", "program", str(int(number))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{folder}"},
        check=False,
        timeout=60,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ).returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_exit_code_is_kept_wherever_the_signal_comes(
    tmp_path: Path, number: signal.Signals
) -> None:
    assert status_of(tmp_path, number) == 3


def test_what_was_ignored_stays_so(tmp_path: Path) -> None:
    assert status_of(tmp_path, signal.SIGHUP, "nohup") == 4
