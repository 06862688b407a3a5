# SPDX-License-Identifier: GPL-2.0-or-later
"""ELF files: without their debug information, and how two builds of one differ."""

from __future__ import annotations

import bisect
import errno
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SECTION = re.compile(
    r"\s*\[\s*\d+\]\s+(?P<name>\S+)\s+(?P<type>[A-Z][A-Z0-9_]*)\s+(?P<address>[0-9a-f]+)"
    r"\s+(?P<offset>[0-9a-f]+)\s+(?P<size>[0-9a-f]+)\s"
)
_NO_BITS = "NOBITS"
_MAGIC = b"\x7fELF"
_MOST = 8


@dataclass(frozen=True)
class Section:
    """A section of an ELF file: its name, its address, and where its bytes are in the file."""

    name: str
    address: int
    offset: int
    size: int


def strip_debug(file: Path, target: Path) -> None:
    """Write `file` to `target` without its debug information.

    Raises:
        OSError: the disk is full.
    """
    argv = ["objcopy", "--strip-debug", str(file), str(target)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0 and os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    done.check_returncode()


def parse_sections(output: str) -> list[Section]:
    """Return the sections with bytes in the file, from what `readelf -SW` printed."""
    found = []
    for line in output.splitlines():
        match = _SECTION.match(line)
        if match and match["type"] != _NO_BITS:
            numbers = (int(match[key], 16) for key in ("address", "offset", "size"))
            found.append(Section(match["name"], *numbers))
    return found


def parse_symbols(text: str) -> list[tuple[int, str]]:
    """Return the addresses and names in a System.map, in the order of their addresses."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and re.fullmatch("[0-9a-f]+", fields[0]):
            found.append((int(fields[0], 16), fields[2]))
    return sorted(found)


def symbol_at(symbols: Sequence[tuple[int, str]], address: int) -> str:
    """Return `name+0xoffset` of the last of `symbols` at or before `address`, "" of none."""
    index = bisect.bisect_right(symbols, address, key=lambda symbol: symbol[0]) - 1
    if index < 0:
        return ""
    at, name = symbols[index]
    return f"{name}+{address - at:#x}"


def first_difference(ours: bytes, clean: bytes) -> int:
    """Return the offset of the first byte that differs; -1 where none does."""
    for start in range(0, max(len(ours), len(clean)), 4096):
        one, other = ours[start : start + 4096], clean[start : start + 4096]
        if one != other:
            shorter = min(len(one), len(other))
            pairs = enumerate(zip(one, other, strict=False))
            return start + next((index for index, (a, b) in pairs if a != b), shorter)
    return -1


def describe_difference(name: str, ours: Path, clean: Path, symbols: Path) -> list[str]:
    """Return lines about how the file `name` differs between two builds.

    Of an ELF file, the sections; `symbols` is the System.map of `ours`, for vmlinux.
    """
    if not ours.is_file() or not clean.is_file():
        return [f"{name}: only in the {'cache' if ours.is_file() else 'clean build'}"]
    one, other = ours.read_bytes(), clean.read_bytes()
    at = first_difference(one, other)
    head = f"{name}: {len(one)} and {len(other)} bytes, which differ from byte {at} on"
    if not (one.startswith(_MAGIC) and other.startswith(_MAGIC)):
        return [head]
    mine = {section.name: section for section in _sections(ours)}
    lines = []
    for section in _sections(clean):
        line = _section_line(mine.get(section.name), section, one, other, symbols)
        lines += [f"  {line}"] if line else []
    more = [f"  and {len(lines) - _MOST} sections more"] if len(lines) > _MOST else []
    return [head, *lines[:_MOST], *more]


def _section_line(
    mine: Section | None, section: Section, ours: bytes, clean: bytes, symbols: Path
) -> str:
    if mine is None:
        return f"{section.name}: only in the clean build"
    one = ours[mine.offset : mine.offset + mine.size]
    other = clean[section.offset : section.offset + section.size]
    at = first_difference(one, other)
    if at < 0:
        return ""
    where = f"{mine.address + at:#x}"
    if mine.address and symbols.is_file():
        named = symbol_at(
            parse_symbols(symbols.read_text(encoding="utf-8", errors="replace")),
            mine.address + at,
        )
        where += f" ({named})" if named else ""
    return f"{section.name}: {mine.size} and {section.size} bytes, first at {where}"


def _sections(path: Path) -> list[Section]:
    done = subprocess.run(
        ["readelf", "-SW", str(path)], capture_output=True, text=True, check=False
    )
    return parse_sections(done.stdout)
