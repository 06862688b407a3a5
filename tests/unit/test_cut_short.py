# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import GuestDied
from harness.outcomes import Outcome
from harness.paths import PROJECT
from harness.testing.cut_short import case_names, names_of_module, results_until
from harness.testing.ktap import KtapResult

DEATH = GuestDied(Outcome.KERNEL_OOPS, "BUG: kernel NULL pointer dereference")
CASES = [("one", "two"), ("adds", "orders", "crashes", "waits", "ends")]
# As 6.1 prints it, with its own lines in between.
HEAD = """\
[    5.379839]     KTAP version 1
[    5.380120]     # Subtest: halfway
[    5.380208]     1..5
[    5.386428]     ok 1 adds
[    5.386629]         KTAP version 1
[    5.386800]         # Subtest: orders
[    5.392436]         ok 1 order-0
""".splitlines()
TAIL = """\
[    5.395529]         not ok 2 order-1
[    5.433077]     # orders: pass:1 fail:1 skip:0 total:2
[    5.433078]     not ok 2 orders
[    5.467199] BUG: kernel NULL pointer dereference, address: 0000000000000000
[    5.467200] #PF: supervisor write access in kernel mode
""".splitlines()


def outcomes(results: list[KtapResult]) -> dict[str, Outcome]:
    return {result.path: result.outcome for result in results}


def test_what_ran_is_kept_and_what_did_not_is_told() -> None:
    results = results_until([*HEAD, *TAIL], DEATH, CASES)
    assert outcomes(results) == {
        "halfway/adds": Outcome.PASS,
        "halfway/orders/order-0": Outcome.PASS,
        "halfway/orders/order-1": Outcome.FAIL,
        "halfway/crashes": Outcome.KERNEL_OOPS,
        "halfway/waits": Outcome.TEST_ERROR,
        "halfway/ends": Outcome.TEST_ERROR,
    }
    reasons = {result.path: result.reason for result in results}
    assert reasons["halfway/crashes"] == DEATH.title
    assert reasons["halfway/waits"] == "not run: the guest died in crashes"


def test_a_death_within_a_tests_parameters_is_that_tests() -> None:
    results = outcomes(results_until(HEAD, DEATH, CASES))
    assert results["halfway/orders/order-0"] is Outcome.PASS
    assert results["halfway/orders"] is Outcome.KERNEL_OOPS
    assert results["halfway/crashes"] is Outcome.TEST_ERROR


def test_without_the_source_tests_have_numbers() -> None:
    results = outcomes(results_until([*HEAD, *TAIL], DEATH))
    assert results["halfway/test 3"] is Outcome.KERNEL_OOPS
    assert results["halfway/test 5"] is Outcome.TEST_ERROR


def test_a_death_before_any_suite_is_no_result() -> None:
    assert results_until(["[    1.0] BUG: something"], DEATH, CASES) == []


def test_a_suite_that_has_ended_is_left_as_it_is() -> None:
    lines = ["    # Subtest: halfway", "    1..1", "    ok 1 adds", "ok 1 halfway", "BUG: later"]
    assert outcomes(results_until(lines, DEATH, CASES)) == {"halfway/adds": Outcome.PASS}


@pytest.mark.parametrize("cut", range(len(HEAD) + len(TAIL) + 1))
def test_wherever_it_is_cut_nothing_passes_that_did_not(cut: int) -> None:
    lines = [*HEAD, *TAIL][:cut]
    passed = {
        path
        for path, outcome in outcomes(results_until(lines, DEATH, CASES)).items()
        if outcome is Outcome.PASS
    }
    said = "\n".join(lines)
    assert all(f" {path.rpartition('/')[2]}" in said for path in passed)
    assert passed <= {"halfway/adds", "halfway/orders/order-0"}


@given(st.lists(st.text(max_size=60), max_size=30))
def test_any_text_is_taken(lines: list[str]) -> None:
    results_until(lines, DEATH, CASES)


def test_names_come_from_the_source(tmp_path: Path) -> None:
    folder = PROJECT / "testcases" / "gfp_unmapped" / "kernel"
    assert any("zero_on_reuse" in names for names in names_of_module(folder, "patchbed_zero_kunit"))
    assert names_of_module(tmp_path, "nonesuch") == []
    source = "static struct kunit_case a[] = { KUNIT_CASE(x), KUNIT_CASE_PARAM(y, gen), { } };"
    assert case_names(source) == [("x", "y")]
