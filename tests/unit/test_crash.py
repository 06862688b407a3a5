# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.crash import MAX_LINE, MAX_LINES, CrashDetector, Report, classify
from harness.outcomes import Outcome

# What a serial console said from "Run /init" on, while tests/guest/modules/crasher.c, sysrq and
# the watchdogs did their worst.
SAMPLES = Path(__file__).parent / "data" / "console"
EXPECTED = {
    "bug": (Outcome.KERNEL_OOPS, "kernel BUG at /src/crasher.c:48!"),
    "divide": (Outcome.KERNEL_OOPS, "divide error: 0000 [#1] SMP"),
    "hang": (
        Outcome.KERNEL_HUNG_TASK,
        "INFO: task crasher-hung:47 blocked for more than 1 seconds.",
    ),
    "interrupt": (
        Outcome.KERNEL_OOPS,
        "BUG: kernel NULL pointer dereference, address: 0000000000000000",
    ),
    "invalid": (Outcome.KERNEL_OOPS, "invalid opcode: 0000 [#1] SMP"),
    "jump": (
        Outcome.KERNEL_OOPS,
        "BUG: kernel NULL pointer dereference, address: 0000000000000010",
    ),
    "non-canonical": (
        Outcome.KERNEL_OOPS,
        "general protection fault, maybe for address 0x0: 0000 [#1] SMP",
    ),
    "null": (
        Outcome.KERNEL_OOPS,
        "BUG: kernel NULL pointer dereference, address: 0000000000000000",
    ),
    "panic": (Outcome.KERNEL_PANIC, "Kernel panic - not syncing: crasher: asked for"),
    "rcu": (Outcome.KERNEL_LOCKUP, "rcu: INFO: rcu_sched self-detected stall on CPU"),
    "spin": (Outcome.KERNEL_LOCKUP, "watchdog: BUG: soft lockup - CPU#0 stuck for 6s! [insmod:45]"),
    "stack": (
        Outcome.KERNEL_OOPS,
        "BUG: TASK stack guard page was hit at 00000000a617acb1"
        " (stack is 0000000026d47931..000000004ef1c56f)",
    ),
    "sysrq-crash": (Outcome.KERNEL_PANIC, "Kernel panic - not syncing: sysrq triggered crash"),
    "warn": (
        Outcome.KERNEL_WARN,
        "WARNING: CPU: 1 PID: 46 at /src/crasher.c:58 crasher_warn+0xc/0x10 [crasher]",
    ),
    "warn-on": (
        Outcome.KERNEL_WARN,
        "WARNING: CPU: 1 PID: 45 at /src/crasher.c:63 crasher_warn_on+0x0/0x10 [crasher]",
    ),
    "wild-read": (
        Outcome.KERNEL_OOPS,
        "BUG: unable to handle page fault for address: ffffffffff700000",
    ),
    "write-text": (
        Outcome.KERNEL_OOPS,
        "BUG: unable to handle page fault for address: ffffffff81384790",
    ),
}
QUIET = ("lie", "poweroff", "sysrq-reboot")
PANIC = "Kernel panic - not syncing: test"


def detect(*chunks: bytes) -> list[Report]:
    detector = CrashDetector()
    reports = [report for chunk in chunks for report in detector.feed(chunk)]
    return reports + detector.flush()


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.txt").read_bytes()


def test_every_sample_is_expected() -> None:
    assert {path.stem for path in SAMPLES.glob("*.txt")} == {*EXPECTED, *QUIET}


@pytest.mark.parametrize("name", EXPECTED)
def test_names_each_trouble(name: str) -> None:
    first = detect(sample(name))[0]
    assert (first.outcome, first.title) == EXPECTED[name]
    assert first.fatal == (first.outcome is not Outcome.KERNEL_WARN)
    assert any(line.endswith(first.title) for line in first.lines)
    assert len(first.lines) <= MAX_LINES


@pytest.mark.parametrize("name", QUIET)
def test_takes_nothing_for_a_trouble_that_is_none(name: str) -> None:
    assert detect(sample(name)) == []


def test_an_oops_holds_its_function_and_its_panic_is_not_the_verdict() -> None:
    reports = detect(sample("null"))
    assert any("RIP: 0010:crasher_null+" in line for line in reports[0].lines)
    assert [report.outcome for report in reports[1:]] in ([], [Outcome.KERNEL_PANIC])


@pytest.mark.parametrize("name", [*EXPECTED, *QUIET])
def test_byte_by_byte_is_the_same(name: str) -> None:
    data = sample(name)
    assert detect(*(data[i : i + 1] for i in range(len(data)))) == detect(data)


