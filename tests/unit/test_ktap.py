# SPDX-License-Identifier: GPL-2.0-or-later
from hypothesis import given
from hypothesis import strategies as st

from harness.outcomes import Outcome
from harness.testing.ktap import KtapResult, format_ktap, parse_ktap

KUNIT_6_1 = """\
[    2.101203]     # Subtest: unmapped_alloc
[    2.101208]     1..3
[    2.102119]     ok 1 - present
[    2.102900]         # Subtest: absent
[    2.103001] random: crng init done
[    2.104002]         ok 1 order-0
[    2.104733]     # absent: EXPECTATION FAILED at absent.c:12
[    2.104801]     Expected oracle == 0, but
[    2.104811]         oracle == 3 (0x3)
[    2.104901]         not ok 2 order-1
[    2.105100]     not ok 2 - absent
[    2.105200]     ok 3 - zero # SKIP no flag
[    2.106000] not ok 1 - unmapped_alloc
"""


def outcomes(text: str) -> dict[str, Outcome]:
    return {result.path: result.outcome for result in parse_ktap(text.splitlines())}


def test_kunit_results_within_a_kernel_log() -> None:
    assert outcomes(KUNIT_6_1) == {
        "unmapped_alloc/present": Outcome.PASS,
        "unmapped_alloc/absent/order-0": Outcome.PASS,
        "unmapped_alloc/absent/order-1": Outcome.FAIL,
        "unmapped_alloc/zero": Outcome.SKIP,
    }


def test_a_failure_takes_its_diagnostics_as_reason() -> None:
    failed = [r for r in parse_ktap(KUNIT_6_1.splitlines()) if r.outcome is Outcome.FAIL]
    assert failed[0].reason == (
        "absent: EXPECTATION FAILED at absent.c:12 Expected oracle == 0, but oracle == 3 (0x3)"
    )


def test_directives() -> None:
    text = """KTAP version 1
1..7
ok 1 a # SKIP no memory
not ok 2 b # TODO later
ok 3 c # TODO later
not ok 4 d # TIMEOUT 45 seconds
not ok 5 e # ERROR died
not ok 6 f # XFAIL known
ok 7 g # 12 ms
"""
    assert outcomes(text) == {
        "a": Outcome.SKIP,
        "b": Outcome.XFAIL,
        "c": Outcome.XPASS,
        "d": Outcome.TEST_TIMEOUT,
        "e": Outcome.TEST_ERROR,
        "f": Outcome.XFAIL,
        "g": Outcome.PASS,
    }


def test_a_crash_in_the_middle_keeps_what_came_before() -> None:
    text = "    # Subtest: suite\n    1..3\n    ok 1 - one\n[ 3.1] BUG: unable to handle\n"
    assert outcomes(text) == {
        "suite/one": Outcome.PASS,
        "suite/plan": Outcome.TEST_ERROR,
    }


def test_fewer_results_than_planned_is_an_error() -> None:
    assert outcomes("KTAP version 1\n1..2\nok 1 one\n")["plan"] is Outcome.TEST_ERROR


def test_a_parent_that_fails_for_itself_is_shown() -> None:
    text = "    # Subtest: s\n    1..1\n    ok 1 one\nnot ok 1 s\n"
    assert outcomes(text) == {"s/one": Outcome.PASS, "s": Outcome.FAIL}


def test_an_empty_plan_that_skips() -> None:
    assert outcomes("KTAP version 1\n1..0 # SKIP no secretmem\n") == {"plan": Outcome.SKIP}


def test_a_document_nested_by_two_spaces() -> None:
    text = """KTAP version 1
1..1
  KTAP version 1
  # Subtest: outer
  1..1
  ok 1 inner
ok 1 outer
"""
    assert outcomes(text) == {"outer/inner": Outcome.PASS}


NAMES = st.text(alphabet="abcdefghij-_ 0123456789", min_size=1).map(
    lambda text: "x" + "-".join(text.split())
)
RESULTS = st.builds(
    KtapResult,
    path=NAMES,
    outcome=st.sampled_from(
        [
            Outcome.PASS,
            Outcome.FAIL,
            Outcome.SKIP,
            Outcome.XFAIL,
            Outcome.XPASS,
            Outcome.TEST_TIMEOUT,
            Outcome.TEST_ERROR,
        ]
    ),
)


@given(st.lists(RESULTS, min_size=1))
def test_what_is_written_is_read_back(results: list[KtapResult]) -> None:
    assert parse_ktap(format_ktap(results).splitlines()) == results


@given(st.lists(st.text()))
def test_any_text_is_read_without_an_exception(lines: list[str]) -> None:
    parse_ktap(lines)


@given(
    st.lists(
        st.from_regex(r"\A {0,12}((not )?ok \d [a-c]|1\.\.\d|# Subtest: [a-c]|# [a-c]+)\Z"),
        max_size=12,
    )
)
def test_every_failure_shows(lines: list[str]) -> None:
    results = parse_ktap(lines)
    if any("not ok" in line for line in lines):
        assert any(not result.outcome.expected for result in results)
