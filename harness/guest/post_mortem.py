# SPDX-License-Identifier: GPL-2.0-or-later
"""What is left of a guest that died: its report decoded, its memory, and how to boot it again."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import GuestDied, InfrastructureError
from harness.guest.crash import Report
from harness.guest.decode import Decoder, kaslr_offset, stack_text
from harness.guest.frames import find_frames
from harness.guest.silence import CpuState
from harness.guest.trouble import Kind
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from harness.guest.monitor import Monitor

# The files of a boot's folder that only a crash leaves.
REPORT = "crash.json"
STACK = "stack"
AGAIN = "again"
MEMORY = "memory"
_DUMP_LIMIT = 600.0
_SPARE = 64 << 20
_KDUMP = "kdump-zlib"
_MIB = 1 << 20
_BACKTRACE = re.compile(r"NMI backtrace for cpu (\d+)$")


def death_of(report: Report, decoder: Decoder) -> GuestDied:
    """Return the error for a fatal report, with its stack decoded."""
    stack = stack_text(decoder, report.frames, kaslr_offset(report.lines))
    return GuestDied(
        report.outcome,
        report.title,
        lines=report.lines,
        kind=report.kind,
        function=report.function,
        fingerprint=report.fingerprint,
        stack=tuple(stack),
    )


def lockup_of(report: Report, cpu: CpuState) -> Report:
    """Return the report for a CPU that was found stuck, from the panic that our NMI made."""
    frames = find_frames(Kind.HARD_LOCKUP, backtrace(report.lines, cpu.number)) or report.frames
    found = Report(Kind.HARD_LOCKUP, "", report.lines, frames)
    where = f" in {found.function}" if found.function else ""
    does = "waits" if cpu.halted else "spins"
    title = f"hard lockup: CPU {cpu.number} {does}{where} with interrupts off"
    return Report(Kind.HARD_LOCKUP, title, report.lines, frames)


def backtrace(lines: Sequence[str], cpu: int) -> list[str]:
    """Return the part of a panic's `lines` that is the backtrace of that CPU, without times."""
    texts = [line.partition("] ")[2] for line in lines]
    marks = [
        (index, found) for index, text in enumerate(texts) if (found := _BACKTRACE.match(text))
    ]
    for place, (index, found) in enumerate(marks):
        if int(found[1]) == cpu:
            end = marks[place + 1][0] if place + 1 < len(marks) else len(texts)
            return texts[index:end]
    return []


def dump_memory(monitor: Monitor, folder: Path, memory_mib: int) -> Path:
    """Write the guest's memory to a file in `folder`; return it. The guest stands still after it.

    It is compressed as crash(8) and drgn read it where QEMU can do that, else it is an ELF core.

    Raises:
        InfrastructureError: infra.disk: there is not as much room as memory; infra.qemu: QEMU
            refuses.
    """
    free = shutil.disk_usage(folder).free
    needed = memory_mib * _MIB + _SPARE
    if free < needed:
        raise InfrastructureError(
            Outcome.INFRA_DISK,
            f"no room for the guest's memory in {folder}: {free // _MIB} MiB are free, "
            f"{needed // _MIB} may be needed",
            hint="make room, choose another folder, or take a machine with less memory",
        )
    formats = monitor.execute("query-dump-guest-memory-capability")["formats"]
    kind = _KDUMP if _KDUMP in formats else "elf"
    target = folder / (f"{MEMORY}.kdump" if kind == _KDUMP else f"{MEMORY}.elf")
    aside = target.with_suffix(".part")
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        monitor.hand_over(MEMORY, descriptor)
        monitor.execute(
            "dump-guest-memory",
            timeout=_DUMP_LIMIT,
            paging=False,
            protocol=f"fd:{MEMORY}",
            format=kind,
        )
        aside.rename(target)
    finally:
        os.close(descriptor)
        aside.unlink(missing_ok=True)
    return target


def write_bundle(folder: Path, death: GuestDied, again: Sequence[str], notes: str = "") -> None:
    """Write what a crash leaves into a boot's folder, beside console.log, argv and config.

    crash.json has all that is known, `stack` the decoded stack, and `again` is a script with the
    command that boots the same again. A disk that is full is no reason to fail here.
    """
    facts = {
        **death.facts(),
        "lines": list(death.lines),
        "again": list(again),
        "notes": notes,
    }
    head = f"{death.outcome}: {death.title}\n"
    stack = "".join(f"  {line}\n" for line in death.stack)
    try:
        (folder / REPORT).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        (folder / STACK).write_text(head + stack, encoding="utf-8")
        if again:
            (folder / AGAIN).write_text(f"#!/bin/sh\nexec {shlex.join(again)}\n", encoding="utf-8")
            (folder / AGAIN).chmod(0o755)
    except OSError:
        return
