# SPDX-License-Identifier: GPL-2.0-or-later
from hypothesis import given, settings
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


# The example of Documentation/dev-tools/ktap.rst: two spaces a level, and a KUnit-like log.
SPECIFIED = """\
KTAP version 1
1..1
  KTAP version 1
  1..3
    KTAP version 1
    1..1
    # test_1: initializing test_1
    ok 1 test_1
  ok 1 example_test_1
    KTAP version 1
    1..2
    ok 1 test_1 # SKIP test_1 skipped
    ok 2 test_2
  ok 2 example_test_2
    KTAP version 1
    1..3
    ok 1 test_1
    # test_2: FAIL
    not ok 2 test_2
    ok 3 test_3 # SKIP test_3 skipped
  not ok 3 example_test_3
not ok 1 main_test
"""


def test_the_specification_s_example_has_the_hierarchy_that_it_names() -> None:
    assert parse_ktap(SPECIFIED.splitlines()) == [
        KtapResult("main_test/example_test_1/test_1", Outcome.PASS),
        KtapResult("main_test/example_test_2/test_1", Outcome.SKIP, "test_1 skipped"),
        KtapResult("main_test/example_test_2/test_2", Outcome.PASS),
        KtapResult("main_test/example_test_3/test_1", Outcome.PASS),
        KtapResult("main_test/example_test_3/test_2", Outcome.FAIL, "test_2: FAIL"),
        KtapResult("main_test/example_test_3/test_3", Outcome.SKIP, "test_3 skipped"),
    ]


def test_result_lines_as_the_specification_shows_them() -> None:
    text = """KTAP version 1
ok 1 test_case_name
not ok 2 test_case_name
ok 3 test # SKIP necessary dependency unavailable
not ok 4 test # TIMEOUT 30 seconds
ok 5 check return code # rcode=0
not ok 6 unknown # MAYBE later
ok 7
not ok 8 mmap # errno=12
"""
    assert [
        (result.path, result.outcome, result.reason) for result in parse_ktap(text.split("\n"))
    ] == [
        ("test_case_name", Outcome.PASS, ""),
        ("test_case_name", Outcome.FAIL, ""),
        ("test", Outcome.SKIP, "necessary dependency unavailable"),
        ("test", Outcome.TEST_TIMEOUT, "30 seconds"),
        ("check return code", Outcome.PASS, ""),
        ("unknown", Outcome.FAIL, "MAYBE later"),
        ("test 7", Outcome.PASS, ""),
        ("mmap", Outcome.FAIL, "errno=12"),
    ]


def test_documents_that_follow_each_other_are_counted_one_by_one() -> None:
    # What the kernel logs of two modules with KUnit suites; the first lost a result.
    suite = "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: {0}\n    1..2\n    ok 1 a\n"
    text = f"{suite.format('x')}ok 1 x\n{suite.format('y')}    ok 2 b\nok 2 y\n"
    assert outcomes(text) == {
        "x/a": Outcome.PASS,
        "x/plan": Outcome.TEST_ERROR,
        "y/a": Outcome.PASS,
        "y/b": Outcome.PASS,
    }


def test_subtests_are_not_given_to_the_next_test() -> None:
    # The kernel died in suite x, was loaded into again, and ran suite y.
    text = """
    # Subtest: x
    1..2
    ok 1 a
    # Subtest: y
    1..1
    ok 1 b
ok 1 y
"""
    assert outcomes(text) == {
        "x/a": Outcome.PASS,
        "x/plan": Outcome.TEST_ERROR,
        "y/b": Outcome.PASS,
    }


def test_a_number_that_is_left_out_is_an_error() -> None:
    lost = parse_ktap(["ok 1 a", "ok 4 b"])
    assert [result.outcome for result in lost] == [
        Outcome.PASS,
        Outcome.TEST_ERROR,
        Outcome.PASS,
    ]
    assert lost[1].reason == "no result between 1 and 4"
    # KUnit of 6.1 counts a boot's suites: a module's may be any.
    assert outcomes("ok 7 - suite\nok 8 - other\n") == {
        "suite": Outcome.PASS,
        "other": Outcome.PASS,
    }


def test_more_results_than_planned_is_an_error() -> None:
    assert outcomes("KTAP version 1\n1..1\nok 1 one\nok 2 two\n")["plan"] is Outcome.TEST_ERROR


