# SPDX-License-Identifier: GPL-2.0-or-later
"""What a build took over from earlier ones, and why: what `kernel build --explain` tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FORKED, CLEAN = "forked", "clean"
_HITS = ("direct_cache_hit", "preprocessed_cache_hit")
_MISS = "cache_miss"
_QUESTIONS = ("/dev/null", "-")


@dataclass(frozen=True)
class CompilerCache:
    """How often ccache had an object already, in one build; `used` is False without ccache."""

    used: bool = False
    hits: int = 0
    misses: int = 0


@dataclass(frozen=True)
class Reuse:
    """What one build began from, and what it took.

    `how` is FORKED or CLEAN, `reason` why, in words. `parent` is the forked tree's key and
    `parent_variant` its variant, "" where there is none; `files` and `symbols` are the files and
    the wanted lines of configuration that differed. `steps` is what make did, `usual` what it
    does in a clean build. `configured` tells whether the parent's configuration was taken over.
    """

    how: str
    reason: str
    parent: str = ""
    parent_variant: str = ""
    files: int = 0
    symbols: int = 0
    steps: int = 0
    usual: int = 0
    configured: bool = False
    ccache: CompilerCache = CompilerCache()

    def facts(self) -> dict[str, Any]:
        """Return it as meta.json has it."""
        return asdict(self)


def read_reuse(meta: Mapping[str, Any]) -> Reuse | None:
    """Return what a kernel's meta.json tells of its build, None where it tells nothing."""
    facts = meta.get("reuse")
    if not isinstance(facts, dict):
        return None
    try:
        return Reuse(**{**facts, "ccache": CompilerCache(**facts["ccache"])})
    except (KeyError, TypeError):
        return None


def explain(reuse: Reuse | None, *, cached: bool, built: str, seconds: float) -> list[str]:
    """Return lines about where a kernel comes from.

    `cached` tells whether it was there already; `built` (a date) and `seconds` are of its build.
    """
    lines = []
    if cached:
        lines.append(f"cached: nothing was built; it is from {built}")
    if reuse is None:
        return lines or ["nothing is known of its build"]
    was = "it was " if cached else ""
    if reuse.how == FORKED:
        differ = f"{count(reuse.files, 'file')} changed"
        if reuse.symbols:
            differ += f", {count(reuse.symbols, 'line')} of configuration not met"
        lines.append(
            f"{was}forked from the tree of {reuse.parent_variant} ({reuse.parent[:12]}): {differ}"
        )
        if reuse.configured:
            lines.append("configured as that one: nothing that Kconfig reads has changed")
        lines.append(f"{count(reuse.steps, 'step')} instead of about {reuse.usual}")
    else:
        lines.append(f"{was}built clean: {reuse.reason}")
        lines.append(count(reuse.steps, "step"))
    lines.append(_ccache_words(reuse.ccache))
    lines.append(f"{seconds:.0f} s in all")
    return lines


def _ccache_words(found: CompilerCache) -> str:
    if not found.used:
        return "ccache: not used"
    return f"ccache: {count(found.hits, 'hit')}, {count(found.misses, 'miss', 'misses')}"


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its word: "1 file", "3 files"."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def parse_stats_log(text: str) -> CompilerCache:
    """Return the hits and misses in a log of ccache's (CCACHE_STATSLOG).

    It names a call's input behind a `#`, and then has a word a line for what came of it.
    kbuild's questions about the compiler's options, which have no input, do not count.
    """
    hits = misses = 0
    asked = False
    for line in text.splitlines():
        word = line.strip()
        if word.startswith("#"):
            asked = word.removeprefix("#").strip() in _QUESTIONS
        elif not asked:
            hits += word in _HITS
            misses += word == _MISS
    return CompilerCache(used=True, hits=hits, misses=misses)


def read_stats_log(path: Path, *, used: bool) -> CompilerCache:
    """Return what a build's log of ccache's tells; nothing was compiled where there is none."""
    if not used:
        return CompilerCache()
    try:
        return parse_stats_log(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return CompilerCache(used=True)
