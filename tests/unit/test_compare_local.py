# SPDX-License-Identifier: GPL-2.0-or-later
"""The order and number of boots of a comparison.

The guests are played: a host that fails at a chosen boot can't be had from a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness import paths
from harness.errors import BuildError, InfrastructureError, UserError
from harness.events import Event
from harness.guest.machine import load_machine
from harness.guest.script import ScriptResult
from harness.kernel.variant import Variant
from harness.measure.comparability import Circumstances
from harness.measure.workload import load_workload
from harness.outcomes import Outcome
from harness.results.measurements import (
    Boot,
    BootRecord,
    CompareFolder,
    StoredPlan,
    read_records,
    still_missing,
)
from harness.run import compare_job, compare_local
from harness.run.compare_local import LocalBoots, NotBuilt, Places, Ready, prepare
from harness.run.compare_plan import arms, boots_of

BASE, NEW = "debian-6.1", "debian-6.1+gfp-unmapped@v2"
PLACES = Places(paths.KERNEL_PATCHES, paths.PROJECT / "testcases")
WORKLOAD = load_workload("idle-boot", PLACES.testcases)


def plan_on(machine: str, blocks: int = 2, control: str = "") -> StoredPlan:
    return StoredPlan(
        command=["patchbed"],
        variants=[BASE, NEW],
        control=[BASE, control] if control else [],
        profile="fast",
        machine=machine,
        accelerator="tcg",
        workloads=[WORKLOAD.key],
        blocks=list(range(1, blocks + 1)),
        seed=3,
        gates=[],
        version="1",
    )


Fault = Callable[[Boot, int], Outcome]


def never(boot: Boot, tries: int) -> Outcome:
    del boot, tries
    return Outcome.PASS


@dataclass
class Played(LocalBoots):
    """Boots nothing: `fault` says how the n-th try of a boot ends."""

    fault: Fault = never
    booted: list[Boot] = field(default_factory=list)
    said: bytes = b"the same"

    def _run(self, boot: Boot, folder: Path) -> ScriptResult:
        self.booted.append(boot)
        outcome = self.fault(boot, self.booted.count(boot))
        folder.mkdir(parents=True)
        (folder / "console.log").write_bytes(self.said)
        (folder / "results.raw").write_bytes(b"")
        error = InfrastructureError(outcome, "played") if outcome is not Outcome.PASS else None
        return ScriptResult((), error)


@pytest.fixture(autouse=True)
def no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    values: Mapping[str, float] = {"at:x": 1.0}
    monkeypatch.setattr(compare_local, "values_of", lambda *_: dict(values))


def boots_on(machine: str, folder: CompareFolder, fault: Fault = never) -> Played:
    plan = plan_on(machine)
    kernels = {
        name: Ready(name, None, Path("/none"), Circumstances({}, {}))  # type: ignore[arg-type]
        for name in plan.variants
    }
    workloads = {WORKLOAD.key: WORKLOAD}
    return Played(plan, kernels, workloads, folder, PLACES, lambda _: None, fault=fault)


def measured(played: Played) -> dict[tuple[str, int], Outcome]:
    return {
        (one.boot.variant, one.boot.block): one.outcome
        for one in read_records(played.folder)
        if not one.boot.repetition
    }


def run(played: Played) -> list[BootRecord]:
    with played.folder:
        played.execute(still_missing(boots_of(played.plan), read_records(played.folder)))
    return read_records(played.folder)


def test_what_is_deterministic_is_repeated_alone(tmp_path: Path) -> None:
    def fault(boot: Boot, tries: int) -> Outcome:
        bad = (boot.variant, boot.block) == (BASE, 1) and not boot.repetition and tries == 1
        return Outcome.INFRA_QEMU if bad else Outcome.PASS

    played = boots_on("deterministic", CompareFolder(tmp_path), fault)
    records = run(played)
    assert set(measured(played).values()) == {Outcome.PASS}
    assert len(played.booted) == 6
    # The self-check holds against the boot that counts, which is not the first here.
    assert [one.same for one in records if one.boot.repetition] == [True]


def test_elsewhere_the_block_is_repeated(tmp_path: Path) -> None:
    """If this failed, boots of a quiet hour would be held against boots of a busy one."""

    def fault(boot: Boot, tries: int) -> Outcome:
        bad = (boot.variant, boot.block) == (BASE, 1) and tries == 1
        return Outcome.INFRA_QEMU if bad else Outcome.PASS

    played = boots_on("smp-4", CompareFolder(tmp_path), fault)
    run(played)
    again = played.booted[4:]
    assert {(boot.variant, boot.block) for boot in again} == {(BASE, 1), (NEW, 1)}
    attempts = {one.boot: one.attempt for one in read_records(played.folder, [BASE, NEW])}
    assert attempts == {boot: 2 if boot.block == 1 else 1 for boot in attempts}


def test_trouble_that_stays_ends_after_three_tries_and_is_tried_again_later(tmp_path: Path) -> None:
    """If this failed, a comparison could not be resumed once the host is mended."""
    played = boots_on("deterministic", CompareFolder(tmp_path), lambda *_: Outcome.INFRA_DISK)
    run(played)
    assert set(measured(played).values()) == {Outcome.INFRA_DISK}
    assert max(played.booted.count(boot) for boot in played.booted) == 3
    mended = boots_on("deterministic", CompareFolder(tmp_path))
    run(mended)
    assert set(measured(mended).values()) == {Outcome.PASS}


@pytest.mark.parametrize("machine", ["deterministic", "smp-4"])
def test_attempts_are_counted_across_resumes_and_each_makes_one_more(
    tmp_path: Path, machine: str
) -> None:
    """If this failed, a broken host would be tried for ever, or --resume could never mend it."""

    def broken(boot: Boot, tries: int) -> Outcome:
        del tries
        return Outcome.INFRA_QEMU if boot.block == 1 else Outcome.PASS

    def tries_of(played: Played) -> int:
        run(played)
        return played.booted.count(Boot(BASE, WORKLOAD.key, 1))

    folder = CompareFolder(tmp_path)
    with folder:
        folder.append(BootRecord(Boot(BASE, WORKLOAD.key, 1), Outcome.INFRA_QEMU))
    assert [tries_of(boots_on(machine, folder, broken)) for _ in range(3)] == [2, 1, 1]


def test_a_kernel_s_death_is_not_tried_again(tmp_path: Path) -> None:
    def fault(boot: Boot, tries: int) -> Outcome:
        del tries
        return Outcome.KERNEL_PANIC if boot.variant == NEW else Outcome.PASS

    played = boots_on("deterministic", CompareFolder(tmp_path), fault)
    run(played)
    assert len(played.booted) == 5
    assert measured(played)[NEW, 2] is Outcome.KERNEL_PANIC


@pytest.mark.parametrize("silent", [Outcome.KERNEL_BOOT_TIMEOUT, Outcome.KERNEL_LOST])
def test_silence_is_the_kernel_s_where_the_reference_speaks(
    tmp_path: Path, silent: Outcome
) -> None:
    def fault(boot: Boot, tries: int) -> Outcome:
        del tries
        return silent if (boot.variant, boot.block) == (NEW, 1) else Outcome.PASS

    played = boots_on("deterministic", CompareFolder(tmp_path), fault)
    run(played)
    assert measured(played)[NEW, 1] is silent
    assert played.booted.count(Boot(NEW, WORKLOAD.key, 1)) == 1


def test_silence_of_all_is_the_host_s(tmp_path: Path) -> None:
    """If this failed, a busy host would count against the series."""
    busy = True

    def fault(boot: Boot, tries: int) -> Outcome:
        nonlocal busy
        if boot.variant == NEW and tries == 2:
            busy = False
        return Outcome.KERNEL_LOST if busy else Outcome.PASS

    played = boots_on("deterministic", CompareFolder(tmp_path), fault)
    run(played)
    assert set(measured(played).values()) == {Outcome.PASS}


def test_a_self_check_that_the_host_kept_from_ending_says_nothing(tmp_path: Path) -> None:
    """If this failed, trouble of the host would be told as a broken instrument."""

    def fault(boot: Boot, tries: int) -> Outcome:
        del tries
        return Outcome.INFRA_QEMU if boot.repetition else Outcome.PASS

    played = boots_on("deterministic", CompareFolder(tmp_path), fault)
    assert [one.same for one in run(played) if one.boot.repetition] == [None]
    assert sum(boot.repetition for boot in played.booted) == 3


def test_a_self_check_that_differs_is_told(tmp_path: Path) -> None:
    played = boots_on("deterministic", CompareFolder(tmp_path))
    wanted = boots_of(played.plan)
    with played.folder:
        played.execute(wanted[:-1])
        played.said = b"other"
        played.execute(wanted[-1:])
    assert [one.same for one in read_records(played.folder) if one.boot.repetition] == [False]


def test_a_self_check_that_had_nothing_to_be_held_against_is_made_later(tmp_path: Path) -> None:
    """If this failed, one bad hour of the host would leave a comparison without a self-check."""

    def fault(boot: Boot, tries: int) -> Outcome:
        del tries
        first = (boot.variant, boot.block) == (BASE, 1) and not boot.repetition
        return Outcome.INFRA_QEMU if first else Outcome.PASS

    folder = CompareFolder(tmp_path)
    failed = run(boots_on("deterministic", folder, fault))
    assert [one.same for one in failed if one.boot.repetition] == [None]
    mended = boots_on("deterministic", folder)
    assert [one.same for one in run(mended) if one.boot.repetition] == [True]
    check = Boot(BASE, WORKLOAD.key, 1, repetition=True)
    assert mended.booted == [replace(check, repetition=False), check]


@pytest.mark.parametrize(
    ("asked", "free", "at_once"), [(0, 3, 3), (0, 1, 1), (0, 99, 5), (2, 99, 2)]
)
def test_no_more_guests_than_the_host_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int, free: int, at_once: int
) -> None:
    """If this failed, guests would swap on a host with many cores and little memory."""
    found: list[int] = []
    memory = load_machine("deterministic").memory_mib
    monkeypatch.setattr(compare_local, "guests_at_once", {memory: free}.get)
    played = boots_on("deterministic", CompareFolder(tmp_path))
    played.at_once = asked
    inner = played._round

    def counted(boots: Sequence[Boot], many: int) -> list[Boot]:
        found.append(many)
        return inner(boots, many)

    played._round = counted  # type: ignore[method-assign]
    run(played)
    assert found == [at_once, at_once]


def test_blocks_of_time_are_booted_one_by_one(tmp_path: Path) -> None:
    """If this failed, guests side by side would be measured beside each other."""
    alive = most = 0

    def fault(boot: Boot, tries: int) -> Outcome:
        nonlocal most
        del boot, tries
        most = max(most, alive)
        return Outcome.PASS

    played = boots_on("smp-4", CompareFolder(tmp_path), fault)
    inner = played._boot

    def counted(boot: Boot, attempt: int) -> BootRecord:
        nonlocal alive
        alive += 1
        try:
            return inner(boot, attempt)
        finally:
            alive -= 1

    played._boot = counted  # type: ignore[method-assign]
    run(played)
    assert most == 1


def listen(event: Event) -> None:
    del event


def test_a_base_that_no_placebo_is_for_is_told_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plan_build(variant: Variant, *_: object, **__: object) -> None:
        if variant.series == "placebo":
            raise UserError("series placebo@v1 has no patches for kernels 6.12")

    monkeypatch.setattr(compare_local, "plan_build", plan_build)
    monkeypatch.setattr(compare_local, "obtain", lambda *_, **__: pytest.fail("built"))
    plan = plan_on("deterministic", control="debian-6.1+placebo@v1")
    with pytest.raises(UserError, match="no placebo for this base") as error:
        prepare(plan, arms(plan), [WORKLOAD], PLACES, listen)
    assert "--placebo none" in error.value.hint


def test_a_host_that_can_t_build_is_no_verdict_on_a_variant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If this failed, a full disk would be told as a series that does not compile."""

    def obtain(*_: object, **__: object) -> None:
        raise InfrastructureError(Outcome.INFRA_DISK, "full")

    monkeypatch.setattr(compare_local, "plan_build", lambda *_, **__: None)
    monkeypatch.setattr(compare_local, "obtain", obtain)
    with pytest.raises(InfrastructureError, match="full"):
        prepare(plan_on("deterministic"), [BASE], [WORKLOAD], PLACES, listen)


def test_without_its_reference_nothing_is_compared() -> None:
    plan = plan_on("deterministic")
    broken = NotBuilt(BASE, Outcome.BUILD_COMPILE, "it does not compile")
    with pytest.raises(BuildError, match=r"the reference, debian-6\.1, can't be built"):
        compare_job._refuse_reference(broken, plan)
    compare_job._refuse_reference(NotBuilt(NEW, Outcome.BUILD_COMPILE, "no"), plan)
