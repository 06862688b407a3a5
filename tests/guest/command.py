# SPDX-License-Identifier: GPL-2.0-or-later
"""Running the `patchbed` command as a user does, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.paths import PROJECT

# No command of a test may hang the suite: two cold kernel builds and a run fit in here.
LIMIT = 2400.0


def argv(*arguments: str) -> list[str]:
    """Return the command line of `patchbed` with `arguments`."""
    return [sys.executable, "-m", "harness.cli.main", *arguments]


def patchbed(*arguments: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run `patchbed` to its end."""
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        argv(*arguments),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@dataclass(frozen=True)
class Ran:
    """A `patchbed run` that has ended: its exit code, what it said, and what it found."""

    status: int
    stderr: str
    results: dict[str, Any]

    def builds(self) -> dict[str, dict[str, Any]]:
        """The builds by variant."""
        return {build["variant"]: build for build in self.results["builds"]}

    def outcomes(self, variant: str) -> dict[str, str]:
        """The outcomes of a variant's testcases by id."""
        return {
            test["test"]: test["outcome"]
            for cell in self.results["cells"]
            if cell["variant"] == variant
            for test in cell["tests"]
        }


def run_json(*arguments: str, cwd: Path = PROJECT) -> Ran:
    """Run `patchbed run --json`; its standard output must be JSON and nothing else."""
    done = patchbed("run", "--json", *arguments, cwd=cwd)
    try:
        results = json.loads(done.stdout)
    except ValueError as error:
        raise AssertionError(
            f"standard output is no JSON: {done.stdout[:500]!r}\n{done.stderr}"
        ) from error
    return Ran(done.returncode, done.stderr, results)
