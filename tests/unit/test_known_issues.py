# SPDX-License-Identifier: GPL-2.0-or-later
from harness.outcomes import Outcome
from harness.testing.cell import CellIssue
from harness.testing.known_issues import Judged, judge_check, judge_test

PASS = Judged(Outcome.PASS)
KNOWN = CellIssue(testcase="gfp_unmapped/U10-zero", check="reuse*", reason="not zeroed on reuse")


def judge(own: Judged, *checks: tuple[str, Outcome], test: str = "gfp_unmapped/U10-zero") -> Judged:
    judged = [
        (name, judge_check([KNOWN], test, name, Judged(outcome, "seen 0x5a")))
        for name, outcome in checks
    ]
    return judge_test([KNOWN], test, own, judged)


def test_a_known_failure_is_expected_and_keeps_both_reasons() -> None:
    judged = judge(PASS, ("fresh", Outcome.PASS), ("reuse order-0", Outcome.FAIL))
    assert judged.outcome is Outcome.XFAIL
    assert "not zeroed on reuse" in judged.reason
    assert "seen 0x5a" in judged.reason


def test_another_failure_beside_a_known_one_is_a_failure() -> None:
    judged = judge(PASS, ("fresh", Outcome.FAIL), ("reuse order-0", Outcome.FAIL))
    assert judged == Judged(Outcome.FAIL, "fresh: seen 0x5a")


def test_a_known_failure_that_does_not_come_is_an_unexpected_pass() -> None:
    judged = judge(PASS, ("fresh", Outcome.PASS), ("reuse order-0", Outcome.PASS))
    assert judged.outcome is Outcome.XPASS
    assert "not zeroed on reuse" in judged.reason


def test_a_skipped_testcase_says_nothing_of_its_known_issues() -> None:
    assert judge(Judged(Outcome.SKIP, "no flag")) == Judged(Outcome.SKIP, "no flag")


def test_an_issue_explains_its_own_testcase_only() -> None:
    judged = judge(PASS, ("reuse order-0", Outcome.FAIL), test="gfp_unmapped/U1-absence")
    assert judged.outcome is Outcome.FAIL


def test_a_crash_is_explained_by_an_issue_of_that_kind_only() -> None:
    crash = CellIssue(testcase="secretmem/S9-*", outcome=Outcome.KERNEL_OOPS, reason="no lock")
    oops = Judged(Outcome.KERNEL_OOPS, "BUG: unable to handle page fault")
    assert judge_test([crash], "secretmem/S9-race", oops, []).outcome is Outcome.XFAIL
    failed = Judged(Outcome.FAIL, "split")
    assert judge_test([crash], "secretmem/S9-race", failed, []).outcome is Outcome.FAIL


def test_a_known_death_leaves_no_time_for_what_else_is_known() -> None:
    crash = CellIssue(
        testcase="gfp_unmapped/U10-*", outcome=Outcome.KERNEL_OOPS, reason="twice", sometimes=True
    )
    oops = Judged(Outcome.KERNEL_OOPS, "general protection fault")
    judged = judge_test([KNOWN, crash], "gfp_unmapped/U10-zero", oops, [])
    assert judged == Judged(Outcome.XFAIL, "twice (general protection fault)")
    assert judge_test([KNOWN, crash], "gfp_unmapped/U10-zero", PASS, []).outcome is Outcome.XPASS


def test_several_failed_checks_are_counted_and_the_first_is_named() -> None:
    checks = [(f"order-{n}", Judged(Outcome.FAIL, "mapped")) for n in range(3)]
    judged = judge_test([], "gfp_unmapped/U1-absence", PASS, checks)
    assert judged == Judged(Outcome.FAIL, "3 of 3 checks; order-0: mapped")


def test_a_testcase_without_checks_takes_its_own_outcome() -> None:
    assert judge_test([], "secretmem/S1-access", PASS, []) == PASS


def test_an_issue_that_shows_now_and_then_is_no_surprise_when_it_does_not() -> None:
    now_and_then = KNOWN.model_copy(update={"sometimes": True})
    passed = Judged(Outcome.PASS)
    assert judge_test([KNOWN], KNOWN.testcase, passed, [("reuse", passed)]).outcome is Outcome.XPASS
    assert judge_test([now_and_then], KNOWN.testcase, passed, [("reuse", passed)]) == passed
