# SPDX-License-Identifier: GPL-2.0-or-later
"""A report's frames, as functions, files and lines of the sources."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InfrastructureError
from harness.guest.frames import Frame
from harness.guest.symbols import Symbols, parse_system_map, read_module, run_tool

if TYPE_CHECKING:
    from harness.kernel.artifact import Kernel

_OFFSET = re.compile(r"Kernel Offset: 0x([0-9a-f]+) from ")
# A function that every kernel has, in a file whose place in the tree is known: it tells where the
# sources were when the kernel was built.
_LANDMARK = ("panic", "/kernel/panic.c")
_UNKNOWN = "??"


@dataclass(frozen=True)
class Place:
    """A function and where in the sources it is; `file` is "" and `line` 0 where not known."""

    function: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        if not self.file:
            return self.function
        return f"{self.function} ({self.file}:{self.line or '?'})"


@dataclass(frozen=True)
class DecodedFrame:
    """A frame and its places: first what was inlined into what, last the function itself."""

    frame: Frame
    places: tuple[Place, ...] = ()

    def lines(self) -> list[str]:
        """Return it as text: one line, and one before for each function inlined there."""
        doubt = "? " if self.frame.doubtful else ""
        module = f" [{self.frame.module}]" if self.frame.module else ""
        if not any(place.file for place in self.places):
            return [f"{doubt}{self.frame}"]
        *inlined, outer = self.places
        return [
            *(f"{doubt}{place}{module} [inlined]" for place in inlined),
            f"{doubt}{outer}{module}",
        ]


class Decoder:
    """Decodes frames of one kernel with its vmlinux, System.map and modules.

    `modules` are .ko files or folders that hold some. Files are named from the kernel's tree on.
    """

    def __init__(self, vmlinux: Path, system_map: Path, modules: Sequence[Path] = ()) -> None:
        self._vmlinux = vmlinux
        self._system_map = system_map
        self._modules = tuple(modules)
        self._tables: dict[Path, Symbols] = {}
        self._lined: dict[Path, bool] = {}

    @cached_property
    def symbols(self) -> Symbols:
        """The kernel's own functions, at the addresses that it was linked for."""
        return parse_system_map(self._system_map.read_text(encoding="ascii", errors="replace"))

    @cached_property
    def has_lines(self) -> bool:
        """Whether the kernel was built with debug information, so that lines can be told."""
        return self._has_lines(self._vmlinux)

    def decode(self, frames: Iterable[Frame], *, offset: int = 0) -> list[DecodedFrame]:
        """Return `frames` decoded; what can't be keeps what the report says.

        `offset` is how far the kernel was moved when it booted (KASLR), in bytes.

        Raises:
            InfrastructureError: binutils are missing, or can't read a file.
        """
        named = [self._name(frame, offset) for frame in frames]
        wanted: dict[tuple[Path, str], list[int]] = {}
        spots: list[tuple[Path, str, int] | None] = []
        for frame in named:
            spot = self._spot(frame)
            spots.append(spot)
            if spot is not None:
                wanted.setdefault(spot[:2], []).append(spot[2])
        found = {key: self._places(key, addresses) for key, addresses in wanted.items()}
        return [
            DecodedFrame(frame, found[spot[:2]].get(spot[2], ()) if spot else ())
            for frame, spot in zip(named, spots, strict=True)
        ]

    def source_root(self) -> str:
        """Return where the sources were when the kernel was built, "" where it does not tell.

        Raises:
            InfrastructureError: binutils are missing, or can't read a file.
        """
        landmark = self.symbols.find(_LANDMARK[0]) if self.has_lines else None
        if landmark is None:
            return ""
        return _root(ask_addr2line(self._vmlinux, [landmark.address]).get(landmark.address, ()))

    def _name(self, frame: Frame, offset: int) -> Frame:
        """Return `frame` with its function, where it has but an address in the kernel."""
        symbol = None if frame.function else self.symbols.at(frame.address - offset)
        if symbol is None:
            return frame
        inside = frame.address - offset - symbol.address
        return Frame(symbol.name, inside, symbol.size, exact=frame.exact, doubtful=frame.doubtful)

    def _spot(self, frame: Frame) -> tuple[Path, str, int] | None:
        """Return the file, its section and the address there of the code that `frame` names."""
        file = self._find_module(frame.module) if frame.module else self._vmlinux
        if not frame.function or file is None or not self._has_lines(file):
            return None
        table = self._table(file) if frame.module else self.symbols
        symbol = table.find(frame.function, frame.size)
        if symbol is None:
            return None
        # A return address is behind the call, and may be another line's, or function's.
        back = 0 if frame.exact else 1
        return file, symbol.section, max(0, symbol.address + frame.offset - back)

    def _has_lines(self, file: Path) -> bool:
        if file not in self._lined:
            self._lined[file] = has_lines(file)
        return self._lined[file]

    def _find_module(self, name: str) -> Path | None:
        """Return the file of a module: one with lines, where there are several."""
        found = [
            file
            for place in self._modules
            for file in ([place] if place.is_file() else sorted(place.rglob("*.ko")))
            if file.stem.replace("-", "_") == name.replace("-", "_")
        ]
        return next((file for file in found if self._has_lines(file)), found[0] if found else None)

    def _table(self, module: Path) -> Symbols:
        if module not in self._tables:
            self._tables[module] = read_module(module)
        return self._tables[module]

    def _places(self, key: tuple[Path, str], addresses: list[int]) -> dict[int, tuple[Place, ...]]:
        file, section = key
        landmark = self.symbols.find(_LANDMARK[0]) if file == self._vmlinux else None
        asked = addresses if landmark is None else [*addresses, landmark.address]
        places = ask_addr2line(file, asked, section)
        root = "" if landmark is None else _root(places.get(landmark.address, ()))
        return {
            address: tuple(Place(p.function, _below(p.file, root), p.line) for p in found)
            for address, found in places.items()
        }


