# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from harness.measure.own_counters import OwnCounter
from harness.report.own_counters import own_counter_lines, own_counters_json

VARIANTS = ["debian-6.1", "debian-6.1+s@v1"]
LABELS = {"debian-6.1": "base", "debian-6.1+s@v1": "v1"}


def counter(name: str, value: float = 1024.0) -> OwnCounter:
    return OwnCounter("secretmem-idle", name, {VARIANTS[0]: None, VARIANTS[1]: value})


def test_who_lacks_a_counter_has_a_dash() -> None:
    lines = own_counter_lines([counter("cache.Cached")], VARIANTS, LABELS, 78)
    assert lines[0].startswith("What only some of them count")
    assert lines[1].split() == ["base", "v1"]
    assert lines[2].split() == ["secretmem-idle", "cache.Cached", "-", "1,024"]


def test_few_are_shown_and_none_is_kept_back() -> None:
    """If this failed, a page of counters would hide the verdicts, or some would be nowhere."""
    many = [counter(f"vmstat.nr_{number:03}") for number in range(40)] + [counter("end:cache.Free")]
    lines = own_counter_lines(many, VARIANTS, LABELS, 78)
    assert len(lines) == 15
    assert lines[-1].strip() == "... 29 more: see results.json"
    assert max(map(len, lines)) <= 78
    assert len(own_counters_json(many)) == 41


def test_without_any_nothing_is_said() -> None:
    assert own_counter_lines([], VARIANTS, LABELS, 78) == []
    assert own_counter_lines([counter("at:cache.Free")], VARIANTS, LABELS, 78) == []
