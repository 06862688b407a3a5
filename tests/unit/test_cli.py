# SPDX-License-Identifier: GPL-2.0-or-later
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import __version__
from harness.paths import PROJECT

HEAVY = (
    "paramiko",
    "pydantic",
    "jinja2",
    "pytest",
    "cryptography",
    "asyncio",
    "junitparser",
    "scipy",
    "numpy",
)


def patchbed(*arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", *arguments],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(PROJECT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_help_names_every_command() -> None:
    done = patchbed("--help")
    assert done.returncode == 0
    for command in ("run", "compare", "bisect", "boot", "report", "doctor", "kernel", "series"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize(
    "command", ["run", "compare", "bisect", "boot", "report", "doctor", "kernel", "series"]
)
def test_every_command_has_help(command: str) -> None:
    done = patchbed(command, "--help")
    assert done.returncode == 0
    assert f"patchbed {command}" in done.stdout


def test_the_command_line_is_there_before_anything_heavy() -> None:
    code = "import sys, harness.cli.main; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "typer" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_the_version_is_told() -> None:
    assert patchbed("--version").stdout == f"patchbed {__version__}\n"


@pytest.mark.parametrize("arguments", [["nonesuch"], ["run", "--nonesuch"], ["boot"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    done = patchbed(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_unknown_key_is_told_with_file_key_and_what_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "patchbed.toml"
    file.write_text("[plan]\nmachin = 'q35-4g'\n", encoding="utf-8")
    done = patchbed("run", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"patchbed: {file}: plan.machin: unknown key",
        "next: allowed here: machine, profile, testcases, variants",
    ]
    assert list(tmp_path.iterdir()) == [file]


def test_a_closed_pipe_is_no_error() -> None:
    line = f"{sys.executable} -m harness.cli.main series list | true"
    done = subprocess.run(
        ["bash", "-c", line], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
