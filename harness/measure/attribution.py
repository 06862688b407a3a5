# SPDX-License-Identifier: GPL-2.0-or-later
"""Who splits the direct map: stacks that a guest counted, folded to call sites.

Compilers put `__split_large_page` into its caller, so that there is no place of its own to probe.
But it ends with a flush of every TLB (arch/x86/mm/pat/set_memory.c), and nothing else does so from
that caller: a probe on `flush_tlb_all` sees each split, and the frame above it tells it from other
flushes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import ParseError
from harness.guest.script import ScriptResult, Step
from harness.measure.vmstat import LEVEL2_SPLITS, LEVEL3_SPLITS, deltas, parse_vmstat
from harness.measure.workload import AFTER, BEFORE, END, Workload

TRACING = "/sys/kernel/tracing"
_EVENT = "patchbed_split"
HISTOGRAM = f"{TRACING}/events/kprobes/{_EVENT}/hist"
_PROBED = "flush_tlb_all"
# What a kernel needs for it.
CONFIG = ("KPROBE_EVENTS", "HIST_TRIGGERS", "STACKTRACE")
_TRIGGER = f"{TRACING}/events/kprobes/{_EVENT}/trigger"
# Stacks are counted in the kernel, so that no buffer overflows; `size` is how many different ones.
# Set up before all else: it takes memory, and that is what workloads have prepared when they begin.
SET_UP = f"""
[ -e {TRACING}/kprobe_events ] || mount -t tracefs tracefs {TRACING} || exit 1
echo 'p:{_EVENT} {_PROBED}' > {TRACING}/kprobe_events || exit 1
echo 'hist:keys=stacktrace:size=2048:pause' > {_TRIGGER}
"""
# Appended: to open the file anew takes its triggers away.
BEGIN = f"echo 'hist:keys=stacktrace:size=2048:cont' >> {_TRIGGER}"

_PREPARE, _COUNT, _READ = "prepare to count stacks", "count stacks", "read stacks"
_WHAT = "a histogram of stacks"
_OPEN = re.compile(r"^\{ (?:common_)?stacktrace:[ \t]*$")
_CLOSE = re.compile(r"^\} hitcount:[ \t]+([0-9]{1,18})[ \t]*$", re.ASCII)
_FRAME = re.compile(r"^([^\s+]{1,200})\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}(?: \[([^\]\s]+)\])?$")
_ADDRESS = re.compile(r"^(?:0x)?[0-9a-f]{1,16}$")
_TOTAL = re.compile(r"^[ \t]+(Hits|Entries|Dropped): ([0-9]{1,18})[ \t]*$", re.ASCII)
# What compilers add to a name.
_CLONE = re.compile(r"\.(?:isra|part|constprop|cold|llvm)(?:\.[0-9]+)*")
# Where a split is made, be it a function of its own or put into its callers.
_SPLITTERS = frozenset(
    ("__split_large_page", "split_large_page", "__change_page_attr", "__change_page_attr_set_clr")
)
# On the way from who wants a page changed to the split, and from the kernel's door to who wants it.
_PLUMBING = re.compile(
    r"_*(?:split_large_page|change_page_attr\w*|cpa_\w+|set_direct_map_\w+|set_memory_\w+"
    r"|set_pages?_\w+|kernel_map_pages)"
)
_DOOR = re.compile(
    r"entry_\w+|asm_\w+|exc_\w+|do_syscall_64|x64_sys_call|do_user_addr_fault|_*handle_mm_fault"
    r"|_*do_fault|do_read_fault|do_shared_fault|ret_from_fork\w*|kthread|worker_thread"
    r"|process_one_work|process_scheduled_works"
)
# Frames of a call site: enough to tell who a cache was refilled for.
_DEPTH = 5


@dataclass(frozen=True)
class Histogram:
    """Stacks with how often each was met, names of functions from the inside out.

    `dropped` are hits that there was no room for.
    """

    stacks: Mapping[tuple[str, ...], int]
    dropped: int = 0


@dataclass(frozen=True)
class Site:
    """A call site, how many splits it made in each variant, and how many more than the first."""

    name: str
    counts: Mapping[str, int]
    differences: Mapping[str, int]


@dataclass(frozen=True)
class Counted:
    """What one boot says: `stacks` that split (inside out), `splits` by /proc/vmstat meanwhile.

    `dropped` are hits that there was no room for.
    """

    stacks: Mapping[tuple[str, ...], int]
    splits: int
    dropped: int = 0


def steps_of(workload: Workload, world: int) -> list[Step]:
    """Return the batch of a boot of `workload` in which splits are counted by their stacks.

    From the first pull until after the last, as the splits that are measured.
    """
    steps = workload.steps(world)
    before = next(place for place, step in enumerate(steps) if step.name == BEFORE)
    steps.insert(before, Step(_COUNT, BEGIN))
    return [Step(_PREPARE, SET_UP), *steps, Step(_READ, ":", files=(HISTOGRAM,))]


def counted(result: ScriptResult) -> Counted:
    """Return what a boot that came through says.

    Raises:
        ParseError: a file is not of its form, or is missing.
    """
    files = {step.name: step.files for step in result.steps}
    text = files.get(_READ, {}).get(HISTOGRAM)
    if text is None:
        raise ParseError(_WHAT, 0, f"{HISTOGRAM} can't be read in the guest")
    histogram = parse_histogram(text.decode(errors="replace"))
    last = END if END in files else AFTER
    before, after = (
        parse_vmstat(files[name].get("/proc/vmstat", b"").decode(errors="replace"))
        for name in (BEFORE, last)
    )
    changes = deltas(before, after)
    splits = changes.get(LEVEL2_SPLITS, 0) + changes.get(LEVEL3_SPLITS, 0)
    return Counted(splits_of(histogram), splits, histogram.dropped)


def parse_histogram(text: str) -> Histogram:
    """Return what tracefs prints of a histogram whose key is the stack.

    Raises:
        ParseError: a line is neither a frame nor the end of a stack, or totals do not fit.
    """
    stacks: Counter[tuple[str, ...]] = Counter()
    totals: dict[str, int] = {}
    entries = 0
    frames: list[str] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if _OPEN.match(line) and frames is None:
            frames = []
        elif (end := _CLOSE.match(line)) and frames is not None:
            stacks[tuple(frames)] += int(end[1])
            entries += 1
            frames = None
        elif frames is not None:
            frames.append(_frame(line.strip(), number))
        elif total := _TOTAL.match(line):
            totals[total[1]] = int(total[2])
        elif line.strip() and not line.startswith("#") and line.strip() != "Totals:":
            raise ParseError(_WHAT, number, f"neither a stack nor a total: {line[:80]!r}")
    if frames is not None or totals.keys() != {"Hits", "Entries", "Dropped"}:
        raise ParseError(_WHAT, 0, "it is cut: no totals at its end")
    if totals["Entries"] != entries or totals["Hits"] != sum(stacks.values()):
        raise ParseError(_WHAT, 0, f"{entries} stacks do not make its totals: {totals}")
    return Histogram(dict(stacks), totals["Dropped"])


def _frame(text: str, number: int) -> str:
    if found := _FRAME.match(text):
        return _CLONE.sub("", found[1]) + (f" [{found[2]}]" if found[2] else "")
    if _ADDRESS.match(text):
        return text
    raise ParseError(_WHAT, number, f"not a frame: {text[:80]!r}")


def splits_of(histogram: Histogram) -> dict[tuple[str, ...], int]:
    """Return the stacks that split the direct map, from the splitter outwards, with their counts.

    What the probe itself has on the stack is taken off; other flushes are left out.
    """
    found: Counter[tuple[str, ...]] = Counter()
    for stack, count in histogram.stacks.items():
        if _PROBED not in stack:
            continue
        callers = stack[stack.index(_PROBED) + 1 :]
        if callers and callers[0] in _SPLITTERS:
            found[callers] += count
    return dict(found)


def site_of(stack: Sequence[str]) -> str:
    """Return the call site of a split: who wanted pages changed, and for whom, inside out.

    The functions that change pages are left out, and those that any call goes through.
    """
    start = next(
        (place for place, name in enumerate(stack) if not _PLUMBING.fullmatch(name)), len(stack)
    )
    names = [name for name in stack[start:] if not _DOOR.fullmatch(name)]
    return " < ".join(names[:_DEPTH]) or (stack[-1] if stack else "unknown")


def sites(stacks: Mapping[str, Mapping[tuple[str, ...], int]]) -> list[Site]:
    """Return the call sites of several variants (`stacks` by variant, the reference first).

    Those that differ most come first.
    """
    by_variant: dict[str, Counter[str]] = {}
    for variant, mine in stacks.items():
        by_variant[variant] = Counter()
        for stack, count in mine.items():
            by_variant[variant][site_of(stack)] += count
    names = sorted({name for counts in by_variant.values() for name in counts})
    found = [_site(name, by_variant) for name in names]
    return sorted(found, key=lambda one: (-_largest(one.differences), -_largest(one.counts)))


def _site(name: str, by_variant: Mapping[str, Mapping[str, int]]) -> Site:
    counts = {variant: mine.get(name, 0) for variant, mine in by_variant.items()}
    reference = next(iter(counts.values()))
    differences = {variant: count - reference for variant, count in [*counts.items()][1:]}
    return Site(name, counts, differences)


def _largest(values: Mapping[str, int]) -> int:
    return max(map(abs, values.values()), default=0)


def folded(stacks: Mapping[tuple[str, ...], int]) -> str:
    """Return stacks as flame graphs take them: "outermost;...;innermost COUNT", a line each."""
    lines = [
        f"{';'.join(name.replace(' ', '_') for name in reversed(stack))} {count}"
        for stack, count in stacks.items()
    ]
    return "".join(f"{line}\n" for line in sorted(lines))