@given(st.lists(st.integers(0, 4000), max_size=12), st.sampled_from(sorted(EXPECTED)))
def test_cuts_do_not_matter(cuts: list[int], name: str) -> None:
    data = sample(name)
    places = [0, *sorted(cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(places)]
    assert detect(*chunks) == detect(data)


@given(st.lists(st.binary(max_size=3 * MAX_LINE), max_size=4))
def test_any_bytes_are_taken(chunks: list[bytes]) -> None:
    assert detect(*chunks) == detect(b"".join(chunks))


@pytest.mark.parametrize(
    "line",
    [
        f"[    1.234567] {PANIC}\n",
        f"<0>[    1.234567] {PANIC}\r\n",
        f"[12345.234567][  T123] {PANIC}\n",
        f"[    1.234567][    C1] {PANIC}\n",
        f"\x1b[1;31m[    1.234567] \x1b[0m{PANIC}\x1b[m\n",
        f"/ # [    1.234567] {PANIC}",
        f"\0\0[    1.234567] {PANIC}\n",
        f"\xff\xfe half a character [    1.234567] {PANIC}\n",
    ],
)
def test_prefixes_colours_and_line_ends(line: str) -> None:
    reports = detect(line.encode("latin-1"))
    assert [report.title for report in reports] == [PANIC]


@pytest.mark.parametrize(
    "line",
    [
        f"{PANIC}\n",
        f"cat: {PANIC}\n",
        "BUG: kernel NULL pointer dereference, address: 0\n",
        f"[tag] {PANIC}\n",
        f"[    1.2345] {PANIC}\n",
        f"[    1.234567] someone quotes: {PANIC}\n",
    ],
)
def test_what_a_process_prints_is_no_crash(line: str) -> None:
    assert detect(line.encode()) == []


def test_a_warning_that_becomes_a_panic_is_the_panic() -> None:
    text = (
        "[    1.000000] WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1/0x2\n"
        "[    1.000001] Kernel panic - not syncing: kernel: panic_on_warn set ...\n"
        "[    1.000002] ---[ end Kernel panic - not syncing: panic_on_warn set ... ]---\n"
    )
    (report,) = detect(text.encode())
    assert report.outcome is Outcome.KERNEL_PANIC
    assert len(report.lines) == 3


def test_reports_end_where_the_kernel_says_so() -> None:
    text = (
        "[    1.000000] WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1/0x2\n"
        "a process says something meanwhile\n"
        "[    1.000001] ---[ end trace 0000000000000000 ]---\n"
        "[    1.000002] WARNING: CPU: 0 PID: 1 at mm/y.c:1 g+0x1/0x2\n"
    )
    detector = CrashDetector()
    first = detector.feed(text.encode())
    assert [len(report.lines) for report in first] == [2]
    assert detector.open
    assert [report.title for report in detector.flush()] == [
        "WARNING: CPU: 0 PID: 1 at mm/y.c:1 g+0x1/0x2"
    ]
    assert not detector.open


def test_a_report_without_end_is_cut() -> None:
    text = f"[    1.000000] {PANIC}\n" + "[    1.000001] and on and on\n" * 500
    (report,) = detect(text.encode())
    assert len(report.lines) == MAX_LINES


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("BUG: KASAN: slab-out-of-bounds in f+0x1/0x2", Outcome.KERNEL_OOPS),
        ("BUG: KFENCE: use-after-free read in f+0x1/0x2", Outcome.KERNEL_OOPS),
        ("BUG: KCSAN: data-race in f / g", Outcome.KERNEL_WARN),
        ("BUG: Bad page state in process insmod  pfn:01234", Outcome.KERNEL_WARN),
        ("BUG: sleeping function called from invalid context at mm/x.c:1", Outcome.KERNEL_WARN),
        ("BUG: scheduling while atomic: insmod/45/0x00000002", Outcome.KERNEL_WARN),
        ("WARNING: possible circular locking dependency detected", Outcome.KERNEL_WARN),
        ("watchdog: Watchdog detected hard LOCKUP on cpu 0", Outcome.KERNEL_LOCKUP),
        ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 0", Outcome.KERNEL_LOCKUP),
        ("INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {", Outcome.KERNEL_LOCKUP),
        ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", Outcome.KERNEL_LOCKUP),
        ("traps: PANIC: double fault, error_code: 0x0", Outcome.KERNEL_OOPS),
        ("Oops: 0002 [#1] PREEMPT SMP NOPTI", Outcome.KERNEL_OOPS),
        ("Oops: general protection fault, 0000 [#1] SMP", Outcome.KERNEL_OOPS),
        ("stack segment: 0000 [#1] SMP", Outcome.KERNEL_OOPS),
        ("Run /init as init process", None),
        ("Debug: WARNING: not at the start", None),
    ],
)
def test_kinds_by_first_line(text: str, outcome: Outcome | None) -> None:
    kind = classify(text)
    assert (kind and kind.outcome) is outcome
