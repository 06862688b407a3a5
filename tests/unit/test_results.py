# SPDX-License-Identifier: GPL-2.0-or-later
"""From events to results: what a run found, however it ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ParseError, UserError
from harness.events import (
    BootFinished,
    BootReady,
    BootStarted,
    BuildFinished,
    BuildStarted,
    CellFinished,
    CellStarted,
    CountersPulled,
    Event,
    Message,
    RunFinished,
    RunStarted,
    TestCheck,
    TestFinished,
    TestsCollected,
    TestStarted,
    dump_event,
)
from harness.outcomes import ExitCode, Outcome
from harness.results.counters import column_names, counter_rows
from harness.results.event_log import parse_events, read_events
from harness.results.model import build_results
from harness.results.run_folder import RunFolder, find_run, list_runs, make_id
from harness.results.schema import Results, dump_results

DATA = Path(__file__).parent / "data" / "run-events.jsonl"
BASE, NEW = "debian-6.1", "debian-6.1+gfp-unmapped@v1"
BASE_CELL, NEW_CELL = f"{BASE}/fast/q35-4g", f"{NEW}/fast/q35-4g"


@pytest.fixture(scope="module")
def results() -> Results:
    return build_results(read_events(DATA))


def started(*variants: str) -> RunStarted:
    return RunStarted(
        run="20261122-231500-ab12",
        version="0.1.0",
        command=["patchbed", "run"],
        variants=list(variants),
        reference=variants[0],
        profiles=["fast"],
        machine="q35-4g",
    )


def built(variant: str, outcome: Outcome = Outcome.PASS) -> BuildFinished:
    return BuildFinished(variant=variant, profile="fast", outcome=outcome)


def cell_started(variant: str) -> CellStarted:
    cell = f"{variant}/fast/q35-4g"
    return CellStarted(cell=cell, variant=variant, profile="fast", machine="q35-4g")


def booted(boot: int) -> list[Event]:
    return [
        BootStarted(
            cell=BASE_CELL,
            boot=boot,
            folder=f"cells/{BASE_CELL}/boot-{boot}",
            argv=["qemu"],
            accelerator="tcg",
            accelerator_reason="",
        ),
        BootReady(cell=BASE_CELL, boot=boot, seconds=1.0),
    ]


def ran(test: str, outcome: Outcome, boot: int = 1) -> list[Event]:
    return [
        TestStarted(cell=BASE_CELL, boot=boot, test=test),
        TestFinished(cell=BASE_CELL, boot=boot, test=test, outcome=outcome, reason="so"),
    ]


def ended(boot: int, outcome: Outcome = Outcome.PASS) -> BootFinished:
    return BootFinished(cell=BASE_CELL, boot=boot, outcome=outcome, title="Oops")


def one_cell(*middle: Event, tests: tuple[str, ...] = ("a/U0-x",)) -> list[Event]:
    return [
        started(BASE),
        built(BASE),
        cell_started(BASE),
        TestsCollected(cell=BASE_CELL, tests=list(tests)),
        *middle,
        CellFinished(cell=BASE_CELL, seconds=2.0),
    ]


def pulled(boot: int, test: str, when: str, **splits: int) -> CountersPulled:
    return CountersPulled(
        cell=BASE_CELL,
        boot=boot,
        test=test,
        when="before" if when == "before" else "after",
        folder="",
        vmstat={"direct_map_level2_splits": splits["l2"], "nr_free_pages": 7},
        meminfo={"DirectMap4k": 4 * splits["l2"], "MemFree": 5},
        leaves={"4K": splits["l2"]},
    )


def test_the_sample_run(results: Results) -> None:
    assert results.exit_code == 1
    assert [build.outcome for build in results.builds] == ["pass", "pass", "build.apply"]
    assert results.builds[2].lines
    assert [cell.cell for cell in results.cells] == [BASE_CELL, NEW_CELL]
    rows = {row.test: row for row in results.matrix}
    assert rows["gfp_unmapped/U1-absence"].outcomes == {BASE_CELL: "skip", NEW_CELL: "fail"}
    assert rows["gfp_unmapped/U1-absence"].worst == "fail"
    assert results.outcomes[Outcome.PASS] == 8
    assert results.run.complete


def test_checks_that_are_no_pass_are_kept_with_their_reasons(results: Results) -> None:
    test = next(t for t in results.cells[1].tests if t.test == "gfp_unmapped/U1-absence")
    assert test.check_count == 4
    assert [check.check for check in test.checks] == ["order 3, subpage 5", "order 3, subpage 6"]
    assert "info tlb: present" in test.checks[0].reason


def test_known_issues_are_visible(results: Results) -> None:
    assert [(i.outcome, i.test, i.check) for i in results.known_issues] == [
        ("xfail", "gfp_unmapped/U10-zero", "reuse"),
        ("xpass", "counters/V-counters", ""),
    ]


def test_a_death_names_its_testcase(results: Results) -> None:
    first, second = results.cells[1].boots
    assert (first.outcome, first.during) == ("kernel.oops", "module_alloc/M4-storm")
    assert not first.explained
    assert first.lines
    assert second.outcome == "pass"


def test_counters_are_compared_over_what_ran_everywhere(results: Results) -> None:
    """M4 was not pulled after on the new variant, U1 and U10 did not run on the base."""
    assert results.common_tests == [
        "gfp_unmapped/U0-controls",
        "module_alloc/M3-splits",
        "secretmem/S8-splits",
        "counters/V-counters",
    ]
    splits = counter_rows(results)[0]
    assert splits.values == {BASE_CELL: 1 + 6 + 61, NEW_CELL: 1 + 1 + 2}
    assert splits.differences == {NEW_CELL: 4 - 68}
    whole = counter_rows(results, whole_boots=True)[0]
    # The boot that died: from 0 before U0 to 3 before M4; the next one: 2.
    assert whole.values == {BASE_CELL: 70, NEW_CELL: 3 + 2}


def test_counters_of_two_guests_side_by_side_are_told_apart() -> None:
    made = build_results(
        one_cell(
            *booted(1),
            *booted(2),
            pulled(1, "a/U0-x", "before", l2=10),
            pulled(2, "a/U1-x", "before", l2=3),
            pulled(1, "a/U0-x", "after", l2=12),
            pulled(2, "a/U1-x", "after", l2=8),
            *ran("a/U1-x", Outcome.PASS, boot=2),
            *ran("a/U0-x", Outcome.PASS),
            tests=("a/U0-x", "a/U1-x"),
        )
    )
    assert made.cells[0].counters.vmstat == {"direct_map_level2_splits": 7}
    assert [test.test for test in made.cells[0].tests] == ["a/U0-x", "a/U1-x"]


def test_what_runs_side_by_side_when_a_run_is_cut_was_running() -> None:
    started = [TestStarted(cell=BASE_CELL, boot=1, test=f"a/U{number}-x") for number in (0, 1)]
    events = one_cell(*started, tests=("a/U0-x", "a/U1-x", "a/U2-x"))
    tests = build_results(events[:-1]).cells[0].tests
    assert [test.reason for test in tests] == [
        "was running when the run ended",
        "was running when the run ended",
        "not run: the run ended before",
    ]


def test_counters_of_two_boots_are_added() -> None:
    made = build_results(
        one_cell(
            *booted(1),
            pulled(1, "a/U0-x", "before", l2=10),
            *ran("a/U0-x", Outcome.PASS),
            pulled(1, "a/U0-x", "after", l2=12),
            ended(1),
            *booted(2),
            pulled(2, "a/U1-x", "before", l2=3),
            pulled(2, "a/U1-x", "after", l2=8),
            *ran("a/U1-x", Outcome.PASS, boot=2),
            tests=("a/U0-x", "a/U1-x"),
        )
    )
    cell = made.cells[0]
    assert cell.counters.vmstat == {"direct_map_level2_splits": 7}
    assert cell.counters.meminfo == {"DirectMap4k": 28}
    # Those of one boot: two guests have nothing between them.
    assert (cell.leaves_before, cell.leaves_after) == ({"4K": 10}, {"4K": 12})
    second = cell.tests[1].counters
    assert second is not None
    assert second.vmstat["direct_map_level2_splits"] == 5


def test_a_guest_changed_under_a_test_gives_it_no_counters() -> None:
    made = build_results(
        one_cell(
            *booted(1),
            pulled(1, "a/U0-x", "before", l2=1),
            *booted(2),
            pulled(2, "a/U0-x", "after", l2=9),
            *ran("a/U0-x", Outcome.PASS, boot=2),
        )
    )
    assert made.cells[0].tests[0].counters is None


@pytest.mark.parametrize(
    ("events", "code"),
    [
        (one_cell(*booted(1), *ran("a/U0-x", Outcome.PASS), ended(1)), ExitCode.OK),
        (one_cell(*booted(1), *ran("a/U0-x", Outcome.XFAIL), ended(1)), ExitCode.OK),
        (one_cell(*ran("a/U0-x", Outcome.SKIP)), ExitCode.NOTHING_RAN),
        (one_cell(tests=()), ExitCode.NOTHING_RAN),
        (one_cell(*booted(1), *ran("a/U0-x", Outcome.XPASS), ended(1)), ExitCode.FAILURE),
        # Died after its last testcase had passed: nothing else tells.
        (
            one_cell(*booted(1), *ran("a/U0-x", Outcome.PASS), ended(1, Outcome.KERNEL_PANIC)),
            ExitCode.FAILURE,
        ),
        # A death that is the known issue.
        (
            one_cell(*booted(1), *ran("a/U0-x", Outcome.XFAIL), ended(1, Outcome.KERNEL_OOPS)),
            ExitCode.OK,
        ),
        # The next one needed no guest, so the dead one was still there.
        (
            one_cell(
                *booted(1),
                *ran("a/U0-x", Outcome.XFAIL),
                *ran("a/U1-x", Outcome.SKIP),
                ended(1, Outcome.KERNEL_OOPS),
            ),
            ExitCode.OK,
        ),
        # QEMU did not start the first time.
        (
            one_cell(
                booted(1)[0],
                ended(1, Outcome.INFRA_QEMU),
                *booted(2),
                *ran("a/U0-x", Outcome.PASS, boot=2),
                ended(2),
            ),
            ExitCode.OK,
        ),
        (
            one_cell(
                booted(1)[0],
                ended(1, Outcome.INFRA_QEMU),
                *ran("a/U0-x", Outcome.INFRA_QEMU),
            ),
            ExitCode.INFRASTRUCTURE,
        ),
        ([started(BASE), built(BASE, Outcome.BUILD_COMPILE)], ExitCode.FAILURE),
    ],
)
def test_exit_codes(events: list[Event], code: int) -> None:
    assert build_results(events).exit_code == code


def test_the_code_that_the_run_ended_with_counts() -> None:
    events = one_cell(*booted(1), *ran("a/U0-x", Outcome.PASS), ended(1))
    assert build_results([*events, RunFinished(exit_code=3, seconds=1)]).exit_code == 3


def test_a_run_killed_in_a_testcase() -> None:
    events = [
        started(BASE, NEW),
        built(BASE),
        BuildStarted(variant=NEW, profile="fast"),
        cell_started(BASE),
        TestsCollected(cell=BASE_CELL, tests=["a/U0-x", "a/U1-x", "a/U2-x"]),
        *booted(1),
        *ran("a/U0-x", Outcome.PASS),
        TestStarted(cell=BASE_CELL, boot=1, test="a/U1-x"),
        TestCheck(cell=BASE_CELL, test="a/U1-x", check="first", outcome=Outcome.FAIL),
    ]
    made = build_results(events)
    assert [test.outcome for test in made.cells[0].tests] == ["pass"] + ["infra.cancelled"] * 2
    assert "was running" in made.cells[0].tests[1].reason
    assert made.cells[0].tests[1].checks[0].check == "first"
    assert "not run" in made.cells[0].tests[2].reason
    assert made.cells[0].boots[0].outcome == "infra.cancelled"
    assert (made.builds[1].outcome, made.builds[1].message) == (
        "infra.cancelled",
        "was running when the run ended",
    )
    assert not made.run.complete
    assert made.exit_code == ExitCode.INFRASTRUCTURE


def test_a_variant_that_was_built_but_never_booted_is_not_forgotten() -> None:
    made = build_results([started(BASE), built(BASE)])
    assert (made.cells[0].cell, made.cells[0].outcome) == (BASE_CELL, "infra.cancelled")
    assert made.exit_code == ExitCode.INFRASTRUCTURE


def test_a_cell_whose_process_died_at_once() -> None:
    bug = TestFinished(
        cell=f"git:/src/linux@v6.3+s@v1/{'fast/q35-4g'}",
        boot=0,
        test="harness/cell",
        outcome=Outcome.HARNESS_BUG,
    )
    made = build_results([started("git:/src/linux@v6.3+s@v1"), bug])
    assert made.cells[0].variant == "git:/src/linux@v6.3+s@v1"
    assert made.cells[0].outcome == "harness.bug"


def test_warnings_are_kept_and_chat_is_not() -> None:
    events = [started(BASE), Message(level="info", text="hi"), Message(level="error", text="oh")]
    assert [note.text for note in build_results(events).notes] == ["oh"]


@pytest.mark.parametrize("events", [[], [Message(level="info", text="x")]])
def test_no_run_at_all(events: list[Event]) -> None:
    with pytest.raises(ParseError, match="run-started"):
        build_results(events)


@given(cut=st.integers(0, len(DATA.read_bytes())))
def test_a_file_cut_anywhere_still_gives_results(cut: int) -> None:
    data = DATA.read_bytes()[:cut]
    events = parse_events(data)
    assert len(events) == data.count(b"\n")
    if events:
        made = build_results(events)
        assert Results.model_validate_json(dump_results(made)) == made
        assert made.run.complete == (cut == len(DATA.read_bytes()))
        assert made.exit_code != ExitCode.OK


def test_a_broken_line_in_the_middle_is_refused() -> None:
    lines = DATA.read_bytes().split(b"\n")
    lines[3] = b'{"type": "from-the-future"}'
    with pytest.raises(ParseError, match=r"run.jsonl, line 4.*from-the-future"):
        parse_events(b"\n".join(lines), "run.jsonl")


@given(st.binary())
def test_any_bytes_are_events_or_refused(data: bytes) -> None:
    try:
        assert parse_events(data) == []
    except ParseError as error:
        assert error.line > 0


def test_results_survive_their_file(results: Results) -> None:
    assert Results.model_validate_json(dump_results(results)) == results
    assert results.schema_version == 1


def test_column_names_say_no_more_than_they_must(results: Results) -> None:
    cells = results.cells
    assert list(column_names(cells).values()) == [BASE, NEW]
    other = cells[0].model_copy(update={"cell": "x", "machine": "q35-1g"})
    assert list(column_names([cells[0], other]).values()) == [f"{BASE}/q35-4g", f"{BASE}/q35-1g"]


def test_run_folder_writes_as_things_happen(tmp_path: Path) -> None:
    now = datetime(2026, 11, 22, 23, 15, tzinfo=UTC)
    with RunFolder(tmp_path / "runs", now) as folder:
        folder.append(started(BASE))
        assert len(read_events(folder.path / "events.jsonl")) == 1
        folder.append(built(BASE))
    folder.append(built(NEW))
    assert len(read_events(folder.path / "events.jsonl")) == 2
    assert folder.id.startswith("20261122-231500-")
    assert list_runs(tmp_path / "runs") == [folder.path]


def refuse(folder: RunFolder, *events: Event) -> None:
    with folder:
        for event in events:
            folder.append(event)
        raise UserError("no such machine")


@pytest.mark.parametrize(("more", "kept"), [((), False), ((built(BASE),), True)])
def test_a_run_that_never_began_leaves_no_folder(
    tmp_path: Path, more: tuple[Event, ...], kept: bool
) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(UserError):
        refuse(folder, started(BASE), *more)
    assert folder.path.exists() is kept


def make_runs(runs: Path, *names: str) -> None:
    for name in names:
        (runs / name).mkdir()
        (runs / name / "events.jsonl").write_text(dump_event(started(BASE)) + "\n")


def test_runs_are_found(tmp_path: Path) -> None:
    names = ["20261122-231500-ab12", "20261122-231500-ab99", "20261123-000000-0001"]
    make_runs(tmp_path, *names)
    (tmp_path / "20991231-000000-ffff").mkdir()
    find: Callable[[str], str] = lambda run: find_run(tmp_path, run).name  # noqa: E731
    assert find("last") == names[2]
    assert find("20261123") == names[2]
    assert find(names[0]) == names[0]
    assert find_run(tmp_path / "none", str(tmp_path / names[1])) == tmp_path / names[1]
    with pytest.raises(UserError, match=r"may be any of .*ab12, .*ab99"):
        find("20261122")
    with pytest.raises(UserError, match=r"the latest runs there: .*-0001"):
        find("nonsense")
    with pytest.raises(UserError, match="none"):
        find_run(tmp_path / "none", "last")


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_ids_sort_by_time(one: datetime, other: datetime) -> None:
    one, other = one.replace(microsecond=0), other.replace(microsecond=0)
    if one.year >= 1000 and other.year >= 1000:
        assert (one < other) == (make_id(one, "0000") < make_id(other, "0000"))