def test_a_plan_may_come_last_or_twice() -> None:
    passed = {"one": Outcome.PASS, "two": Outcome.PASS}
    assert outcomes("TAP version 13\nok 1 one\nok 2 two\n1..2\n") == passed
    assert outcomes("TAP version 13\n1..2\n1..2\nok 1 one\nok 2 two\n") == passed


def test_a_missing_plan_is_none() -> None:
    assert outcomes("KTAP version 1\nok 1 one\nok 2 two\n") == {
        "one": Outcome.PASS,
        "two": Outcome.PASS,
    }


def test_a_program_that_gives_up_does_not_pass() -> None:
    # kselftest.h's ksft_exit_fail_msg().
    text = "TAP version 13\n1..6\nok 1 a\nBail out! mmap failed: Cannot allocate memory\n"
    [good, bad] = parse_ktap([*text.splitlines(), "# Totals: pass:1 fail:0 xfail:0 xpass:0"])
    assert good.outcome is Outcome.PASS
    assert (bad.outcome, bad.reason) == (
        Outcome.TEST_ERROR,
        "mmap failed: Cannot allocate memory",
    )


def test_what_another_prefixes_is_a_remark() -> None:
    # kselftest's runner hands a program's own results on like this.
    text = "TAP version 13\n1..1\n# not ok 1 inner\nok 1 selftests: mm: cow\n"
    assert outcomes(text) == {"selftests: mm: cow": Outcome.PASS}


def test_a_crash_keeps_the_lines_that_say_where() -> None:
    text = """[    3.1]     KTAP version 1
[    3.1]     # Subtest: suite
[    3.1]     1..2
[    3.2]         KTAP version 1
[    3.2]         # Subtest: case
[    3.3]         ok 1 order-0
[    3.4]     # case: about to free
[    3.5] BUG: unable to handle page fault for address: ffff888000000000
"""
    results = parse_ktap(text.splitlines())
    assert [(result.path, result.outcome) for result in results] == [
        ("suite/case/order-0", Outcome.PASS),
        ("suite/case", Outcome.TEST_ERROR),
        ("suite/plan", Outcome.TEST_ERROR),
    ]
    assert results[1].reason == "ended without a result; case: about to free"


def test_what_is_written_is_nested_as_the_paths_are() -> None:
    results = [
        KtapResult("upstream/K2-lkdtm", Outcome.PASS),
        KtapResult("upstream/K1-memfd-secret", Outcome.FAIL, "file IO is not blocked"),
        KtapResult("build", Outcome.BUILD_COMPILE, "no such file"),
    ]
    assert (
        format_ktap(results)
        == """\
KTAP version 1
1..2
  KTAP version 1
  1..2
  ok 1 K2-lkdtm
  not ok 2 K1-memfd-secret # file IO is not blocked
not ok 1 upstream
not ok 2 build # ERROR build.compile: no such file
"""
    )


NAMES = st.text(alphabet="abcdefghij-_ 0123456789", min_size=1).map(
    lambda text: "x" + "-".join(text.split())
)
REASONS = st.text(alphabet="abc #:", max_size=12).map(lambda text: " ".join(text.split()))
RESULTS = st.builds(
    KtapResult,
    path=st.lists(NAMES, min_size=1, max_size=3).map("/".join),
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
    reason=REASONS,
)


@given(st.lists(RESULTS, min_size=1))
def test_what_is_written_is_read_back(results: list[KtapResult]) -> None:
    read = parse_ktap(format_ktap(results).splitlines())
    assert [(row.path, row.outcome) for row in read] == [(row.path, row.outcome) for row in results]
    for row, again in zip(results, read, strict=True):
        # A passing test's line says no more, and a test with no word of its own takes none.
        assert again.reason in ("", row.reason, row.reason.lstrip("#: "))


@settings(max_examples=30)
@given(st.lists(RESULTS, min_size=1, max_size=6), st.data())
def test_a_log_around_and_between_changes_nothing(
    results: list[KtapResult], data: st.DataObject
) -> None:
    noise = st.sampled_from(["random: crng init done", "clocksource: tsc", "", "audit: type=2000"])
    lines = []
    for number, line in enumerate(format_ktap(results).splitlines()):
        lines += [f"[{number:5}.000001] {text}" for text in data.draw(st.lists(noise, max_size=2))]
        lines.append(f"<6>[{number:5}.000002] {line}")
    assert parse_ktap(lines) == parse_ktap(format_ktap(results).splitlines())


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
