# SPDX-License-Identifier: GPL-2.0-or-later
import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import PathsTable, PlanTable, Settings
from harness.errors import UserError
from harness.kernel.variant import Variant
from harness.run.cell_process import pytest_argv
from harness.run.local import Target, again_argv, check_plan, guests_at_once, targets_of
from harness.run.plan import check_selection, make_plan

BASE = Variant("debian-6.1")
SERIES = Variant("debian-6.1", "gfp-unmapped", "v1")
SETTINGS = Settings(plan=PlanTable(variants=[str(BASE), str(SERIES)]))


def test_settings_make_a_plan() -> None:
    plan = make_plan(SETTINGS, Path("/here"))
    assert plan.variants == (BASE, SERIES)
    assert plan.reference == BASE
    assert plan.selection == ""
    assert plan.cell(SERIES, "fast") == "debian-6.1+gfp-unmapped@v1/fast/q35-4g"


def test_the_command_line_goes_before_the_settings() -> None:
    plan = make_plan(
        SETTINGS,
        Path("/here"),
        variants=[str(SERIES), str(BASE), str(SERIES)],
        reference=str(BASE),
        machine="q35-1g",
        selection="secretmem",
    )
    assert plan.variants == (SERIES, BASE)
    assert plan.reference == BASE
    assert (plan.machine, plan.profiles, plan.selection) == ("q35-1g", ("fast",), "secretmem")


def test_a_reference_that_is_not_tested_is_refused() -> None:
    with pytest.raises(UserError, match=r"debian-6\.12 is not one of the variants"):
        make_plan(SETTINGS, Path("/here"), reference="debian-6.12")


def test_paths_begin_at_the_settings_folder() -> None:
    settings = Settings(paths=PathsTable(kernel_patches="mine", testcases="/abs"))
    plan = make_plan(settings, Path("/here"))
    assert plan.kernel_patches == Path("/here/mine")
    assert plan.testcases == Path("/abs")


def test_the_projects_own_plan_names_what_exists() -> None:
    checked = check_plan(make_plan(SETTINGS, Path("/here")))
    assert checked.machine.memory_mib == 4096
    assert checked.series[BASE] is None
    facts = checked.series[SERIES]
    assert facts is not None
    assert facts.probe == "/sys/kernel/debug/unmapped_alloc"


def test_profiles_may_be_named_together_and_again() -> None:
    plan = make_plan(SETTINGS, Path("/here"), profiles=["fast, debug", "fast", "numa"])
    assert plan.profiles == ("fast", "debug", "numa")
    listed = Settings(plan=PlanTable(profile=["debug", "numa,fault"]))
    assert make_plan(listed, Path("/here")).profiles == ("debug", "numa", "fault")


def test_profiles_that_are_one_kernel_are_one_target_a_variant() -> None:
    plan = make_plan(SETTINGS, Path("/here"), profiles=["fast,numa,debug,fault"])
    assert check_plan(plan).targets == (
        Target(BASE, ("fast",)),
        Target(SERIES, ("fast",)),
        Target(BASE, ("numa", "fault")),
        Target(SERIES, ("numa", "fault")),
        Target(BASE, ("debug",)),
        Target(SERIES, ("debug",)),
    )
    assert Target(BASE, ("numa", "fault")).profile == "numa,fault"


def test_a_kernel_built_elsewhere_is_one_target_whatever_the_profiles() -> None:
    plan = make_plan(SETTINGS, Path("/here"), variants=["image:debian-6.1"])
    targets = targets_of(replace(plan, profiles=("fast", "debug")), [("fast",), ("debug",)])
    assert targets == (Target(Variant("image:debian-6.1"), ("fast", "debug")),)


def test_a_profile_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="no profile is called 'nonesuch'"):
        check_plan(make_plan(SETTINGS, Path("/here"), profiles=["fast,nonesuch"]))


@pytest.mark.parametrize("text", ["and and", "(a", "a or"])
def test_a_selection_that_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no expression"):
        check_selection(text)


@pytest.mark.parametrize("text", ["", "secretmem", "secretmem and not S7", "U1-absence"])
def test_a_selection_that_pytest_takes(text: str) -> None:
    check_selection(text)


def test_guests_share_the_host_within_its_memory() -> None:
    assert guests_at_once(1 << 40) == 1
    assert guests_at_once(64) == len(os.sched_getaffinity(0)) + 1


def test_a_cells_pytest_ignores_the_users_configuration() -> None:
    argv = pytest_argv(Path("/t"), Path("/c/cell.json"), 7, "secretmem")
    assert argv[argv.index("-c") + 1] == "/dev/null"
    assert argv[argv.index("-k") + 1] == "secretmem"
    assert argv[argv.index("--patchbed-events") + 1] == "7"
    assert argv[-1] == "/t"
    assert "-k" not in pytest_argv(Path("/t"), Path("/c"), 7, "")


def test_a_cells_own_command_runs_it_once_more() -> None:
    plan = make_plan(SETTINGS, Path("/here"), selection="U1 or U2", snapshot=True)
    argv = again_argv(plan, Target(SERIES, ("fast",)))
    assert argv[:4] == ("patchbed", "run", "--variant", "debian-6.1+gfp-unmapped@v1")
    assert argv[-3:] == ("--snapshot", "-k", "U1 or U2")
    assert ("--machine", plan.machine) == argv[6:8]
