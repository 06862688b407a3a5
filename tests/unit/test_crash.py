# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.guest.crash import MAX_LINE, MAX_LINES, CrashDetector, Report
from harness.guest.frames import Frame, fingerprint, guilty
from harness.guest.printk import parse_line
from harness.guest.trouble import Kind, classify
from harness.outcomes import Outcome

# What serial consoles said while guests were hurt; recipes.toml tells how, and what is expected.
SAMPLES = Path(__file__).parent / "data" / "crashes"
RECIPES: dict[str, dict[str, Any]] = tomllib.loads((SAMPLES / "recipes.toml").read_text())
TROUBLES = sorted(name for name, recipe in RECIPES.items() if "kind" in recipe)
QUIET = sorted(set(RECIPES) - set(TROUBLES))
PANIC = "Kernel panic - not syncing: test"


def detect(*chunks: bytes) -> list[Report]:
    detector = CrashDetector()
    reports = [report for chunk in chunks for report in detector.feed(chunk)]
    return reports + detector.flush()


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.txt").read_bytes()


def verdict(reports: list[Report]) -> Report:
    """The report that a boot is judged by: the first that is fatal, else the first."""
    return next((report for report in reports if report.fatal), reports[0])


def test_every_sample_is_expected_and_the_corpus_is_large() -> None:
    assert {path.stem for path in SAMPLES.glob("*.txt")} == set(RECIPES)
    assert len(RECIPES) >= 60
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 1_000_000


@pytest.mark.parametrize("name", TROUBLES)
def test_names_each_trouble(name: str) -> None:
    recipe = RECIPES[name]
    reports = detect(sample(name))
    found = verdict(reports) if "warn" not in name or recipe["kind"] == "panic" else reports[0]
    assert (found.kind, found.function) == (recipe["kind"], recipe["function"])
    assert found.title.startswith(recipe["title"])
    assert any(line.endswith(found.title) for line in found.lines)
    assert len(found.lines) <= MAX_LINES
    assert re.fullmatch(r"[0-9a-f]{12}", found.fingerprint)
    assert len(reports) == recipe.get("reports", len(reports))


@pytest.mark.parametrize("name", QUIET)
def test_takes_nothing_for_a_trouble_that_is_none(name: str) -> None:
    assert detect(sample(name)) == []


def test_fingerprints_are_the_same_for_the_same_and_others_for_others() -> None:
    groups: dict[str, set[str]] = defaultdict(set)
    for name in TROUBLES:
        if "same" in RECIPES[name]:
            groups[RECIPES[name]["same"]].add(verdict(detect(sample(name))).fingerprint)
    assert len(groups) >= 5
    assert all(len(prints) == 1 for prints in groups.values()), groups
    assert len(set.union(*groups.values())) == len(groups)


def test_a_report_is_whole() -> None:
    (report, *_) = detect(sample("warn"))
    assert report.lines[0].endswith("------------[ cut here ]------------")
    assert report.lines[1].endswith("crasher: asked for")
    assert report.lines[-1].endswith("---[ end trace 0000000000000000 ]---")
    assert [frame.function for frame in report.frames[:2]] == ["crasher_warn", "crasher_init"]
    assert report.frames[0].module == "crasher"
    assert all(line.startswith("[") for line in report.lines)


@pytest.mark.parametrize("name", ["null", "spin", "sysrq-crash", "oom", "warn-everywhere"])
def test_byte_by_byte_is_the_same(name: str) -> None:
    data = sample(name)
    assert detect(*(data[i : i + 1] for i in range(len(data)))) == detect(data)


