# SPDX-License-Identifier: GPL-2.0-or-later
"""M9: code that the kernel writes at run time: kprobes, ftrace's trampolines, BPF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from harness.guest.guest import Guest
from harness.measure.directmap import KIB_4, OutsideView
from harness.testing.account import Account, account, check_account
from harness.testing.alias import check_alias, check_given_back, check_no_alias, check_own
from harness.testing.checks import Checks
from harness.testing.counters import Counters
from harness.testing.judging import Judge, holding, outside_contents, some
from harness.testing.oracle import Oracle, Page, must
from harness.testing.testcase import testcase

if TYPE_CHECKING:
    from harness.guest.shell import Process

DEBUGFS = "/sys/kernel/debug"
TRACING = "/sys/kernel/tracing"
# Where modules are, at most (Documentation/x86/x86_64/mm.rst).
MODULES = range(0xFFFF_FFFF_A000_0000, 0xFFFF_FFFF_FF00_0000)
PROBES = "patchbed_kprobes"
CALLS = 40
# The kernel optimises probes later and elsewhere: wait for its list of them.
LIST = f"{DEBUGFS}/kprobes/list"
OPTIMISED = (
    f"for i in $(seq 60); do [ $(grep -c OPTIMIZED {LIST}) -eq {CALLS} ] && break; sleep 0.25; done"
)
# A worker frees the detours. It holds the lock that turning optimisation off takes (kprobe_mutex in
# kernel/kprobes.c).
OPTIMISE = "/proc/sys/debug/kprobes-optimization"
GONE = f"if [ -e {OPTIMISE} ]; then echo 0 > {OPTIMISE} && echo 1 > {OPTIMISE}; fi"
INSTANCES = 6
PROGRAMS = 24
WORD = 0x6BF6_C0DE_6BF6_C0DE


@dataclass
class Code:
    """Judges pages of code: while they are used, and once they are not."""

    guest: Guest
    checks: Checks
    oracle: Oracle
    judge: Judge
    outside: Callable[[], OutsideView]
    counters: Callable[[], Counters]
    feature: bool

    def account(self) -> Account:
        """Return the direct map's account once deferred work is done."""
        self.oracle.control("settle")
        return account(self.counters(), self.outside())

    def pages(self, addresses: Sequence[int]) -> list[Page]:
        """Return the pages at and behind `addresses`, each once."""
        starts = sorted({address & -KIB_4 for address in addresses})
        return self.oracle.addresses((start, 1) for start in starts)

    def in_use(self, pages: Sequence[Page]) -> None:
        """Record whether `pages` are RX where they run, and not writable anywhere."""
        view = self.outside()
        alias = self.oracle.frames(page.pfn for page in pages)
        check_own(self.checks, "code", pages, view, writable=False, executable=True)
        if self.feature:
            check_no_alias(self.judge, view, "code", pages, alias)
        else:
            check_alias(self.judge, view, "code", alias, writable=False)
        both = [
            f"{leaf.virtual:#x}"
            for leaf in view.leaves
            if leaf.virtual in MODULES and leaf.writable and leaf.executable
        ]
        reason = f"{len(both)} mappings: {', '.join(both[:4])}"
        self.checks.check("nothing is writable and executable, from outside", not both, reason)

    def gone(self, pages: Sequence[Page], before: Account, kept: int = 0) -> None:
        """Record whether `pages` are ordinary memory again, or free in a cache.

        Since `before`, `kept` pages more are in use for the next time.
        """
        self.oracle.control("settle")
        view, after = self.outside(), self.counters()
        frames = self.oracle.frames(page.pfn for page in pages)
        free = after.cache.get("Free")
        check_given_back(self.judge, self.checks, view, "given back", frames, free)
        now = account(after, view)
        if not self.feature:
            before = Account(
                before.mapped, before.listed, before.read_only + kept * KIB_4, before.cached
            )
        check_account(self.checks, before, now)


@pytest.fixture
def code(
    guest: Guest,
    checks: Checks,
    oracle: Oracle,
    judge: Judge,
    outside: Callable[[], OutsideView],
    counters: Callable[[], Counters],
    feature: bool,
) -> Code:
    """Judges pages of code."""
    return Code(guest, checks, oracle, judge, outside, counters, feature)


def _symbols(guest: Guest, name: str) -> list[int]:
    """Return the addresses that kallsyms has for `name`; the kernel's own code has a part there."""
    lines = must(guest, f"grep -w {name} /proc/kallsyms || true").splitlines()
    return [int(line.split()[0], 16) for line in lines if "__builtin__" in line]


@testcase(
    "M9-kprobes",
    config=["KPROBES", "MODULES", "MODULE_UNLOAD", "STRICT_MODULE_RWX", "DEBUG_FS", "KALLSYMS"],
    profile="wide",
)
def test_kprobes(guest: Guest, checks: Checks, code: Code) -> None:
    """If this failed, the copies of probed instructions could be written, or would stay.

    40 probes, which the kernel turns into jumps to detours of their own, need several pages of
    code, which are RX and nowhere writable; once the probes are gone the pages are given back,
    but for those that the kernel keeps for the next one.
    """
    load = f"insmod /patchbed/modules/{PROBES}.ko && {OPTIMISED}"
    unload = f"rmmod {PROBES} && {GONE}"
    # The kernel keeps a page of each kind after the first use.
    must(guest, f"{load} && {unload}", timeout=120)
    kept, before = _probe_pages(guest), code.account()
    must(guest, load, timeout=120)
    hits, right = must(guest, f"cat {DEBUGFS}/{PROBES}").splitlines()
    checks.check("all probes are hit", hits == f"{CALLS} of {CALLS}", hits)
    checks.check("all probed functions do their work", right == f"{CALLS} right", right)
    used = code.pages(_probe_pages(guest))
    checks.check("more pages than are kept", len(used) > len(kept), f"{len(used)} pages")
    code.in_use(used)
    must(guest, unload, timeout=120)
    left = _probe_pages(guest)
    gone = [page for page in used if page.address not in left]
    code.gone(gone, before, kept=len(left) - len(kept))


