# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.outcomes import SEVERITY, ExitCode, Outcome, exit_code, worst


def test_every_outcome_has_a_severity() -> None:
    assert sorted(SEVERITY) == sorted(Outcome)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.PASS, Outcome.SKIP, Outcome.XFAIL], ExitCode.OK),
        ([Outcome.PASS, Outcome.FAIL], ExitCode.FAILURE),
        ([Outcome.PASS, Outcome.XPASS], ExitCode.FAILURE),
        ([Outcome.PASS, Outcome.BUILD_APPLY], ExitCode.FAILURE),
        ([Outcome.PASS, Outcome.INFRA_DISK], ExitCode.INFRASTRUCTURE),
        ([Outcome.INFRA_QEMU, Outcome.KERNEL_PANIC], ExitCode.FAILURE),
        ([Outcome.SKIP, Outcome.SKIP], ExitCode.NOTHING_RAN),
        ([], ExitCode.NOTHING_RAN),
    ],
)
def test_exit_codes(outcomes: list[Outcome], code: int) -> None:
    assert exit_code(outcomes) == code


@given(st.lists(st.sampled_from(Outcome), min_size=1))
def test_a_whole_is_no_better_than_its_parts(outcomes: list[Outcome]) -> None:
    whole = worst(outcomes)
    assert whole in outcomes
    assert all(SEVERITY.index(whole) <= SEVERITY.index(part) for part in outcomes)


@given(st.lists(st.sampled_from(Outcome)))
def test_nothing_unexpected_exits_with_zero(outcomes: list[Outcome]) -> None:
    if any(not outcome.expected for outcome in outcomes):
        assert exit_code(outcomes) not in (ExitCode.OK, ExitCode.NOTHING_RAN)
