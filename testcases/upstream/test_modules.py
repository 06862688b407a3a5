# SPDX-License-Identifier: GPL-2.0-or-later
"""K3 to K6: the kernel's own test modules, from its own build."""

from __future__ import annotations

from collections.abc import Sequence

from harness.guest.guest import Guest
from harness.testing.checks import Checks
from harness.testing.testcase import testcase
from harness.testing.upstream import (
    Loaded,
    Tally,
    bpf_tallies,
    load_own,
    meminit_tallies,
    vmalloc_tallies,
    without_watchdogs,
)

# All kinds of test in test_vmalloc but align_shift_alloc_test (64), which is meant to fail.
VMALLOC_TESTS = 0x7FF & ~64
VMALLOC_THREADS = 4
VMALLOC_LOOPS = 50
LIMIT = 300.0
# Of test_bpf's programs, of which every kernel has at least so many.
BPF_PROGRAMS = 400
BPF_ALL = 1000


@testcase("K3-test-vmalloc", config=["TEST_VMALLOC"], profile="upstream")
def test_vmalloc(guest: Guest, checks: Checks, stress: float) -> None:
    """If this failed, vmalloc, whose limited form module_alloc is, would break under load."""
    loops = max(1, round(VMALLOC_LOOPS * stress))
    loaded = load_own(
        guest,
        "test_vmalloc",
        f"nr_threads={VMALLOC_THREADS}",
        f"test_loop_count={loops}",
        f"run_test_mask={VMALLOC_TESTS}",
        timeout=LIMIT,
    )
    # It refuses to stay loaded (EAGAIN) when it is done, whatever came of it.
    _record(checks, loaded, vmalloc_tallies(loaded.lines))


@testcase("K4-test-bpf", config=["TEST_BPF", "BPF_JIT"], profile="upstream", clean=True)
def test_bpf(guest: Guest, checks: Checks, stress: float) -> None:
    """If this failed, BPF programs, whose code is in pages of module_alloc, would run wrong.

    With the compiler on: none may be left to the interpreter. The suite's later programs, which
    try every size of operand, take minutes under emulation: they come with more --stress.
    """
    guest.run("echo 1 > /proc/sys/net/core/bpf_jit_enable")
    last = round(BPF_PROGRAMS * stress) - 1
    some = [f"test_range=0,{last}"] if last < BPF_ALL else []
    for suite, parameters in (
        ("test_bpf", some),
        ("test_tail_calls", []),
        ("test_skb_segment", []),
    ):
        with without_watchdogs(guest):
            loaded = load_own(
                guest, "test_bpf", f"test_suite={suite}", *parameters, timeout=LIMIT * stress
            )
        tallies = bpf_tallies(loaded.lines)
        _record(checks, loaded, tallies)
        for tally in tallies:
            reason = f"{tally.interpreted} programs were interpreted"
            checks.check(f"{tally.name}: all compiled", tally.interpreted == 0, reason)
        checks.check(f"{suite}: it loads", loaded.status == 0, loaded.said)


def _test_meminit(guest: Guest, checks: Checks) -> None:
    loaded = load_own(guest, "test_meminit", timeout=LIMIT)
    _record(checks, loaded, meminit_tallies(loaded.lines))
    checks.check("it loads", loaded.status == 0, loaded.said)


@testcase(
    "K5-test-meminit-on-alloc",
    config=["TEST_MEMINIT"],
    profile="upstream",
    kernel_args=["init_on_alloc=1"],
)
def test_meminit_on_alloc(guest: Guest, checks: Checks) -> None:
    """If this failed, memory would be handed out with what it held before."""
    _test_meminit(guest, checks)


@testcase(
    "K5-test-meminit-on-free",
    config=["TEST_MEMINIT"],
    profile="upstream",
    kernel_args=["init_on_free=1"],
)
def test_meminit_on_free(guest: Guest, checks: Checks) -> None:
    """If this failed, memory would keep what it held when it was freed."""
    _test_meminit(guest, checks)


@testcase("K6-test-free-pages", config=["TEST_FREE_PAGES"], profile="upstream")
def test_free_pages(guest: Guest, checks: Checks) -> None:
    """If this failed, a page that somebody looks at while it is freed would leak, or free twice.

    The module frees two million blocks of eight pages, each while one page of it is held; a
    leak of even one in twenty would fill the guest's memory.
    """
    before = _free_kilobytes(guest)
    with without_watchdogs(guest):
        loaded = load_own(guest, "test_free_pages", timeout=LIMIT)
    done = any("Test completed" in line for line in loaded.lines)
    checks.check("it completes", loaded.status == 0 and done, loaded.said)
    lost = before - _free_kilobytes(guest)
    checks.check("nothing leaks", lost < LEAST_LEAK, f"{lost} kB less are free than before")


# What a leak of one in a thousand blocks would come to, in kB.
LEAST_LEAK = 2 * 1000 * 1000 // 1000 * 8 * 4


def _free_kilobytes(guest: Guest) -> int:
    return int(guest.run("sed -n 's/MemFree: *//p' /proc/meminfo").stdout.split()[0])


def _record(checks: Checks, loaded: Loaded, tallies: Sequence[Tally]) -> None:
    checks.check("it says what came of it", bool(tallies), loaded.said or "the log has none of it")
    for tally in tallies:
        good = tally.failed == 0 and tally.passed > 0
        checks.check(tally.name, good, f"{tally.failed} failed, {tally.passed} passed")
