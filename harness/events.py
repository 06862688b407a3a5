# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed events: what happens in a run, as it happens.

Every progress bar, log, result and report is a listener. `events.jsonl` in the run folder holds
one event a line and is the truth; docs/results-format.md describes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from harness.outcomes import Outcome


def _now() -> datetime:
    return datetime.now(UTC)


class _Event(BaseModel):
    """What every event has: its type and when it happened (UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: datetime = Field(default_factory=_now)


class RunStarted(_Event):
    """A run begins. The first variant is the reference unless `reference` says otherwise.

    `kernels` are those to build, as variant and profile; profiles that share one are joined by
    commas.
    """

    type: Literal["run-started"] = "run-started"
    run: str
    version: str
    command: list[str]
    variants: list[str]
    reference: str
    profiles: list[str]
    kernels: list[tuple[str, str]] = []
    machine: str
    selection: str = ""
    host: dict[str, str] = {}


class BuildStarted(_Event):
    """Work on a variant's kernel begins."""

    type: Literal["build-started"] = "build-started"
    variant: str
    profile: str


class BuildProgress(_Event):
    """A build has got somewhere: `done` of about `total` steps of `phase`."""

    type: Literal["build-progress"] = "build-progress"
    variant: str
    profile: str
    phase: str
    done: int = 0
    total: int = 0


class BuildFinished(_Event):
    """A variant's kernel is there (outcome pass), or can't be had (build.*, infra.*)."""

    type: Literal["build-finished"] = "build-finished"
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


class CellStarted(_Event):
    """A variant's guest begins its tests; `cell` is `variant/profile/machine`."""

    type: Literal["cell-started"] = "cell-started"
    cell: str
    variant: str
    profile: str
    machine: str


class BootStarted(_Event):
    """A guest is started, for the `boot`-th time (from 1) in its cell.

    `folder` is relative to the run folder. `kernel_args` are the parameters that a testcase asked
    for; `restored` says that it comes from a snapshot.
    """

    type: Literal["boot-started"] = "boot-started"
    cell: str
    boot: int
    folder: str
    machine: str = ""
    kernel_args: list[str] = []
    restored: bool = False
    argv: list[str]
    accelerator: str
    accelerator_reason: str


class BootReady(_Event):
    """A guest takes commands, `seconds` after its start."""

    type: Literal["boot-ready"] = "boot-ready"
    cell: str
    boot: int
    seconds: float


class BootFinished(_Event):
    """A guest is gone: pass where we ended it, kernel.* with the console's lines where not.

    `declared`: it died of what its testcase had declared.
    """

    type: Literal["boot-finished"] = "boot-finished"
    cell: str
    boot: int
    outcome: Outcome
    title: str = ""
    lines: list[str] = []
    declared: bool = False


class TestsCollected(_Event):
    """The testcases that a cell is going to run, in order, by id (`area/ID-name`)."""

    __test__ = False
    type: Literal["tests-collected"] = "tests-collected"
    cell: str
    tests: list[str]


class TestStarted(_Event):
    """A testcase begins."""

    __test__ = False
    type: Literal["test-started"] = "test-started"
    cell: str
    boot: int
    test: str


class TestCheck(_Event):
    """One check within a testcase: a KTAP result line, or a subtest of the pytest file."""

    __test__ = False
    type: Literal["test-check"] = "test-check"
    cell: str
    test: str
    check: str
    outcome: Outcome
    reason: str = ""


class TestFinished(_Event):
    """A testcase has ended. `reason` says why for all but a pass."""

    __test__ = False
    type: Literal["test-finished"] = "test-finished"
    cell: str
    boot: int
    test: str
    outcome: Outcome
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0
    checks: int = 0


class CountersPulled(_Event):
    """The guest's counters `when` (before, after) a testcase; raw files are in `folder`.

    `vmstat` is /proc/vmstat as it is; `meminfo` is in kB; `leaves` counts the direct map's
    mappings by size ("4K", "2M", "1G"); `cache` is debugfs `unmapped_alloc` by row (Free,
    Cached, Released), in pages, empty where there is none.
    """

    type: Literal["counters-pulled"] = "counters-pulled"
    cell: str
    boot: int
    test: str
    when: Literal["before", "after"]
    folder: str
    vmstat: dict[str, int]
    meminfo: dict[str, int]
    leaves: dict[str, int]
    cache: dict[str, int] = {}


class CellFinished(_Event):
    """A cell has no more to do."""

    type: Literal["cell-finished"] = "cell-finished"
    cell: str
    seconds: float


class Message(_Event):
    """A word to the person who watches."""

    type: Literal["message"] = "message"
    level: Literal["info", "warning", "error"]
    text: str


class RunFinished(_Event):
    """A run has ended with `exit_code`."""

    type: Literal["run-finished"] = "run-finished"
    exit_code: int
    seconds: float


Event = Annotated[
    RunStarted
    | BuildStarted
    | BuildProgress
    | BuildFinished
    | CellStarted
    | BootStarted
    | BootReady
    | BootFinished
    | TestsCollected
    | TestStarted
    | TestCheck
    | TestFinished
    | CountersPulled
    | CellFinished
    | Message
    | RunFinished,
    Field(discriminator="type"),
]
Listener = Callable[[Event], None]

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def dump_event(event: Event) -> str:
    """Return `event` as one line of JSON, without the newline."""
    return event.model_dump_json()


def load_event(line: str) -> Event:
    """Return the event that `line` of an events.jsonl holds.

    Raises:
        pydantic.ValidationError: the line is no event of this version.
    """
    return _ADAPTER.validate_json(line)


class Bus:
    """Hands every event to every listener, in the order in which they were added.

    Events may come from several threads; a listener sees one at a time.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)
        self._lock = threading.RLock()

    def add(self, listener: Listener) -> None:
        """Add a listener; it sees the events that come from now on."""
        self._listeners.append(listener)

    def __call__(self, event: Event) -> None:
        with self._lock:
            for listener in self._listeners:
                listener(event)
