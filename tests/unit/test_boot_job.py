# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.guest.machine import load_machine
from harness.run.boot_job import BootRequest, check_request, command_line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "sh"),
        (("uname -r; id",), "uname -r; id"),
        (("echo", "a b", "$HOME"), "echo 'a b' '$HOME'"),
        (("sh", "-c", "echo c > /proc/x"), "sh -c 'echo c > /proc/x'"),
    ],
)
def test_words_become_a_line(words: tuple[str, ...], line: str) -> None:
    assert command_line(words) == line


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2))
def test_words_stay_what_they_are(words: list[str]) -> None:
    assert shlex.split(command_line(tuple(words))) == words


@pytest.mark.parametrize(
    ("request_", "machine", "problem"),
    [
        (BootRequest("b", world=1, command=("true",)), "q35-4g", "has no worlds"),
        (BootRequest("b"), "deterministic", "needs a command"),
        (BootRequest("b", batch=True), "q35-4g", "needs a command"),
        (BootRequest("b", batch=True, snapshot=True, command=("a",)), "q35-4g", "drop --snapshot"),
    ],
)
def test_what_a_machine_can_not_do(request_: BootRequest, machine: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        check_request(request_, load_machine(machine))


def test_what_a_machine_can_do() -> None:
    check_request(BootRequest("b", world=1, command=("true",)), load_machine("deterministic"))
    check_request(BootRequest("b"), load_machine("q35-4g"))
