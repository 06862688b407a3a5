# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue is whole: what docs/testcases.md lists is there, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.guest.machine import list_machines
from harness.kernel.profile import list_profiles
from harness.paths import PROJECT, TESTCASES

TABLE = (PROJECT / "docs" / "testcases.md").read_text(encoding="utf-8")
# What the domain asks for, by letter and number.
WHOLE = [
    *(f"U{number}" for number in range(16)),
    *(f"M{number}" for number in range(1, 10)),
    *(f"S{number}" for number in range(1, 11)),
    "V",
]


def functions() -> Iterator[tuple[str, ast.Call, ast.FunctionDef]]:
    """Give each testcase's area and id, its decorator and its function."""
    for file in sorted(TESTCASES.rglob("test_*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                for call in filter(is_testcase, node.decorator_list):
                    assert isinstance(call, ast.Call)
                    yield f"{file.parent.name}/{ast.literal_eval(call.args[0])}", call, node


def is_testcase(decorator: ast.expr) -> bool:
    """Return whether `decorator` makes a testcase."""
    return isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "testcase"


FOUND = {test: (call, function) for test, call, function in functions()}


def argument(call: ast.Call, name: str) -> object:
    """Return what the decorator says of `name`, None where that is no constant or not there."""
    for keyword in call.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return keyword.value.value
    return None


def test_the_document_lists_the_testcases_and_no_others() -> None:
    listed = re.findall(r"^\| `(\w+/[A-Z]\d*-[a-z0-9-]+)` \| \S.* \| \S.* \|$", TABLE, re.MULTILINE)
    assert sorted(listed) == sorted(FOUND)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("number", WHOLE)
def test_the_catalogue_is_whole(number: str) -> None:
    assert any(test.partition("/")[2].partition("-")[0] == number for test in FOUND)


@pytest.mark.parametrize("test", FOUND)
def test_a_testcase_says_what_is_broken_if_it_fails(test: str) -> None:
    docstring = ast.get_docstring(FOUND[test][1]) or ""
    assert re.match(r"If (?:this|it|one) fail", docstring), docstring[:60]


@pytest.mark.parametrize("test", FOUND)
def test_machines_and_profiles_that_are_named_exist(test: str) -> None:
    call = FOUND[test][0]
    assert argument(call, "machine") in (None, *list_machines())
    assert argument(call, "profile") in (None, *list_profiles())


def test_no_two_files_have_the_same_testcase() -> None:
    every = [test for test, _, _ in functions()]
    assert sorted(every) == sorted(set(every))


def test_testcases_are_where_the_project_looks() -> None:
    assert Path(TESTCASES, "conftest.py").is_file()