@given(st.lists(st.integers(0, 9000), max_size=12), st.sampled_from(TROUBLES))
def test_cuts_do_not_matter(cuts: list[int], name: str) -> None:
    data = sample(name)
    places = [0, *sorted(cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(places)]
    assert detect(*chunks) == detect(data)


@given(st.integers(0, 30000), st.sampled_from(TROUBLES + QUIET))
def test_a_log_that_ends_anywhere_is_read(end: int, name: str) -> None:
    for report in detect(sample(name)[:end]):
        assert report.title
        assert report.function or not report.function


@given(st.lists(st.binary(max_size=3 * MAX_LINE), max_size=4))
def test_any_bytes_are_taken(chunks: list[bytes]) -> None:
    assert detect(*chunks) == detect(b"".join(chunks))


TEXT = (
    "BUG: WARNING: panic Oops: stall detected Kernel not syncing: --- [ cut here ] RIP:"
    " 0010:f+0x1/0x2 Call Trace: <TASK> [   12.345678] <4> INFO: task blocked for more than \x1b[1m"
)
WORDS = st.sampled_from(TEXT.split(" "))


@given(st.lists(st.lists(WORDS, max_size=9).map(" ".join), max_size=20).map("\n".join))
def test_ordinary_text_without_printks_prefix_is_no_crash(text: str) -> None:
    plain = re.sub(r"\[ *\d+\.\d{6}\]", "[x]", text)
    assert detect(plain.encode()) == []


@given(st.sampled_from(TROUBLES), st.sampled_from(["\r\n", "\n", "\r\r\n", "\x1b[0m\n"]))
def test_line_ends_and_colours_do_not_matter(name: str, end: str) -> None:
    data = sample(name).replace(b"\r\n", b"\n")
    changed = data.replace(b"\n", end.encode())
    assert [r.title for r in detect(changed)] == [r.title for r in detect(data)]
    assert [r.fingerprint for r in detect(changed)] == [r.fingerprint for r in detect(data)]


@given(st.sampled_from(["null", "bug", "sysrq-crash", "divide"]), st.booleans())
def test_a_format_without_facility_is_read_too(name: str, caller: bool) -> None:
    mark = rb"\1[    C1]" if caller else rb"\1"
    plain = re.sub(rb"(?m)^<\d+>(\[ *\d+\.\d{6}\])", mark, sample(name))
    (found, *_) = detect(plain)
    assert (found.kind, found.function) == (RECIPES[name]["kind"], RECIPES[name]["function"])
    assert found.fingerprint == detect(sample(name))[0].fingerprint


@settings(max_examples=50)
@given(st.randoms(use_true_random=False), st.sampled_from(["null", "bug", "warn", "divide"]))
def test_interleaved_callers_are_taken_apart(random: Any, other: str) -> None:  # noqa: ANN401
    def lines(name: str, caller: bytes) -> list[bytes]:
        marked = re.sub(rb"(?m)^(<\d+>\[ *\d+\.\d{6}\])", rb"\1[" + caller + rb"]", sample(name))
        return [line + b"\n" for line in marked.split(b"\n")]

    left, right = lines("write-text", b"  T45"), lines(other, b"   C1")
    alone = {r.fingerprint for r in [*detect(b"".join(left)), *detect(b"".join(right))]}
    mixed = []
    while left or right:
        mixed.append((left if left and (not right or random.random() < 0.5) else right).pop(0))
    assert {report.fingerprint for report in detect(b"".join(mixed))} == alone


def test_what_names_another_facility_than_the_kernels_is_a_process() -> None:
    kernel, user = b"<6>[    1.000000] on\n", b"<8>[    2.000000] " + PANIC.encode() + b"\n"
    assert detect(user) == []
    assert detect(kernel + user) == []
    assert detect(kernel + user[3:]) == []
    assert len(detect(kernel + b"<0>" + user[3:])) == 1


def test_a_copy_of_a_report_is_none() -> None:
    assert len(detect(sample("warn"), b"\n", sample("warn"))) == 1


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("f", "f"),
        ("f.isra.0", "f"),
        ("f.constprop.0.cold", "f"),
        ("f.part.0.isra.12", "f"),
        ("__mutex_lock.constprop.0", "__mutex_lock"),
    ],
)
def test_what_the_compiler_appends_is_dropped(function: str, name: str) -> None:
    frames = [Frame(function, 1, 2), Frame("caller", 3, 4)]
    assert Frame(function).name == name
    assert guilty(Kind.OOPS, frames) == (name if name == "f" else "caller")
    assert fingerprint(Kind.OOPS, "x", frames) == fingerprint(
        Kind.OOPS, "y", [Frame(name, 9, 9), Frame("maybe", doubtful=True), Frame("caller", 1, 1)]
    )


def test_without_frames_numbers_are_not_in_the_fingerprint() -> None:
    one, two = (f"Kernel panic - not syncing: CPU {n} at 0x{n}f" for n in (1, 22))
    assert fingerprint(Kind.PANIC, one, []) == fingerprint(Kind.PANIC, two, [])
    assert fingerprint(Kind.PANIC, one, []) != fingerprint(Kind.PANIC, "another", [])
    assert fingerprint(Kind.PANIC, one, []) != fingerprint(Kind.OOPS, one, [])


@given(st.text())
def test_any_line_is_parsed(text: str) -> None:
    parse_line(text)
    classify(text)


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
