# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Mapping

from harness.measure.comparison import Measured
from harness.measure.own_counters import OwnCounter, own_counters
from harness.outcomes import Outcome

BASE, V1, V2 = "debian-6.1", "debian-6.1+x@v1", "debian-6.1+x@v2"
ALL = (BASE, V1, V2)


def boot(
    variant: str,
    values: Mapping[str, float],
    *,
    block: int = 1,
    workload: str = "w",
    outcome: Outcome = Outcome.PASS,
) -> Measured:
    return Measured(variant, workload, block, outcome, values)


def test_what_a_series_adds_is_shown_with_each_version_s_mean() -> None:
    boots = [
        boot(BASE, {"splits": 900}),
        boot(V1, {"splits": 2, "cache.Cached": 512}),
        boot(V1, {"splits": 2, "cache.Cached": 1024}, block=2),
        boot(V2, {"splits": 2, "cache.Cached": 256, "end:vmstat.nr_unmapped_pages": 64}),
    ]
    assert own_counters(boots, ALL) == [
        OwnCounter("w", "cache.Cached", {BASE: None, V1: 768, V2: 256}),
        OwnCounter("w", "end:vmstat.nr_unmapped_pages", {BASE: None, V1: None, V2: 64}),
    ]


def test_a_counter_that_a_series_takes_away_is_shown_too() -> None:
    boots = [boot(BASE, {"vmstat.gone": 3}), boot(V1, {})]
    assert own_counters(boots, (BASE, V1)) == [OwnCounter("w", "vmstat.gone", {BASE: 3, V1: None})]


def test_what_all_have_is_compared_elsewhere() -> None:
    boots = [boot(one, {"splits": 5}) for one in ALL]
    assert own_counters(boots, ALL) == []
    # One boot of each is enough: what some boots print and others do not is no other kernel's.
    boots += [boot(one, {}, block=2) for one in ALL]
    assert own_counters(boots, ALL) == []


def test_a_variant_that_never_came_through_lacks_nothing() -> None:
    """Else all of the others' counters would be called theirs alone."""
    died = [boot(V1, {}, outcome=Outcome.KERNEL_PANIC)]
    assert own_counters([boot(BASE, {"splits": 5}), *died], (BASE, V1)) == []
    boots = [boot(BASE, {"splits": 5}), *died, boot(V2, {"splits": 2, "cache.Free": 8})]
    assert own_counters(boots, ALL) == [
        OwnCounter("w", "cache.Free", {BASE: None, V1: None, V2: 8})
    ]


def test_values_of_a_boot_that_died_do_not_count() -> None:
    died = boot(V1, {"cache.Free": 7}, block=2, outcome=Outcome.KERNEL_PANIC)
    boots = [boot(BASE, {}), boot(V1, {"cache.Free": 1}), died]
    assert own_counters(boots, (BASE, V1)) == [OwnCounter("w", "cache.Free", {BASE: None, V1: 1})]


def test_a_counter_that_stays_0_is_no_news() -> None:
    boots = [boot(BASE, {}), boot(V1, {"cache.Released": 0, "cache.Free": 4})]
    boots.append(boot(V1, {"cache.Released": 0, "cache.Free": -4}, block=2))
    found = own_counters(boots, (BASE, V1))
    assert found == [OwnCounter("w", "cache.Free", {BASE: None, V1: 0})]


def test_each_workload_and_only_the_variants_that_are_compared() -> None:
    """A workload may load the series' own module; the placebo is nobody's version."""
    boots = [
        boot(BASE, {}, workload="b"),
        boot(V1, {"cache.Free": 1}, workload="b"),
        boot(V1, {"cache.Free": 2, "splits": 2}, workload="a"),
        boot(BASE, {"splits": 5}, workload="a"),
        boot("placebo", {"vmstat.placebo": 9}, workload="a"),
    ]
    found = own_counters(boots, (BASE, V1))
    assert [(one.workload, one.name, one.means[V1]) for one in found] == [
        ("a", "cache.Free", 2),
        ("b", "cache.Free", 1),
    ]
    assert all(list(one.means) == [BASE, V1] for one in found)


def test_no_boots() -> None:
    assert own_counters([], ALL) == []
