# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's source tree with the folder it is built into, and make in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.kernel import recipe
from harness.kernel.make import Make
from harness.outcomes import Outcome


@dataclass(frozen=True)
class Tools:
    """How make is run: the compiler's command, ccache's folder (None: none), -j and nice."""

    compiler: str
    ccache: Path | None
    jobs: int
    niceness: int


@dataclass(frozen=True)
class WorkTree:
    """The source at `source`, and `source/build`, with the log that make writes to.

    `stats` is a file in which ccache tells how the calls of a make with progress went; `direct`
    is whether its direct mode can be trusted.
    """

    source: Path
    tools: Tools
    log: Path
    stats: Path | None = None
    direct: bool = True

    @property
    def build(self) -> Path:
        return self.source / "build"

    def make(
        self,
        *targets: str,
        outcome: Outcome,
        what: str,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Make `targets`; return the number of steps it took. Raises what Make.run raises."""
        argv = recipe.make_argv(
            self.build,
            targets,
            compiler=self.tools.compiler,
            ccache=self.tools.ccache is not None,
            jobs=self.tools.jobs,
            niceness=self.tools.niceness,
        )
        stats = self.stats if progress is not None else None
        environment = recipe.build_environment(
            self.tools.ccache, self.source, stats, direct=self.direct
        )
        with self.log.open("a", encoding="utf-8") as log:
            make = Make(self.source, environment, log, self.log)
            return make.run(argv, outcome=outcome, what=what, progress=progress)
