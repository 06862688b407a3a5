# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run does with testcases that ask for a guest of their own, or kill it."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from harness.paths import PROJECT
from tests.guest.command import Ran, run_json

BASE = "debian-6.1"
CELL = f"{BASE}/fast/q35-1g"
TESTCASES = """
# SPDX-License-Identifier: GPL-2.0-or-later
from harness.testing.testcase import testcase

USED = "test ! -e /tmp/used && touch /tmp/used"


def is_new(guest, checks):
    checks.check("nobody was here before", guest.run(USED).status == 0)


@testcase("Z1-first")
def test_first(guest, checks):
    is_new(guest, checks)


@testcase("Z2-clean", clean=True)
def test_clean(guest, checks):
    is_new(guest, checks)


@testcase("Z3-clean-again", clean=True)
def test_clean_again(guest, checks):
    is_new(guest, checks)


@testcase("Z4-shares")
def test_shares(guest, checks):
    checks.check("shared", guest.run("test -e /tmp/used").status == 0)


@testcase("Z5-fresh", clean=True, fresh_boot=True)
def test_fresh(guest, checks):
    is_new(guest, checks)


@testcase("Z6-parameter", kernel_args=("init_on_alloc=1",))
def test_parameter(guest, checks, stress):
    checks.check("there", guest.run("grep -qw init_on_alloc=1 /proc/cmdline").status == 0)
    checks.check("stress", stress == 2.5, f"{stress}")


@testcase("Z7-machine", machine="smp-4")
def test_machine(guest, checks):
    checks.check("CPUs", guest.run("nproc").stdout.strip() == b"4")


@testcase("Z8-nodes", machine="numa-2", profile="numa")
def test_nodes(guest, checks):
    checks.check("never", False)


@testcase("Z9-declared", expects="sysrq triggered crash")
def test_declared(guest):
    guest.run("echo c > /proc/sysrq-trigger")


@testcase("Z10-another", expects="BUG: nonesuch")
def test_another(guest):
    guest.run("echo c > /proc/sysrq-trigger")


@testcase("Z11-none", expects="BUG: nonesuch")
def test_none(guest):
    guest.run("true")


@testcase("Z12-warning", expects="WARNING: ")
def test_declared_warning(guest):
    guest.run("insmod /patchbed/modules/crasher.ko how=warn")


@testcase("Z13-warning-undeclared")
def test_undeclared_warning(guest):
    guest.run("insmod /patchbed/modules/crasher.ko how=warn")


@testcase("Z14-halfway")
def test_halfway(checks):
    checks.module("halfway_kunit")


@testcase("Z15-after")
def test_after(guest, checks):
    is_new(guest, checks)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run of the testcases above, with the modules that kill kernels."""
    folder = tmp_path_factory.mktemp("asks")
    modules = PROJECT / "tests" / "guest" / "modules"
    shutil.copytree(modules, folder / "testcases")
    (folder / "testcases" / "zz").mkdir()
    (folder / "testcases" / "zz" / "test_zz.py").write_text(TESTCASES, encoding="utf-8")
    (folder / "patchbed.toml").write_text('[paths]\ntestcases = "testcases"\n', encoding="utf-8")
    return run_json(
        "--variant", BASE, "--machine", "q35-1g", "--stress", "2.5", cwd=folder
    )  # fmt: skip


def test_of(ran: Ran, name: str) -> dict[str, Any]:
    """Return the result of the testcase `name`."""
    tests = {test["test"].partition("/")[2]: test for test in ran.results["cells"][0]["tests"]}
    found: dict[str, Any] = tests[name]
    return found


test_of.__test__ = False  # type: ignore[attr-defined]


def boot_of(ran: Ran, name: str) -> dict[str, Any]:
    """Return the boot that the testcase `name` used."""
    boots = {boot["boot"]: boot for boot in ran.results["cells"][0]["boots"]}
    found: dict[str, Any] = boots[test_of(ran, name)["boot"]]
    return found


def test_each_has_the_outcome_that_it_should(ran: Ran) -> None:
    outcomes = {test.partition("/")[2]: got for test, got in ran.outcomes(BASE).items()}
    assert outcomes == {
        "Z1-first": "pass",
        "Z2-clean": "pass",
        "Z3-clean-again": "pass",
        "Z4-shares": "pass",
        "Z5-fresh": "pass",
        "Z6-parameter": "pass",
        "Z7-machine": "pass",
        "Z8-nodes": "skip",
        "Z9-declared": "pass",
        "Z10-another": "kernel.panic",
        "Z11-none": "fail",
        "Z12-warning": "pass",
        "Z13-warning-undeclared": "kernel.warn",
        "Z14-halfway": "kernel.oops",
        "Z15-after": "pass",
    }
    assert list(outcomes) == sorted(outcomes, key=lambda name: int(name[1:].partition("-")[0]))


def test_guests_are_shared_where_that_is_allowed_and_only_there(ran: Ran) -> None:
    assert test_of(ran, "Z1-first")["boot"] == test_of(ran, "Z4-shares")["boot"]
    alone = ("Z2-clean", "Z3-clean-again", "Z5-fresh", "Z9-declared", "Z10-another", "Z12-warning")
    boots = [test_of(ran, name)["boot"] for name in alone]
    every = [test["boot"] for test in ran.results["cells"][0]["tests"] if test["outcome"] != "skip"]
    assert all(every.count(boot) == 1 for boot in boots)


def test_boots_tell_what_was_asked_for(ran: Ran) -> None:
    assert boot_of(ran, "Z1-first")["machine"] == "q35-1g"
    assert boot_of(ran, "Z7-machine")["machine"] == "smp-4"
    assert boot_of(ran, "Z6-parameter")["kernel_args"] == ["init_on_alloc=1"]
    assert boot_of(ran, "Z2-clean")["restored"]
    assert not boot_of(ran, "Z5-fresh")["restored"]


def test_a_machine_that_the_kernel_can_not_use_is_a_need(ran: Ran) -> None:
    reason = test_of(ran, "Z8-nodes")["reason"]
    assert reason == "needs CONFIG_NUMA, which this kernel has not set; see profile numa"


def test_a_declared_death_is_told_and_does_not_count(ran: Ran) -> None:
    assert "sysrq triggered crash" in test_of(ran, "Z9-declared")["reason"]
    boot = boot_of(ran, "Z9-declared")
    assert (boot["outcome"], boot["declared"], boot["explained"]) == ("kernel.panic", True, True)
    assert not boot_of(ran, "Z10-another")["declared"]
    assert "BUG: nonesuch" in test_of(ran, "Z11-none")["reason"]


def test_a_crash_in_the_middle_of_a_suite_is_told_test_by_test(ran: Ran) -> None:
    halfway = test_of(ran, "Z14-halfway")
    assert "NULL pointer" in halfway["reason"]
    assert halfway["check_count"] == 5
    checks = {check["check"]: check for check in halfway["checks"]}
    assert {name: check["outcome"] for name, check in checks.items()} == {
        "halfway/second_fails": "fail",
        "halfway/third_crashes": "kernel.oops",
        "halfway/fourth_is_not_run": "test.error",
        "halfway/fifth_is_not_run": "test.error",
    }
    reason = checks["halfway/fourth_is_not_run"]["reason"]
    assert reason == "not run: the guest died in third_crashes"
    assert test_of(ran, "Z15-after")["boot"] != halfway["boot"]
