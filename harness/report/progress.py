# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person sees while a run goes on, on standard error."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from harness.events import (
    BootFinished,
    BootReady,
    BuildFinished,
    BuildProgress,
    BuildStarted,
    CellFinished,
    CellStarted,
    Event,
    Message,
    RunStarted,
    TestFinished,
    TestsCollected,
    TestStarted,
)
from harness.outcomes import Outcome
from harness.report.words import counted, duration, printable, style_of

_STEP_PERCENT = 10
_STEP_SECONDS = 30.0
_TOO_EARLY_SECONDS = 5.0
_MOST_LINES = 12


def remaining(done: int, total: int, elapsed: float) -> float | None:
    """Return how many seconds `total - done` steps will take at the pace so far.

    None where it is too early to tell, or the total is unknown.
    """
    if done <= 0 or total <= 0 or elapsed < _TOO_EARLY_SECONDS:
        return None
    return max(total - done, 0) * elapsed / done


@dataclass
class _Phase:
    """Where a build's present phase is, and what was last said of it."""

    name: str
    started: datetime
    said: datetime
    said_percent: int = 0


@dataclass
class BuildPace:
    """Decides when a build's progress is worth a line, and words it."""

    _phases: dict[tuple[str, str], _Phase] = field(default_factory=dict)

    def line(self, event: BuildProgress) -> str:
        """Return the line to print for `event`, "" where it is too soon for another.

        A phase's begin is said, then every 10% or, where the total is unknown or a step takes
        long, every 30 seconds.
        """
        phase = self._phases.get((event.variant, event.profile))
        if phase is None or phase.name != event.phase:
            phase = _Phase(event.phase, event.time, event.time)
            self._phases[event.variant, event.profile] = phase
            return event.phase
        percent = min(100 * event.done // event.total, 100) if event.total else 0
        stepped = percent // _STEP_PERCENT > phase.said_percent // _STEP_PERCENT
        waited = (event.time - phase.said).total_seconds() >= _STEP_SECONDS
        if not stepped and not waited:
            return ""
        phase.said, phase.said_percent = event.time, percent
        if not event.total:
            return f"{event.phase} {event.done}" if event.done else f"{event.phase} goes on"
        left = remaining(event.done, event.total, (event.time - phase.started).total_seconds())
        words = f"{event.phase} {percent}% ({event.done} of {event.total})"
        return f"{words}, about {duration(left)} left" if left else words


def finished_line(event: Event) -> tuple[Outcome, str] | None:
    """Return the outcome that `event` tells, and a line about it; None where it tells none."""
    match event:
        case BuildFinished(outcome=Outcome.PASS):
            how = "from the cache" if event.cached else f"in {duration(event.seconds)}"
            return event.outcome, f"built {event.variant} ({event.profile}) {how}"
        case BuildFinished():
            return event.outcome, f"build {event.variant} ({event.profile}): {event.message}"
        case TestFinished():
            told = [
                duration(event.seconds),
                *([counted(event.checks, "check")] * bool(event.checks)),
            ]
            because = f": {event.reason}" if event.reason else ""
            return event.outcome, f"{event.cell} {event.test} ({', '.join(told)}){because}"
        case BootFinished() if not event.outcome.expected and not event.declared:
            return event.outcome, f"{event.cell} boot {event.boot}: {event.title}"
        case _:
            return None


def _lines_of(event: Event) -> list[str]:
    if isinstance(event, BuildFinished):
        return [*event.lines, *([f"log: {event.log}"] if event.log else [])]
    if isinstance(event, BootFinished) and not event.outcome.expected and not event.declared:
        return list(event.lines)
    return []


class _Plain:
    """One line for everything that begins or ends, each with the time since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start: datetime | None = None
        self._pace = BuildPace()

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self, event: Event) -> None:
        self._start = self._start or event.time
        said = self._say(event)
        if said is None:
            return
        whole = int((event.time - self._start).total_seconds())
        text = Text(f"{whole // 60:3d}:{whole % 60:02d} ")
        text.append_text(said)
        _print(self._console, text, _lines_of(event))

    def _say(self, event: Event) -> Text | None:
        if isinstance(event, BuildProgress):
            line = self._pace.line(event)
            return Text(printable(f"build {event.variant}: {line}")) if line else None
        if (ended := finished_line(event)) is not None:
            return _outcome_text(*ended)
        words = _begin_words(event)
        return Text(printable(words)) if words else None


def _begin_words(event: Event) -> str:
    words = ""
    match event:
        case RunStarted():
            words = f"run {event.run}: {', '.join(event.variants)} on {event.machine}"
        case BuildStarted():
            words = f"build {event.variant} ({event.profile})"
        case CellStarted():
            words = f"test {event.cell}"
        case BootReady():
            words = f"{event.cell} boot {event.boot}: ready after {duration(event.seconds)}"
        case TestsCollected():
            words = f"{event.cell}: {counted(len(event.tests), 'testcase')}"
        case CellFinished():
            words = f"{event.cell}: done after {duration(event.seconds)}"
        case Message():
            words = event.text if event.level == "info" else f"{event.level}: {event.text}"
        case _:
            pass
    return words


def _outcome_text(outcome: Outcome, words: str) -> Text:
    return Text.assemble((f"{outcome.value:<5}", style_of(outcome)), " ", printable(words))


def _print(console: Console, text: Text, lines: list[str]) -> None:
    console.print(text, soft_wrap=True, highlight=False)
    for line in lines[:_MOST_LINES]:
        console.print(Text(f"         {printable(line)}"), soft_wrap=True, highlight=False)
    if len(lines) > _MOST_LINES:
        more = counted(len(lines) - _MOST_LINES, "more line")
        console.print(Text(f"         ... {more}"), highlight=False)


@dataclass
class _Bar:
    """A line of the live display."""

    task: TaskID
    name: str
    phase: str = ""
    done: int = 0


class _Live:
    """Bars for builds and cells that stay in place; what went wrong scrolls by above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            SpinnerColumn(finished_text=" "),
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=4,
            expand=True,
        )
        self._known: dict[str, _Bar] = {}

    def open(self) -> None:
        self._bars.start()

    def close(self) -> None:
        self._bars.stop()

    def take(self, event: Event) -> None:
        ended = finished_line(event)
        if ended is not None and not ended[0].expected:
            _print(self._console, _outcome_text(*ended), _lines_of(event))
        if isinstance(event, Message):
            _print(self._console, Text(printable(_begin_words(event))), [])
        match event:
            case BuildStarted() | BuildProgress() | BuildFinished():
                self._take_build(event)
            case CellStarted() | TestsCollected() | TestStarted() | TestFinished() | CellFinished():
                self._take_cell(event)
            case _:
                pass

    def _bar(self, key: str, name: str) -> _Bar:
        if key not in self._known:
            self._known[key] = _Bar(self._bars.add_task(printable(name), total=None), name)
        return self._known[key]

    def _take_build(self, event: BuildStarted | BuildProgress | BuildFinished) -> None:
        name = f"build {event.variant}"
        bar = self._bar(f"build {event.variant} {event.profile}", name)
        if isinstance(event, BuildProgress):
            if bar.phase != event.phase:
                # Another phase has another pace.
                bar.phase = event.phase
                self._bars.reset(bar.task, description=printable(f"{name}: {event.phase}"))
            total = event.total or None
            self._bars.update(bar.task, total=total, completed=event.done)
        elif isinstance(event, BuildFinished):
            how = "from the cache" if event.cached else event.outcome.value
            self._finish(bar, f"{name}: {how}")

    def _take_cell(
        self, event: CellStarted | TestsCollected | TestStarted | TestFinished | CellFinished
    ) -> None:
        bar = self._bar(f"cell {event.cell}", f"test {event.cell}")
        match event:
            case TestsCollected():
                self._bars.update(bar.task, total=len(event.tests))
            case TestStarted():
                self._bars.update(bar.task, description=printable(f"{bar.name}: {event.test}"))
            case TestFinished():
                bar.done += 1
                self._bars.update(bar.task, completed=bar.done)
            case CellFinished():
                self._finish(bar, f"{bar.name}: done")
            case _:
                pass

    def _finish(self, bar: _Bar, words: str) -> None:
        self._bars.update(bar.task, description=printable(words))
        task = next(task for task in self._bars.tasks if task.id == bar.task)
        total = task.total if task.total is not None else max(task.completed, 1)
        self._bars.update(bar.task, total=total, completed=total)
        self._bars.stop_task(bar.task)


def wants_live(console: Console) -> bool:
    """Return whether bars that move are wanted: on a terminal, and without NO_COLOR."""
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("NO_COLOR")


class Progress:
    """A listener that shows a run as it goes; leaving it puts the terminal back in order.

    Events may come from several threads. Everything goes to standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Take the console to write on; standard error unless given."""
        console = console or Console(file=sys.stderr)
        self._lock = threading.Lock()
        self._view: _Plain | _Live = _Live(console) if wants_live(console) else _Plain(console)

    def __enter__(self) -> Self:
        self._view.open()
        return self

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._view.take(event)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._view.close()
