# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar, cast

import pytest

from harness.kernel.interrupt import Interrupted
from harness.run import crew
from harness.run.crew import CellWork, Crew, choose, undecided
from harness.run.durations import load_durations, remember_durations
from harness.run.plan import Plan
from harness.testing.cell import CellPlan

_Result = TypeVar("_Result")


def test_every_cell_has_a_process_before_any_has_two() -> None:
    busy = CellWork(workers=1, active=1, left=[60.0])
    assert choose([busy, CellWork()]) == 1


def test_the_cell_with_most_left_for_each_process_gets_help() -> None:
    long = CellWork(workers=2, active=2, left=[30.0])
    short = CellWork(workers=1, active=1, left=[12.0, 12.0])
    assert choose([long, short]) == 1


def test_a_little_work_is_not_worth_another_process() -> None:
    cells = [CellWork(workers=1, active=1, left=[2.0])]
    assert choose(cells) is None
    assert not undecided(cells)


def test_a_cell_whose_process_broke_gets_no_other() -> None:
    assert choose([CellWork(workers=1, left=[60.0], failed=True)]) is None


def test_nobody_leaves_before_it_is_known_what_there_is() -> None:
    assert undecided([CellWork(workers=1, active=1)])
    assert not undecided([CellWork(workers=1, active=0, left=[])])


def test_an_interrupt_before_all_are_at_work_ends_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The moment between two hands is too short to be met by a real signal."""
    told = []

    class Interrupting(ThreadPoolExecutor):
        def submit(
            self, work: Callable[..., _Result], /, *words: object, **options: object
        ) -> Future[_Result]:
            if self._threads:
                raise Interrupted("signal 2")
            return super().submit(work, *words, **options)

    def process(self: Crew, chosen: int, worker: int) -> None:
        told.append(self._cancelled.wait(20))

    monkeypatch.setattr(crew, "ThreadPoolExecutor", Interrupting)
    monkeypatch.setattr(Crew, "_process", process)
    plan, cell = cast(Plan, SimpleNamespace()), cast(CellPlan, SimpleNamespace())
    with pytest.raises(Interrupted):
        Crew(plan, [cell], lambda event: None, at_once=2).run()
    assert told == [True]


def test_durations_are_remembered_and_damage_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "durations" / "x.json"
    assert load_durations(file) == {}
    remember_durations(file, {"a/U0-x": 1.5, "a/U1-x": 2.0})
    remember_durations(file, {"a/U1-x": 3.0})
    assert load_durations(file) == {"a/U0-x": 1.5, "a/U1-x": 3.0}
    for damage in ("", "[1]", '{"a": "x"}', "{"):
        file.write_text(damage, encoding="utf-8")
        assert load_durations(file) == {}


def test_a_disk_that_takes_nothing_costs_no_run(tmp_path: Path) -> None:
    (tmp_path / "durations").write_text("in the way", encoding="utf-8")
    remember_durations(tmp_path / "durations" / "x.json", {"a/U0-x": 1.0})
