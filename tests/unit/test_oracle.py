# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the oracle module's answers."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ParseError
from harness.measure.presence import Source, disagreement
from harness.testing.oracle import PAGE_SIZE, parse_pages, runs

# From a 6.1 guest: chunks of order 3, a module's rodata, and a page of secretmem.
SAMPLE = """\
0xffff888100308000 0x100308 16 2 present readable rw nx
0xffffffffc000c000 0x112052 1 1 present readable ro nx
0xffff888100abd000 0x100abd 1 1 absent faults ro nx
"""


def test_a_run_becomes_its_pages() -> None:
    pages = parse_pages(SAMPLE)
    assert len(pages) == 18
    assert [page.pfn for page in pages[:16]] == list(range(0x100308, 0x100318))
    assert pages[15].address == 0xFFFF888100308000 + 15 * PAGE_SIZE
    assert pages[15].physical == 0x100317000


def test_words_become_permissions() -> None:
    chunk, rodata, secret = (parse_pages(SAMPLE)[index] for index in (0, 16, 17))
    assert (chunk.present, chunk.readable, chunk.writable, chunk.executable) == (
        True,
        True,
        True,
        False,
    )
    assert (rodata.present, rodata.writable, rodata.level) == (True, False, 1)
    assert (secret.present, secret.readable) == (False, False)


def test_both_ways_are_told_apart() -> None:
    said = parse_pages(SAMPLE)[17].said()
    assert [presence.source for presence in said] == [Source.WALK, Source.READ]
    assert disagreement(said) == ""


def test_a_lie_is_a_disagreement() -> None:
    lie = SAMPLE.splitlines()[2].replace("faults", "readable")
    assert "0x100abd" in disagreement(parse_pages(lie)[0].said())


@pytest.mark.parametrize(
    "line",
    [
        "0xffff888100308000 0x100308 16 2 present readable rw",
        "0xffff888100308000 0x100308 16 2 there readable rw nx",
        "0xffff888100308000 0x100308 many 2 present readable rw nx",
        "cat: read error",
    ],
)
def test_what_is_no_run_is_refused_by_line(line: str) -> None:
    with pytest.raises(ParseError, match="line 2"):
        parse_pages(SAMPLE.splitlines()[0] + "\n" + line)


@given(st.text())
def test_any_text_is_pages_or_a_parse_error(text: str) -> None:
    with contextlib.suppress(ParseError):
        parse_pages(text)


@given(st.lists(st.integers(0, 64)))
def test_runs_cover_each_frame_once(pfns: list[int]) -> None:
    found = runs(pfns)
    assert [pfn for run in found for pfn in run] == sorted(set(pfns))
    assert all(left.stop < right.start for left, right in itertools.pairwise(found))
