# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed bisect`: which commit changed a metric."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.compare import (
    Accelerator,
    ConfigFile,
    FirstWorld,
    Jobs,
    MachineName,
    Profile,
    RunsFolder,
    Seed,
)

FOR_GIT = "--git-bisect"
# From 128 on, `git bisect run` stops, and takes the code for no answer.
ABORT = 128

MetricName = Annotated[
    str, typer.Argument(help="WORKLOAD/METRIC, as compare names it, or WORKLOAD.METRIC.")
]
Good = Annotated[str, typer.Argument(help="A commit before the change: git:PATH@REV, or REV.")]
Bad = Annotated[str, typer.Argument(help="One after it, in the same repository.")]
Blocks = Annotated[
    int, typer.Option("--worlds", "--blocks", min=3, max=10000, help="How many boots a commit.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Resumed = Annotated[
    str, typer.Option(help='Go on with a bisection: an id, its beginning, or "last".')
]
ForGit = Annotated[
    bool,
    typer.Option(
        FOR_GIT, help="Judge the commit that git bisect run asks about: 0 good, 1 bad, 125 skip."
    ),
]


class _Answer:
    """What git is told; None until there is an answer."""

    code: int | None = None


def bisect(
    metric: MetricName = "",
    good: Good = "",
    bad: Bad = "",
    worlds: Blocks = 8,
    first: FirstWorld = 1,
    profile: Profile = "fast",
    machine: MachineName = "deterministic",
    accelerator: Accelerator = "auto",
    seed: Seed = None,
    jobs: Jobs = 0,
    resume: Resumed = "",
    for_git: ForGit = False,
    as_json: AsJson = False,
    runs: RunsFolder = None,
    config: ConfigFile = None,
) -> None:
    """Find the commit of a git repository that changed a metric.

    Ends with 0 where it is found, 3 where it may be one of several, nothing differs, or the
    self-check failed.
    """
    # Threads of the linear algebra would only take from the guests, and wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from harness.config import load_settings
    from harness.errors import UserError
    from harness.paths import find_settings
    from harness.run.bisect_job import BisectRequest, execute_bisect
    from harness.run.bisect_plan import BisectDesign, make_bisect_plan
    from harness.run.compare_local import places_of

    if bool(resume) == bool(bad) or (resume and (metric or for_git)):
        raise UserError("what to look for?", hint="METRIC GOOD BAD, or --resume RUN")
    file = config or find_settings(Path.cwd())
    folder, settings = file.resolve().parent, load_settings(file)
    plan = None
    if bad:
        # git calls us once a commit, and each time the same has to be meant.
        drawn = 0 if for_git and seed is None else seed
        design = BisectDesign(worlds, first, profile, machine, accelerator, drawn)
        command = ["patchbed", *sys.argv[1:]]
        asked = (metric, good, bad)
        plan = make_bisect_plan(settings, folder, asked, command, design, Path.cwd())
    places = places_of(settings, folder)
    code = execute_bisect(
        BisectRequest(runs or folder / "runs", places, plan, resume, for_git, jobs, as_json)
    )
    _Answer.code = code if for_git else None
    raise typer.Exit(code)


@contextlib.contextmanager
def as_git_takes_it(arguments: Sequence[str]) -> Iterator[None]:
    """With --git-bisect among `arguments`, let nothing but an answer end with what is one for git.

    To `git bisect run` every code up to 127 but 0 and 125 says that the commit is bad: an option
    that is not known, a full disk or a signal must not. Whatever is no answer ends with 128.
    """
    if FOR_GIT not in arguments:
        yield
        return
    try:
        yield
    except SystemExit as error:
        _end(error.code)
    except BaseException:
        traceback.print_exc()
        _end(None)
    _end(None)


def _end(code: object) -> None:
    """End with `code` where that is the answer, else with ABORT."""
    answer = _Answer.code if _Answer.code is not None and code == _Answer.code else ABORT
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Python would end with 120, because it can't flush it either.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(answer)
