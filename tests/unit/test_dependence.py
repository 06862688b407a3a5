# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths
from harness.kernel.series import KnownIssue
from verification.dependence import digest_testcases, stale, with_issues

IDS = {"a/U1-one", "a/U2-two", "b/M1-three"}
FILES = {
    "a/test_one.py": '@testcase("U1-one")\ndef test_one(): run("own_program")\n',
    "a/test_two.py": '@testcase("U2-two", clean=True)\ndef test_two(): run("two_users")\n',
    "b/test_three.py": '@testcase("M1-three")\n'
    'def test_three(): run("two_users", "asked_by_all", "patchbed_oracle")\n',
    "conftest.py": 'run("asked_by_all")\n',
    "a/programs/own_program.c": "1",
    "b/programs/two_users.c": "1",
    "b/programs/asked_by_all.c": "1",
    "b/programs/unnamed.c": "1",
    "b/kernel/patchbed_oracle.c": "1",
    "include/common.h": "1",
    "Kbuild": "obj-m += own_program.o two_users.o",
}


@pytest.fixture
def testcases(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("a/test_one.py", {"a/U1-one"}),
        ("a/programs/own_program.c", {"a/U1-one"}),
        ("b/programs/two_users.c", {"a/U2-two", "b/M1-three"}),
        ("b/programs/asked_by_all.c", IDS),
        ("b/programs/unnamed.c", IDS),
        # The harness names it.
        ("b/kernel/patchbed_oracle.c", IDS),
        ("include/common.h", IDS),
        ("conftest.py", IDS),
        ("Kbuild", IDS),
    ],
)
def test_a_change_makes_those_stale_that_depend_on_it(
    testcases: Path, file: str, tests: set[str]
) -> None:
    before = digest_testcases(testcases)
    assert before.keys() == IDS
    path = testcases / file
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert set(stale(before, digest_testcases(testcases))) == tests


def remove(testcases: Path) -> None:
    (testcases / "a/programs/own_program.c").unlink()


def add(testcases: Path) -> None:
    (testcases / "a/test_new.py").write_text('@testcase("U3-new")\ndef f(): ...\n')


@pytest.mark.parametrize(("change", "tests"), [(remove, {"a/U1-one"}), (add, {"a/U3-new"})])
def test_what_comes_and_goes_counts(
    testcases: Path, change: Callable[[Path], None], tests: set[str]
) -> None:
    before = digest_testcases(testcases)
    change(testcases)
    assert set(stale(before, digest_testcases(testcases))) == tests


@pytest.mark.parametrize(
    ("pattern", "tests"),
    [
        ("a/U1-one", {"a/U1-one"}),
        ("a/U[12]-*", {"a/U1-one", "a/U2-two"}),
        ("b/M1-three[WRITE_RO]", {"b/M1-three"}),
        ("*", IDS),
        ("c/*", set()),
    ],
)
def test_a_known_issue_is_of_its_testcases(testcases: Path, pattern: str, tests: set[str]) -> None:
    before = digest_testcases(testcases)
    issue = KnownIssue(testcase=pattern, reason="it is so")
    known = with_issues(before, [issue])
    assert set(stale(before, known)) == tests
    often = with_issues(before, [issue.model_copy(update={"sometimes": True})])
    assert set(stale(known, often)) == tests


def test_all_depend_on_what_is_given_besides(testcases: Path) -> None:
    before = digest_testcases(testcases, "a harness")
    assert digest_testcases(testcases, "a harness") == before
    assert set(stale(before, digest_testcases(testcases, "another"))) == IDS


def test_a_file_that_is_not_whole_yet_counts(testcases: Path) -> None:
    before = digest_testcases(testcases)
    half = '@testcase("U2-two")\ndef test_two(:\n'
    (testcases / "a/test_two.py").write_text(half, encoding="utf-8")
    assert stale(before, digest_testcases(testcases)) == ["a/U2-two"]


def test_the_catalogue_is_known() -> None:
    found = digest_testcases(paths.TESTCASES)
    assert "gfp_unmapped/U1-absence" in found
    assert "upstream/K2-lkdtm" in found
    assert len(set(found.values())) > len(found) / 4
