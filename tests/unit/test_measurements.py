# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.outcomes import Outcome
from harness.results.measurements import (
    BOOTS,
    Boot,
    BootRecord,
    CompareFolder,
    StoredPlan,
    attempts_at,
    counting,
    dump_record,
    find_folder,
    load_record,
    new_folder,
    read_plan,
    read_records,
    still_missing,
)

PLAN = StoredPlan(
    command=["patchbed", "compare", "debian-6.1", "debian-6.1+s@v1"],
    variants=["debian-6.1", "debian-6.1+s@v1"],
    control=["debian-6.1", "debian-6.1+placebo@v1"],
    profile="fast",
    machine="deterministic",
    accelerator="auto",
    workloads=["idle-boot", "secretmem-idle:pages=64"],
    blocks=[1, 2, 3],
    seed=7,
    gates=[["idle-boot", "x"]],
    version="0.1.0",
)
BOOT = Boot("debian-6.1", "secretmem-idle:pages=64", 1)


def record(boot: Boot = BOOT, outcome: Outcome = Outcome.PASS, attempt: int = 1) -> BootRecord:
    return BootRecord(boot, outcome, attempt, "", 1.5, None, {"vmstat.x": 3.0})


def test_a_plan_is_there_before_anything_else(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "runs", PLAN)
    assert read_plan(folder) == PLAN
    assert read_records(folder) == []
    assert find_folder(tmp_path / "runs", "last").path == folder.path
    assert find_folder(tmp_path / "runs", folder.path.name[:10]).path == folder.path
    with pytest.raises(UserError, match="no comparison"):
        find_folder(tmp_path / "runs", "nonesuch")
    another = new_folder(tmp_path / "runs", PLAN)
    assert find_folder(tmp_path, str(another.path)).path == another.path
    assert find_folder(tmp_path / "runs", another.path.name).path == another.path
    with pytest.raises(UserError, match="may be any of"):
        find_folder(tmp_path / "runs", another.path.name[:4])
    # A run's folder is none of a comparison.
    (another.path / "plan.json").rename(another.path / "events.jsonl")
    assert find_folder(tmp_path / "runs", "last").path == folder.path


