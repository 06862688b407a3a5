# SPDX-License-Identifier: GPL-2.0-or-later
"""U4: all CPUs allocate and free unmapped pages at once."""

from __future__ import annotations

from collections.abc import Callable

from harness.guest.guest import Guest
from harness.measure.directmap import OutsideView
from harness.testing.audit import Auditor
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge, holding, outside_contents, some
from harness.testing.oracle import Oracle, must
from harness.testing.testcase import testcase

STEPS = 4000
SHRUNK_STEPS = 2000
# What all words that the storm writes have in common (patchbed_storm_kunit.c).
WRITTEN = bytes.fromhex("e7c25ee7c25e")
MODULE = "patchbed_storm_kunit"
# Whoever shrinks looks at this file to know when to end.
STORM = "/run/patchbed-storm"
SCAN = "/sys/kernel/debug/shrinker/*unmapped*/scan"
A_SCAN = 64
MORE = 64


@testcase("U4-storm", needs_feature=True, config=["DEBUG_FS", "KUNIT", "SMP"], machine="smp-4")
def test_storm(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
    stress: float,
) -> None:
    """If this failed, CPUs that allocate and free at once would get each other's pages.

    Four CPUs, each page with one owner at a time, absent from when it is handed out until it is
    freed, with nothing in it of who had it before. At the end every page is accounted for.
    """
    auditor = Auditor(guest, checks, counters, outside)
    _storm(checks, int(STEPS * stress), timeout=60 + 60 * stress)
    _check_end(guest, checks, oracle, judge, auditor)


@testcase(
    "U4-storm-and-shrinker",
    needs_feature=True,
    config=["DEBUG_FS", "KUNIT", "SMP", "SHRINKER_DEBUG"],
    machine="smp-4",
    clean=True,
)
def test_storm_and_shrinker(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
    stress: float,
) -> None:
    """If this failed, memory given back under load would be lost, or used by two at once.

    As U4-storm, while the shrinker gives back what is free at that moment.
    """
    auditor = Auditor(guest, checks, counters, outside)
    must(guest, f": > {STORM}")
    shrinking = (
        f"scans=0; while [ -e {STORM} ]; do for file in {SCAN}; do "
        f"echo 0 0 {A_SCAN} > $file || exit 1; done; scans=$((scans + 1)); done; echo $scans"
    )
    with guest.start(shrinking) as shrinker:
        _storm(checks, int(SHRUNK_STEPS * stress), timeout=60 + 60 * stress)
        must(guest, f"rm {STORM}")
        shrinker.close_stdin()
        scans = shrinker.wait(60).stdout.decode().strip()
    released = counters().cache["Released"] - auditor.first.released
    checks.check("the shrinker gave pages back", released > 0, f"none in {scans or 'no'} scans")
    _check_end(guest, checks, oracle, judge, auditor)


@testcase("U4-references", needs_feature=True, config=["DEBUG_FS", "KUNIT", "SMP"], machine="smp-4")
def test_references(
    guest: Guest,
    checks: Checks,
    counters: Callable[[], Counters],
    outside: Callable[[], OutsideView],
) -> None:
    """If this failed, a page would be free for the next one while somebody uses it.

    Who looks up a page, or walks memory, may hold a reference to the page that a refill begins
    with. It has to be counted until it is dropped.
    """
    auditor = Auditor(guest, checks, counters, outside)
    checks.module("patchbed_references_kunit", timeout=60)
    auditor.check("after the walk", 0)


def _storm(checks: Checks, steps: int, timeout: float) -> None:
    log = checks.module(MODULE, f"steps={steps}", timeout=timeout)
    checks.check("the storm was as long as asked for", f"{steps} steps each" in log, "see the log")


def _check_end(
    guest: Guest, checks: Checks, oracle: Oracle, judge: Judge, auditor: Auditor
) -> None:
    end = auditor.check("after the storm", 0)
    # All that is free, and some that a refill brings.
    pages = end.free + MORE
    oracle.hold(pages, 0, "unmapped")
    held = oracle.held()
    judge.absent("after the storm", held)
    auditor.check("after the storm, all held", pages)
    left = holding(outside_contents(guest, [page.pfn for page in held]), WRITTEN)
    checks.check("after the storm: nothing that a thread wrote", not left, some(left))
