# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a guest's counters in one go."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.guest.guest import Guest
from harness.measure.cache import parse_unmapped_alloc
from harness.measure.meminfo import parse_meminfo
from harness.measure.page_tables import count_leaves, parse_page_tables
from harness.measure.pull import PULL_COMMAND, split_pull, write_pull
from harness.measure.vmstat import parse_vmstat


@dataclass(frozen=True)
class Counters:
    """What a guest's kernel says of itself at one moment.

    `vmstat` is /proc/vmstat, `meminfo` in kB, `leaves` the direct map's mappings by size ("4K",
    "2M", "1G"), `cache` debugfs `unmapped_alloc` in pages by row; what a kernel lacks is empty.
    """

    vmstat: dict[str, int] = field(default_factory=dict)
    meminfo: dict[str, int] = field(default_factory=dict)
    leaves: dict[str, int] = field(default_factory=dict)
    cache: dict[str, int] = field(default_factory=dict)


def read_counters(guest: Guest, folder: Path | None = None) -> Counters:
    """Return the guest's counters; the raw files go into `folder` where one is given.

    Raises:
        GuestDied: the guest is gone.
        CommandTimeout: it did not answer in time.
        ParseError: a file is not of its form.
    """
    parts = split_pull(guest.run(PULL_COMMAND).stdout)
    if folder is not None:
        write_pull(parts, folder)
    texts = {name: data.decode(errors="replace") for name, data in parts.items()}
    tables = texts.get("page_tables", "")
    cache = texts.get("unmapped_alloc", "")
    return Counters(
        vmstat=parse_vmstat(texts.get("vmstat", "")),
        meminfo=parse_meminfo(texts.get("meminfo", "")),
        leaves=count_leaves(parse_page_tables(tables)) if tables else {},
        cache=parse_unmapped_alloc(cache) if cache else {},
    )
