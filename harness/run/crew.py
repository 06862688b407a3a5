# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's processes: so many at a time, each at work on one cell, until nothing is left to do."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from harness.events import CellFinished, Event, Listener, Message, TestFinished
from harness.outcomes import Outcome
from harness.run.cell_process import CellProcess
from harness.run.durations import durations_file, remember_durations
from harness.run.plan import Plan
from harness.testing.cell import CellPlan
from harness.testing.units import Claims

# A further process for a cell takes a moment to start: it must have more than that to do.
_WORTH = 5.0
_POLL = 0.1


@dataclass
class CellWork:
    """What there is to do in one cell: `left` are the seconds of each unit that nobody has.

    `left` is None before its first process has looked; `workers` have begun, `active` still run.
    """

    workers: int = 0
    active: int = 0
    left: list[float] | None = None
    failed: bool = False


def choose(cells: Sequence[CellWork]) -> int | None:
    """Return which cell gets the next process, None where none should have one now.

    First each has one, then that which has most left to do for each of its processes.
    """
    for number, cell in enumerate(cells):
        if not cell.workers:
            return number
    shares = {
        number: sum(cell.left) / (cell.active + 1)
        for number, cell in enumerate(cells)
        if cell.left and not cell.failed and sum(cell.left) >= _WORTH
    }
    return max(shares, key=shares.__getitem__) if shares else None


def undecided(cells: Sequence[CellWork]) -> bool:
    """Return whether a process may be wanted that is not wanted yet."""
    return any(cell.active and cell.left is None for cell in cells)


@dataclass
class Crew:
    """Tests `cells` with `at_once` processes at a time, and tells `listen` all of it."""

    plan: Plan
    cells: Sequence[CellPlan]
    listen: Listener
    at_once: int
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._work = [CellWork() for _ in self.cells]
        self._begun = [0.0 for _ in self.cells]
        self._seconds: list[dict[str, float]] = [{} for _ in self.cells]

    def run(self) -> None:
        """Return when every cell is done.

        Raises:
            KeyboardInterrupt: cancelled; no process is left.
        """
        if not self.cells:
            return
        with ThreadPoolExecutor(max_workers=self.at_once) as pool:
            try:
                # A hand is at work before the next one is there: an interrupt may come here, too.
                hands = [pool.submit(self._hand) for _ in range(self.at_once)]
                wait(hands)
            except BaseException:
                self._cancelled.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        for hand in hands:
            hand.result()

    def _hand(self) -> None:
        """Run one process after the other."""
        while not self._cancelled.is_set():
            with self._lock:
                self._look()
                chosen = choose(self._work)
                if chosen is None and not undecided(self._work):
                    return
                worker = 0 if chosen is None else self._begin(chosen)
            if chosen is None:
                self._cancelled.wait(_POLL)
            else:
                self._process(chosen, worker)

    def _look(self) -> None:
        for work, plan in zip(self._work, self.cells, strict=True):
            if work.active:
                work.left = Claims(plan.claims).left()

    def _begin(self, chosen: int) -> int:
        work = self._work[chosen]
        work.workers += 1
        work.active += 1
        if work.workers == 1:
            self._begun[chosen] = time.monotonic()
        return work.workers

    def _process(self, chosen: int, worker: int) -> None:
        work = self._work[chosen]
        plan = self.cells[chosen].model_copy(update={"worker": worker})
        fine = False
        try:
            with CellProcess(
                plan, self.plan.testcases, self.plan.selection, self._noting(chosen)
            ) as process:
                fine = process.wait(self._cancelled)
        finally:
            with self._lock:
                work.failed = work.failed or not fine
                work.left = Claims(plan.claims).left() or []
                work.active -= 1
                last = not work.active
        if last:
            self._end(chosen)

    def _noting(self, chosen: int) -> Callable[[Event], None]:
        def tell(event: Event) -> None:
            if isinstance(event, TestFinished) and event.outcome is not Outcome.SKIP:
                self._seconds[chosen][event.test] = round(event.seconds, 2)
            self.listen(event)

        return tell

    def _end(self, chosen: int) -> None:
        """Tell that a cell is done, if it is, and keep what helps the next run."""
        plan, work = self.cells[chosen], self._work[chosen]
        if self._cancelled.is_set():
            self.listen(Message(level="warning", text=f"{plan.cell}: cancelled"))
            return
        shutil.rmtree(plan.claims, ignore_errors=True)
        if not work.failed:
            seconds = time.monotonic() - self._begun[chosen]
            self.listen(CellFinished(cell=plan.cell, seconds=seconds))
        file = durations_file(plan.kernel.variant, plan.profile, plan.machine)
        remember_durations(file, self._seconds[chosen])
