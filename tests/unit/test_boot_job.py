# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.run.boot_job import command_line


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
