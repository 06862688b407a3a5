# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run found: the model of `results.json`, described in docs/results-format.md."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from harness.outcomes import ExitCode, Outcome

SCHEMA_VERSION: Final = 1


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunInfo(_Model):
    """What was asked for, and when. `complete` is false where the run was cut short."""

    id: str
    version: str
    command: list[str]
    variants: list[str]
    reference: str
    profiles: list[str]
    machine: str
    selection: str
    host: dict[str, str]
    started: datetime
    finished: datetime
    seconds: float
    complete: bool


class BuildResult(_Model):
    """How a variant's kernel was come by, or why not. `log` and `config` are absolute paths."""

    variant: str
    profile: str
    outcome: Outcome
    cached: bool = False
    seconds: float = 0.0
    key: str = ""
    release: str = ""
    tree: str = ""
    config: str = ""
    compiler: str = ""
    message: str = ""
    lines: list[str] = []
    log: str = ""


class BootResult(_Model):
    """One life of a guest. `during` is the testcase that ran when it died, if one did.

    `machine` is "" in results of older runs, `kernel_args` are what a testcase asked for.

    `seconds_to_ready` is null where it never took commands. `declared`: it died of what `during`
    had declared. `explained` says that, or that its death is the known issue that `during` shows,
    or trouble with the host that a later boot got over: it then doesn't count for the exit code.
    """

    boot: int
    folder: str
    machine: str = ""
    kernel_args: list[str] = []
    restored: bool = False
    outcome: Outcome
    title: str = ""
    lines: list[str] = []
    seconds_to_ready: float | None = None
    accelerator: str = ""
    accelerator_reason: str = ""
    argv: list[str] = []
    during: str = ""
    declared: bool = False
    explained: bool = False


class CheckResult(_Model):
    """A check that is no pass, and why."""

    check: str
    outcome: Outcome
    reason: str = ""


class CounterChange(_Model):
    """How counters moved; every value is the one after less the one before.

    `vmstat` and `meminfo` (kB) hold what moved, and always the direct map's counters; `leaves`
    counts the direct map's mappings by size, `cache` the unmapped cache's pages by row.
    """

    vmstat: dict[str, int] = {}
    meminfo: dict[str, int] = {}
    leaves: dict[str, int] = {}
    cache: dict[str, int] = {}


class TestResult(_Model):
    """One testcase in one cell; `checks` has those that are no pass, of `check_count` in all.

    `counters` is null where they were not pulled both before and after it.
    """

    __test__ = False
    test: str
    boot: int
    outcome: Outcome
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0
    check_count: int = 0
    checks: list[CheckResult] = []
    counters: CounterChange | None = None


class CellResult(_Model):
    """A variant's guest and its testcases. `outcome` is the worst of its boots and tests.

    `counters` adds up each boot's change from its first pull to its last; `leaves_before` and
    `leaves_after` are the first and the last of the boot with most pulls.
    """

    cell: str
    variant: str
    profile: str
    machine: str
    outcome: Outcome
    seconds: float
    complete: bool
    boots: list[BootResult]
    tests: list[TestResult]
    counters: CounterChange
    leaves_before: dict[str, int]
    leaves_after: dict[str, int]


class MatrixRow(_Model):
    """A testcase's outcome by cell; cells that did not have it are left out."""

    test: str
    worst: Outcome
    outcomes: dict[str, Outcome]


class KnownIssue(_Model):
    """A failure that was expected (xfail), or expected and did not come (xpass).

    `check` is "" for the testcase as a whole.
    """

    cell: str
    test: str
    check: str
    outcome: Outcome
    reason: str


class Note(_Model):
    """A warning or an error that was shown while the run went on."""

    level: Literal["warning", "error"]
    text: str


class Results(_Model):
    """Everything that a run found. `common_tests` ran, with counters, in every cell."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: RunInfo
    exit_code: int
    verdict: str
    outcomes: dict[Outcome, int]
    builds: list[BuildResult]
    cells: list[CellResult]
    matrix: list[MatrixRow]
    common_tests: list[str]
    known_issues: list[KnownIssue]
    notes: list[Note]


VERDICTS = {
    ExitCode.OK: "as expected",
    ExitCode.FAILURE: "not as expected",
    ExitCode.USAGE: "refused",
    ExitCode.INFRASTRUCTURE: "the host got in the way, or the run was cancelled",
    ExitCode.NOTHING_RAN: "nothing ran",
}


def dump_results(results: Results) -> str:
    """Return `results` as the text of a `results.json`."""
    return results.model_dump_json(indent=2) + "\n"