def _probe_pages(guest: Guest) -> list[int]:
    return [
        *_symbols(guest, "kprobe_insn_page"),
        *_symbols(guest, "kprobe_optinsn_page"),
    ]


@testcase(
    "M9-ftrace",
    config=["FUNCTION_TRACER", "DYNAMIC_FTRACE", "STRICT_MODULE_RWX", "DEBUG_FS", "KALLSYMS"],
    profile="wide",
)
def test_ftrace(guest: Guest, checks: Checks, code: Code) -> None:
    """If this failed, the trampolines of a tracer could be written, or would stay.

    Each instance of the function tracer has one: RX, nowhere writable, and given back once the
    instance is gone.
    """
    must(guest, f"test -e {TRACING}/trace || mount -t tracefs tracefs {TRACING}")
    kept, before = _symbols(guest, "ftrace_trampoline"), code.account()
    with _traced(guest):
        # Who reads the traces would be traced, too, and never come to their end.
        must(guest, f"for i in {TRACING}/instances/*; do echo 0 > $i/tracing_on; done")
        hits = must(guest, f"grep -c vfs_read {TRACING}/instances/*/trace").splitlines()
        blind = [line for line in hits if line.endswith(":0")]
        checks.check("every instance traces", len(hits) == INSTANCES and not blind, "; ".join(hits))
        used = code.pages([at for at in _symbols(guest, "ftrace_trampoline") if at not in kept])
        checks.check("a page for each", len(used) >= INSTANCES, f"{len(used)} pages")
        code.in_use(used)
    left = _symbols(guest, "ftrace_trampoline")
    checks.check("no trampoline is left", left == kept, f"{len(left)} trampolines")
    code.gone(used, before)


@contextmanager
def _traced(guest: Guest) -> Iterator[None]:
    instances = f"for i in $(seq {INSTANCES}); do cd {TRACING}/instances"
    must(
        guest,
        f"{instances} && mkdir patchbed$i && cd patchbed$i && echo vfs_read > set_ftrace_filter"
        " && echo function > current_tracer || exit 1; done",
        timeout=60,
    )
    try:
        yield
    finally:
        if guest.death is None:
            must(
                guest,
                f"{instances} && echo nop > patchbed$i/current_tracer && rmdir patchbed$i"
                " || exit 1; done",
                timeout=120,
            )


@testcase(
    "M9-bpf-jit",
    config=["BPF_SYSCALL", "BPF_JIT", "STRICT_MODULE_RWX", "DEBUG_FS"],
    profile="wide",
)
def test_bpf_jit(guest: Guest, checks: Checks, code: Code, feature: bool) -> None:
    """If this failed, compiled BPF programs could be written, or would stay after they are gone.

    Programs full of a mark run, compiled; their pages are RX and nowhere writable, QEMU finds the
    mark in them, and once they are closed the pages are given back, from a cache without the mark.
    """
    must(guest, "echo 1 > /proc/sys/net/core/bpf_jit_enable")
    with _programs(guest):
        pass
    before = code.account()
    mark = WORD.to_bytes(8, "little")
    with _programs(guest) as addresses:
        checks.check("all are compiled", len(addresses) >= PROGRAMS, f"{len(addresses)} functions")
        used = code.pages(addresses)
        found = holding(outside_contents(guest, [page.pfn for page in used]), mark)
        checks.check("QEMU read the code", len(found) == len(used) > 0, f"{len(found)} pages")
        code.in_use(used)
    # A program is freed after a grace period, by a work item.
    must(guest, "sleep 1")
    # Programs share pages of 2M; one that the kernel made for itself at boot keeps them.
    kept = {page.pfn for page in code.pages([page.address for page in used]) if page.present}
    left = holding(outside_contents(guest, sorted(kept)), mark)
    checks.check("kept for other programs: no mark is left, from outside", not left, some(left))
    used = [page for page in used if page.pfn not in kept]
    if not used:
        checks.skip("given back", "all of it lies beside a program that the kernel made at boot")
        return
    frames = code.oracle.frames(page.pfn for page in used)
    absent = [page.pfn for page in frames if not page.present]
    if feature:
        left = holding(outside_contents(guest, absent), mark)
        checks.check("free in the cache: no mark is left, from outside", not left, some(left))
    code.gone(used, before)


@contextmanager
def _programs(guest: Guest) -> Iterator[list[int]]:
    """Hold BPF programs; gives the addresses of their code, every page of it."""
    with guest.start(f"/patchbed/bin/bpf_hold {PROGRAMS} {WORD:#x}") as process:
        addresses = _read_addresses(process)
        yield addresses
        process.close_stdin()
        process.wait(30)


def _read_addresses(process: Process) -> list[int]:
    addresses: list[int] = []
    while (line := process.readline(30).decode().split()) and line[0] == "code":
        start, size = int(line[1], 16), int(line[2])
        addresses += range(start, start + size, KIB_4)
    if line != ["held"]:
        process.close_stdin()
        said = process.wait(30).stderr.decode(errors="replace").strip()
        raise AssertionError(f"bpf_hold: {said or line}")
    return addresses
