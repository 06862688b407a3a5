# SPDX-License-Identifier: GPL-2.0-or-later
"""The values of one boot's metrics, out of what its batch brought back.

A value's name says where it comes from. The first part is the span: none for what the work
changed, `end:` for what is changed once all is given back, `at:` for what there is before the
work. Then the source:

- `vmstat.NAME`: a counter of /proc/vmstat;
- `meminfo.NAME`: a row of /proc/meminfo, in kB; `meminfo.MemUsed` is MemFree, taken away;
- `leaves.4K`, `leaves.2M`, `leaves.1G`, `leaves.all`: entries that map the direct map, by size;
  all of them is how many TLB entries it takes to cover it;
- `leaves.absent`: 4K entries of it that map nothing; `leaves.ranges`: pieces that it consists of;
- `cache.Free`, `cache.Cached`, `cache.Released`: pages of the cache of unmapped pages;
- `interrupts.CAL`, `interrupts.TLB`, `interrupts.RES`: function calls, TLB shootdowns and
  rescheduling that CPUs ask of each other, summed over those that took them;
- `cpa.NAME`: a row of x86/cpa_stats, see `harness.measure.cpa`;
- `out.NAME`: a line "NAME VALUE" that a step printed.

On one CPU nothing is sent to another: `interrupts.NAME` and `vmstat.nr_tlb_remote_...` have no
value there, not 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.errors import ParseError
from harness.guest.script import ScriptResult
from harness.measure import page_tables
from harness.measure.cache import parse_unmapped_alloc
from harness.measure.cpa import parse_cpa_stats
from harness.measure.interrupts import parse_interrupts
from harness.measure.meminfo import parse_meminfo
from harness.measure.vmstat import parse_vmstat
from harness.measure.workload import AFTER, BEFORE, END, Workload

# What flushes of other CPUs' TLBs are counted by, where the kernel has CONFIG_DEBUG_TLBFLUSH.
_REMOTE_FLUSHES = "vmstat.nr_tlb_remote_"
_OUT = re.compile(r"^([a-z][a-z0-9_]*) ([0-9]{1,19})$", re.ASCII | re.MULTILINE)

_SPLITS = re.compile(r"^at ([0-9]{1,3}) ([0-9]{1,19})$", re.ASCII | re.MULTILINE)


def values_of(workload: Workload, result: ScriptResult) -> dict[str, float]:
    """Return the values of a boot that came through, by name.

    Raises:
        ParseError: a file is not of its form, or a metric that is declared has no value.
    """
    pulls = {step.name: snapshot(step.files) for step in result.steps if step.name in _PULLS}
    phases = {step.name: step.phase for step in workload.file.steps}
    before = pulls[BEFORE]
    values = {f"at:{name}": value for name, value in before.items()}
    for span, pull in (("", AFTER), ("end:", END)):
        if pull in pulls:
            values |= {
                f"{span}{name}": pulls[pull][name] - value
                for name, value in before.items()
                if name in pulls[pull]
            }
    spans = {"prepare": "at:", "work": "", "release": "end:"}
    for step in result.steps:
        if step.name in phases and step.completed is not None:
            said = step.completed.stdout.decode(errors="replace")
            span = spans[phases[step.name]]
            values |= {f"{span}out.{name}": float(number) for name, number in _OUT.findall(said)}
    wanted = {metric.source for metric in workload.metrics}
    values = {
        name: value
        for name, value in values.items()
        if name in wanted or _worth_keeping(name, worked=AFTER in pulls)
    }
    missing = [one.source for one in workload.metrics if one.source not in values]
    if missing:
        raise ParseError(
            f"workload {workload.key}",
            0,
            f"no value for {', '.join(missing)}",
            hint="does the kernel have what `config` in workload.toml names?",
        )
    return values


_PULLS = (BEFORE, AFTER, END)


def _worth_keeping(name: str, *, worked: bool) -> bool:
    """Return whether a value is looked at that no metric names.

    A boot's own totals differ with all that is random in it; where there is work, its changes
    are what counts. Most of meminfo says in kB what vmstat says in pages.
    """
    span, _, source = name.rpartition(":")
    if worked and span == "at":
        return False
    return not source.startswith("meminfo.") or source.startswith("meminfo.DirectMap")


def splits_of(workload: Workload, result: ScriptResult) -> dict[int, int]:
    """Return how many 2M mappings of the direct map the work had split, by percent of it done.

    That is what a step of the work says in lines "at PERCENT SPLITS", its splits since the kernel
    booted, less those at 0 percent.
    """
    phases = {step.name: step.phase for step in workload.file.steps}
    said = [
        step.completed.stdout.decode(errors="replace")
        for step in result.steps
        if phases.get(step.name) == "work" and step.completed is not None
    ]
    counts = {
        int(percent): int(splits) for text in said for percent, splits in _SPLITS.findall(text)
    }
    first = counts.get(0)
    return {} if first is None else {percent: one - first for percent, one in counts.items()}


def snapshot(files: Mapping[str, bytes]) -> dict[str, float]:
    """Return what one pull says, by source.

    Raises:
        ParseError: a file is not of its form.
    """
    texts = {path.rsplit("/", 1)[-1]: data.decode(errors="replace") for path, data in files.items()}
    values: dict[str, float] = {}
    for name, count in parse_vmstat(texts.get("vmstat", "")).items():
        values[f"vmstat.{name}"] = float(count)
    sizes = parse_meminfo(texts.get("meminfo", ""))
    for name, size in sizes.items():
        values[f"meminfo.{name}"] = float(size)
    if "MemFree" in sizes:
        values["meminfo.MemUsed"] = -float(sizes["MemFree"])
    if tables := texts.get("kernel"):
        values |= _leaves(tables)
    if cache := texts.get("unmapped_alloc"):
        for row, pages in parse_unmapped_alloc(cache).items():
            values[f"cache.{row}"] = float(pages)
    for name, count in parse_cpa_stats(texts.get("cpa_stats", "")).items():
        values[f"cpa.{name}"] = float(count)
    if interrupts := texts.get("interrupts"):
        values = _between_cpus(values, interrupts)
    return values


def _between_cpus(values: Mapping[str, float], text: str) -> dict[str, float]:
    """Return `values` with what CPUs sent each other; on one CPU without all that says so."""
    interrupts = parse_interrupts(text)
    if interrupts.cpus == 1:
        # A flush for all CPUs counts as remote even so (flush_tlb_all() in arch/x86/mm/tlb.c).
        return {
            name: value for name, value in values.items() if not name.startswith(_REMOTE_FLUSHES)
        }
    sums = interrupts.between_cpus().items()
    return {**values, **{f"interrupts.{name}": float(count) for name, count in sums}}


def _leaves(text: str) -> dict[str, float]:
    ranges = page_tables.parse_page_tables(text)
    counts = page_tables.count_leaves(ranges)
    mine = [one for one in ranges if one.section == page_tables.DIRECT_MAP and one.leaf]
    return {
        **{f"leaves.{size}": float(count) for size, count in counts.items()},
        "leaves.all": float(sum(counts.values())),
        "leaves.absent": float(page_tables.count_absent(ranges)["4K"]),
        "leaves.ranges": float(len(mine)),
    }