def decoder_for(kernel: Kernel, modules: Sequence[Path] = ()) -> Decoder:
    """Return a decoder for a kernel of the cache and the modules loaded into it besides its own."""
    return Decoder(kernel.debug_vmlinux, kernel.system_map, [*modules, kernel.modules])


def kaslr_offset(lines: Iterable[str]) -> int:
    """Return how far a kernel was moved, in bytes, as the end of its panic says; 0 if unsaid."""
    for line in lines:
        found = _OFFSET.search(line)
        if found is not None:
            return int(found[1], 16)
    return 0


def has_lines(file: Path) -> bool:
    """Return whether an ELF file has debug information.

    Raises:
        InfrastructureError: objdump is missing, or can't read it.
    """
    return " .debug_line" in run_tool("objdump", "--section-headers", str(file))


def ask_addr2line(
    file: Path, addresses: Iterable[int], section: str = ""
) -> dict[int, tuple[Place, ...]]:
    """Return the places that addresses of an ELF file (or of its section) stand for.

    Raises:
        InfrastructureError: addr2line is missing, or can't read the file.
    """
    wanted = sorted(set(addresses))
    argv = ["addr2line", "--exe", str(file), "--functions", "--inlines", "--addresses"]
    if section:
        argv += ["--section", section]
    given = "".join(f"{address:#x}\n" for address in wanted)
    return parse_addr2line(run_tool(*argv, given=given))


def parse_addr2line(text: str) -> dict[int, tuple[Place, ...]]:
    """Return the places in what `addr2line -a -f -i` prints: a function's line, then a file's."""
    places: dict[int, list[Place]] = {}
    current: list[Place] = []
    function = ""
    for line in text.splitlines():
        if not function and re.fullmatch(r"0x[0-9a-f]+", line):
            current = places.setdefault(int(line, 16), [])
        elif not function:
            function = line
        else:
            file, _, number = line.partition(" (discriminator")[0].rpartition(":")
            known = file not in ("", _UNKNOWN)
            place = Place(function, file if known else "", int(number) if number.isdigit() else 0)
            if function != _UNKNOWN:
                current.append(place)
            function = ""
    return {address: tuple(found) for address, found in places.items()}


def stack_text(decoder: Decoder, frames: Sequence[Frame], offset: int = 0) -> list[str]:
    """Return a stack as lines for a person; it never fails, but says what it could not do."""
    if not frames:
        return ["the report shows no stack"]
    try:
        decoded = decoder.decode(frames, offset=offset)
        lines = [line for frame in decoded for line in frame.lines()]
        if not decoder.has_lines:
            lines.append("(no files and lines: the kernel was built without debug information)")
    except (InfrastructureError, OSError) as error:
        lines = [str(frame) for frame in frames]
        lines.append(f"(not decoded: {str(error).splitlines()[0]})")
    return lines


def _root(places: tuple[Place, ...]) -> str:
    if not places or not os.path.normpath(places[-1].file).endswith(_LANDMARK[1]):
        return ""
    return os.path.normpath(places[-1].file)[: -len(_LANDMARK[1]) + 1]


def _below(file: str, root: str) -> str:
    if not file:
        return ""
    path = os.path.normpath(file)
    return path[len(root) :] if root and path.startswith(root) else path
