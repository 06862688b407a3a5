# SPDX-License-Identifier: GPL-2.0-or-later
"""Running make: its log, its progress, and what it says when it fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from harness.errors import BuildError
from harness.kernel.cache import no_space
from harness.kernel.process import Group
from harness.kernel.recipe import DISK_NEEDED, reproducing_line
from harness.outcomes import Outcome

Progress = Callable[[int], None]
_STEP = re.compile(r"  [A-Z][A-Z0-9_]*(?: \[M\])?\s+\S")
_ERROR = re.compile(
    r"\b(?:fatal )?error: |undefined reference to |multiple definition of "
    r"|^ERROR: modpost|^(?:\S*ld): |\*\*\* (?!\[|Waiting)|^\S+:\d+: error"
)
_KILLED = re.compile(r"\bKilled\b|internal compiler error: Killed")
MOST_LINES = 20


def is_step(line: str) -> bool:
    """Whether a line of kbuild's output tells of a step (`  CC      mm/slub.o`)."""
    return _STEP.match(line) is not None


def error_lines(output: Sequence[str], root: Path | None = None) -> list[str]:
    """Return the lines of a failed make that say why: the compiler's, the linker's, modpost's.

    Where none is known, the last lines that are no steps. Paths become relative to the source
    tree, which is `root` where make names it in full.
    """
    found = [line for line in output if _ERROR.search(line)]
    if not found:
        found = [line for line in output if line.strip() and not is_step(line)][-10:]
    if root is not None:
        found = [line.replace(f"{root}/", "") for line in found]
    seen = dict.fromkeys(line.strip().removeprefix("../") for line in found)
    return list(seen)[:MOST_LINES]


class Make:
    """make in one source tree, writing one log.

    Args:
        folder: where it runs.
        environment: all of its environment.
        log: the open log.
        log_path: the log's path, named in errors.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], log: IO[str], log_path: Path
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._log = log
        self._log_path = log_path

    def run(
        self,
        argv: Sequence[str],
        *,
        outcome: Outcome,
        what: str,
        progress: Progress | None = None,
        root: Path | None = None,
    ) -> int:
        """Run make to its end; return the number of its steps.

        On any exception its whole process group is killed. `root` is what error_lines takes.

        Raises:
            BuildError: it failed: of the kind `outcome`, with the lines that say why.
            InfrastructureError: the disk is full.
        """
        print(f"$ {reproducing_line(argv, self._environment)}", file=self._log, flush=True)
        output: list[str] = []
        steps = 0
        with Group(argv, self._folder, self._environment) as group:
            for line in group.lines():
                print(line, file=self._log)
                if is_step(line):
                    steps += 1
                    if progress is not None:
                        progress(steps)
                else:
                    output.append(line)
            status = group.wait()
        self._log.flush()
        if status != 0:
            raise self._failure(output, outcome, what, status, root)
        return steps

    def _failure(
        self, output: list[str], outcome: Outcome, what: str, status: int, root: Path | None
    ) -> Exception:
        if any("No space left on device" in line for line in output):
            return no_space(self._folder, DISK_NEEDED)
        hint = "mend the source" if outcome is Outcome.BUILD_COMPILE else ""
        if status < 0 or any(_KILLED.search(line) for line in output):
            hint = "something was killed: is there memory enough? try fewer --jobs"
        return BuildError(
            outcome, what, lines=tuple(error_lines(output, root)), hint=hint, log=self._log_path
        )
