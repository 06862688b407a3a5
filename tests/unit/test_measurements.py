# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

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


def test_another_version_s_plan_is_refused(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, PLAN)
    (folder.path / "plan.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match="no plan"):
        read_plan(folder)


def test_a_line_is_what_it_was(tmp_path: Path) -> None:
    assert load_record(dump_record(record())) == record()


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


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    folder = CompareFolder(tmp_path)
    with folder:
        folder.append(record(outcome=Outcome.INFRA_QEMU))
        folder.append(record(attempt=2))
    [found] = read_records(folder)
    assert (found.outcome, found.attempt) == (Outcome.PASS, 2)


def test_folders_of_boots_do_not_meet(tmp_path: Path) -> None:
    folder = CompareFolder(tmp_path)
    boots = [BOOT, Boot(*("debian-6.1", "secretmem-idle:pages=64", 1), repetition=True)]
    boots.append(Boot("git:/a/b@v6.3", "idle-boot", 1))
    paths = {folder.boot_folder(boot) for boot in boots} | {folder.boot_folder(BOOT, 2)}
    assert len(paths) == 4
    assert all(path.is_relative_to(tmp_path / "boots") for path in paths)
