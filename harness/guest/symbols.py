# SPDX-License-Identifier: GPL-2.0-or-later
"""Where functions are: in a kernel (System.map) and in modules (their symbol tables)."""

from __future__ import annotations

import re
import subprocess
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError
from harness.outcomes import Outcome

_MAP_LINE = re.compile(r"([0-9a-f]{8,16}) (\w) (\S+)")
_TABLE_LINE = re.compile(
    r"(?P<value>[0-9a-f]{16}) .{6}F (?P<section>\S+)\t(?P<size>[0-9a-f]{16}) (?:\.hidden )?"
    r"(?P<name>\S+)"
)
_CODE = "tTwW"


@dataclass(frozen=True)
class Symbol:
    """A function at `address`, `size` bytes long (0: not known), in a section of its file."""

    name: str
    address: int
    size: int
    section: str = ""


class Symbols:
    """Functions, found by name or by address."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        self._sorted = sorted(symbols, key=lambda symbol: symbol.address)
        self._addresses = [symbol.address for symbol in self._sorted]
        self._names: dict[str, list[Symbol]] = {}
        for symbol in self._sorted:
            self._names.setdefault(symbol.name, []).append(symbol)

    def find(self, name: str, size: int = 0) -> Symbol | None:
        """Return the function `name`: of several, that of `size` bytes, or else the first.

        None where there is none, or where several could be meant and none has that size.
        """
        known = self._names.get(name, [])
        if len(known) <= 1:
            return known[0] if known else None
        return next((symbol for symbol in known if size and symbol.size == size), None)

    def at(self, address: int) -> Symbol | None:
        """Return the function that `address` lies in, None where it lies in none."""
        index = bisect_right(self._addresses, address) - 1
        if index < 0:
            return None
        symbol = self._sorted[index]
        return symbol if address - symbol.address < max(symbol.size, 1) else None


def parse_system_map(text: str) -> Symbols:
    """Return the functions of a System.map; each ends where the next symbol begins."""
    lines = [_MAP_LINE.match(line) for line in text.splitlines()]
    found = [(int(line[1], 16), line[2], line[3]) for line in lines if line is not None]
    found.sort(key=lambda entry: entry[0])
    symbols: list[Symbol] = []
    end = 0
    for index in range(len(found) - 1, -1, -1):
        address, kind, name = found[index]
        later = found[index + 1][0] if index + 1 < len(found) else address
        if later != address:
            end = later
        if kind in _CODE:
            symbols.append(Symbol(name, address, max(0, end - address)))
    return Symbols(symbols)


def parse_symbol_table(text: str) -> Symbols:
    """Return the functions in what `objdump --syms` prints of a module."""
    lines = [_TABLE_LINE.match(line) for line in text.splitlines()]
    return Symbols(
        Symbol(line["name"], int(line["value"], 16), int(line["size"], 16), line["section"])
        for line in lines
        if line is not None
    )


def read_module(module: Path) -> Symbols:
    """Return the functions of the module `module`, a .ko file.

    Raises:
        InfrastructureError: objdump is missing, or can't read it.
    """
    return parse_symbol_table(run_tool("objdump", "--syms", str(module)))


def run_tool(*argv: str, given: str = "", timeout: float = 60.0) -> str:
    """Return what a program of binutils prints when `given` is its input.

    Raises:
        InfrastructureError: it is missing, fails, or takes longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfrastructureError(
            Outcome.INFRA_QEMU, f"can't run {argv[0]}: {error}", hint="install binutils"
        ) from error
    if done.returncode != 0:
        raise InfrastructureError(
            Outcome.INFRA_QEMU, f"{' '.join(argv[:3])} failed: {done.stderr.strip()}"
        )
    return done.stdout
