# SPDX-License-Identifier: GPL-2.0-or-later
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.reuse import (
    CLEAN,
    FORKED,
    CompilerCache,
    Reuse,
    explain,
    parse_stats_log,
    read_reuse,
)

# What ccache 4.7 wrote for a miss, a hit, a question of kbuild's and a link.
LOG = """\
# ../mm/slub.c
cache_miss
direct_cache_miss
local_storage_miss
preprocessed_cache_miss
# ../mm/slub.c
direct_cache_hit
local_storage_hit
# ../mm/slab.c
direct_cache_miss
preprocessed_cache_hit
# /dev/null
cache_miss
# a.o
called_for_link
"""


def test_hits_and_misses() -> None:
    assert parse_stats_log(LOG) == CompilerCache(used=True, hits=2, misses=1)


@given(st.text())
def test_any_log_has_some(text: str) -> None:
    assert parse_stats_log(text).hits >= 0


def test_a_fork_in_words() -> None:
    reuse = Reuse(
        FORKED,
        "it was the nearest",
        parent="0123456789abcdef",
        parent_variant="debian-6.1",
        files=19,
        symbols=1,
        steps=12,
        usual=1651,
        ccache=CompilerCache(used=True, hits=1, misses=1),
    )
    assert explain(reuse, cached=False, built="2026-01-01", seconds=31.4) == [
        "forked from the tree of debian-6.1 (0123456789ab):"
        " 19 files changed, 1 line of configuration not met",
        "12 steps instead of about 1651",
        "ccache: 1 hit, 1 miss",
        "31 s in all",
    ]
    assert explain(reuse, cached=True, built="2026-01-01", seconds=31.4)[:2] == [
        "cached: nothing was built; it is from 2026-01-01",
        "it was forked from the tree of debian-6.1 (0123456789ab):"
        " 19 files changed, 1 line of configuration not met",
    ]
    assert read_reuse({"reuse": reuse.facts()}) == reuse
    taken_over = explain(replace(reuse, configured=True), cached=False, built="", seconds=1)
    assert taken_over[1] == "configured as that one: nothing that Kconfig reads has changed"


def test_a_clean_build_in_words() -> None:
    reuse = Reuse(CLEAN, "no tree is kept", steps=1, usual=1)
    assert explain(reuse, cached=False, built="", seconds=0) == [
        "built clean: no tree is kept",
        "1 step",
        "ccache: not used",
        "0 s in all",
    ]


def test_an_entry_that_tells_nothing() -> None:
    for meta in ({}, {"reuse": 1}, {"reuse": {}}, {"reuse": {"ccache": {}, "more": 1}}):
        assert read_reuse(meta) is None
    assert explain(None, cached=False, built="", seconds=0) == ["nothing is known of its build"]
    assert len(explain(None, cached=True, built="x", seconds=0)) == 1
