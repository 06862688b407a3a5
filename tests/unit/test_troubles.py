# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from harness.outcomes import Outcome
from harness.testing.known_issues import Judged
from harness.testing.troubles import Trouble, judge_troubles

PASS = Judged(Outcome.PASS)
OOPS = Trouble(Outcome.KERNEL_OOPS, "BUG: unable to handle page fault for address: ffff888")
WARN = Trouble(Outcome.KERNEL_WARN, "WARNING: CPU: 0 PID: 1 at mm/page_alloc.c:1")
RAISED = Judged(OOPS.outcome, OOPS.title)


def test_without_trouble_a_testcase_ends_as_it_ended() -> None:
    failed = Judged(Outcome.FAIL, "1 != 2")
    assert judge_troubles(PASS, "", []) == PASS
    assert judge_troubles(failed, "", []) == failed


@pytest.mark.parametrize("own", [PASS, Judged(Outcome.FAIL, "no"), Judged(Outcome.TEST_TIMEOUT)])
def test_a_death_counts_before_what_the_testcase_said(own: Judged) -> None:
    assert judge_troubles(own, "", [WARN, OOPS]) == RAISED


def test_a_warning_is_no_pass_but_hides_no_failure() -> None:
    failed = Judged(Outcome.FAIL, "1 != 2")
    assert judge_troubles(PASS, "", [WARN]) == Judged(Outcome.KERNEL_WARN, WARN.title)
    assert judge_troubles(failed, "", [WARN]) == failed


@pytest.mark.parametrize("own", [PASS, RAISED])
def test_the_declared_death_is_the_pass(own: Judged) -> None:
    judged = judge_troubles(own, "unable to handle page fault", [OOPS])
    assert judged.outcome is Outcome.PASS
    assert OOPS.title in judged.reason


def test_a_declared_warning_is_a_pass_too() -> None:
    assert judge_troubles(PASS, "WARNING: .*page_alloc", [WARN]).outcome is Outcome.PASS


def test_another_death_than_the_declared_is_a_failure() -> None:
    judged = judge_troubles(RAISED, "kernel BUG at", [OOPS])
    assert judged.outcome is Outcome.KERNEL_OOPS
    assert "'kernel BUG at'" in judged.reason


def test_the_declared_death_alone_is_the_pass() -> None:
    assert judge_troubles(RAISED, "page fault", [WARN, OOPS]).outcome is Outcome.KERNEL_WARN


def test_a_declared_death_that_does_not_come_is_a_failure() -> None:
    assert judge_troubles(PASS, "page fault", []).outcome is Outcome.FAIL


@pytest.mark.parametrize("outcome", [Outcome.SKIP, Outcome.FAIL, Outcome.TEST_TIMEOUT])
def test_a_testcase_that_ended_otherwise_did_not_pass(outcome: Outcome) -> None:
    own = Judged(outcome, "why")
    assert judge_troubles(own, "page fault", [OOPS]) == own