def test_another_version_s_plan_is_refused(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, PLAN)
    (folder.path / "plan.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match="no plan"):
        read_plan(folder)


def test_a_line_is_what_it_was(tmp_path: Path) -> None:
    assert load_record(dump_record(record())) == record()
    told = replace(record(), splits={0: 0, 10: 2, 100: 64})
    assert load_record(dump_record(told)) == told


def test_a_cut_line_does_not_count_and_spoils_no_other(tmp_path: Path) -> None:
    """If this failed, a kill would cost a boot that came through after it."""
    folder = CompareFolder(tmp_path)
    with folder:
        folder.append(record())
    whole = (tmp_path / BOOTS).read_text()
    (tmp_path / BOOTS).write_text(whole + whole[: len(whole) // 2])
    assert read_records(folder) == [record()]
    other = record(Boot("debian-6.1", "idle-boot", 2))
    with folder:
        folder.append(other)
    assert read_records(folder) == [record(), other]


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_whatever_is_left_of_a_file_can_be_read(tmp_path: Path, cut: int) -> None:
    line = dump_record(record()) + "\n"
    (tmp_path / BOOTS).write_text((line * 2)[: len(line) + cut % len(line)])
    assert read_records(CompareFolder(tmp_path)) == [record()]


def test_only_what_is_missing_is_booted() -> None:
    wanted = [Boot("debian-6.1", "idle-boot", number) for number in (1, 2, 3, 4)]
    known = [
        record(wanted[0]),
        record(wanted[1], Outcome.KERNEL_PANIC),
        record(wanted[2], Outcome.INFRA_QEMU),
    ]
    assert still_missing(wanted, known) == wanted[2:]


def test_a_repetition_that_was_held_against_nothing_is_missing(tmp_path: Path) -> None:
    """If this failed, a comparison would never get its self-check, however often it is resumed."""
    again = replace(BOOT, repetition=True)
    wanted = [BOOT, again]
    blind = record(again, Outcome.KERNEL_PANIC)
    assert still_missing(wanted, [record(BOOT, INFRA), blind]) == wanted
    assert still_missing(wanted, [record(BOOT), blind]) == [again]
    folder = CompareFolder(tmp_path)
    with folder:
        folder.append(blind)
        folder.append(replace(record(again, attempt=2), same=False))
    assert [one.same for one in read_records(folder)] == [False]
    assert still_missing(wanted, [record(BOOT), *read_records(folder)]) == []


INFRA, PANIC, PASS = Outcome.INFRA_QEMU, Outcome.KERNEL_PANIC, Outcome.PASS


@pytest.mark.parametrize(
    ("attempts", "counts"),
    [
        ([(INFRA, 1), (PASS, 2)], (PASS, 2)),
        ([(INFRA, 3), (PASS, 1)], (PASS, 1)),
        ([(PASS, 1), (INFRA, 2)], (PASS, 1)),
        ([(PANIC, 1), (PASS, 2)], (PANIC, 1)),
        ([(PASS, 1), (PANIC, 2), (PANIC, 3)], (PANIC, 2)),
        ([(INFRA, 1), (INFRA, 2)], (INFRA, 2)),
    ],
)
def test_only_the_host_s_trouble_is_tried_again(
    tmp_path: Path, attempts: list[tuple[Outcome, int]], counts: tuple[Outcome, int]
) -> None:
    """If this failed, a panic would be gone after a second try, or a good boot be lost."""
    folder = CompareFolder(tmp_path)
    with folder:
        for outcome, attempt in attempts:
            folder.append(record(outcome=outcome, attempt=attempt))
    [found] = read_records(folder)
    assert (found.outcome, found.attempt) == counts


ARMS = ["base", "v1", "v2"]


def block(attempt: int, *outcomes: Outcome, number: int = 1) -> list[BootRecord]:
    boots = [Boot(name, "idle-boot", number) for name in ARMS]
    return [record(*each, attempt) for each in zip(boots, outcomes, strict=False)]


def attempts(records: list[BootRecord]) -> dict[str, tuple[Outcome, int]]:
    return {one.boot.variant: (one.outcome, one.attempt) for one in counting(records, ARMS)}


def test_a_block_is_of_one_attempt() -> None:
    """If this failed, boots of different hours would be held against each other."""
    first, second = block(1, PASS, INFRA, PASS), block(2, PASS, PASS, PASS)
    assert attempts(first + second) == dict.fromkeys(ARMS, (PASS, 2))
    # Nor is a good block given up for the next attempt at it.
    third = block(3, PASS, INFRA, INFRA)
    assert attempts(second + third)["base"] == (PASS, 2)


def test_a_block_that_never_was_whole_does_not_count() -> None:
    first, second = block(1, PASS, INFRA, PASS), block(2, INFRA, PASS)
    assert attempts(first + second) == {"base": (INFRA, 2), "v1": (INFRA, 1)}


def test_a_death_in_a_block_that_was_repeated_counts() -> None:
    first, second = block(1, INFRA, PASS, PANIC), block(2, PASS, PASS, PASS)
    assert attempts(first + second) == {"base": (PASS, 2), "v1": (PASS, 2), "v2": (PANIC, 1)}


def test_whole_blocks_are_missing_as_a_whole() -> None:
    wanted = [one.boot for number in (1, 2) for one in block(1, PASS, PASS, PASS, number=number)]
    known = block(1, PASS, PASS, number=1) + block(1, PASS, PASS, PASS, number=2)
    assert still_missing(wanted, known) == [wanted[2]]
    assert still_missing(wanted, known, whole=True) == wanted[:3]


def test_attempts_are_counted(tmp_path: Path) -> None:
    folder = CompareFolder(tmp_path)
    with folder:
        for attempt in (1, 2):
            folder.append(record(outcome=INFRA, attempt=attempt))
    assert attempts_at(folder) == {BOOT: 2}


def test_one_process_boots_for_a_folder(tmp_path: Path) -> None:
    """If this failed, two would remove each other's files."""
    with CompareFolder(tmp_path), pytest.raises(UserError, match="another patchbed boots"):
        CompareFolder(tmp_path).__enter__()
    with CompareFolder(tmp_path):
        pass


def test_folders_of_boots_do_not_meet(tmp_path: Path) -> None:
    folder = CompareFolder(tmp_path)
    boots = [BOOT, Boot(*("debian-6.1", "secretmem-idle:pages=64", 1), repetition=True)]
    boots.append(Boot("git:/a/b@v6.3", "idle-boot", 1))
    paths = {folder.boot_folder(boot) for boot in boots} | {folder.boot_folder(BOOT, 2)}
    assert len(paths) == 4
    assert all(path.is_relative_to(tmp_path / "boots") for path in paths)
