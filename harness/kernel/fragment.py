# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel configuration as text: fragments of wishes, and the `.config` they end in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError

_SET = re.compile(r"CONFIG_(\w+)=(.+)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_VALUE = re.compile(r'[ymn]|-?\d+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Request:
    """A wish for a symbol: its name without CONFIG_, its value ("n" for "is not set").

    `origin` is the fragment or series that asks, `line` its line there (from 1).
    """

    symbol: str
    value: str
    origin: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.origin}:{self.line}"

    def text(self) -> str:
        """Return the line as a .config has it."""
        return config_line(self.symbol, self.value)


@dataclass(frozen=True)
class Conflict:
    """Two fragments want different values of a symbol; `winner` is the later one."""

    loser: Request
    winner: Request

    def __str__(self) -> str:
        return (
            f"{self.winner.where}: {self.winner.text()} overrides {self.loser.text()}"
            f" of {self.loser.where}"
        )


@dataclass(frozen=True)
class Merged:
    """What all fragments together want: a request a symbol, and where they disagree."""

    requests: tuple[Request, ...]
    conflicts: tuple[Conflict, ...]


def config_line(symbol: str, value: str) -> str:
    """Return the line of a .config that gives `symbol` that value."""
    return f"# CONFIG_{symbol} is not set" if value == "n" else f"CONFIG_{symbol}={value}"


def parse_line(line: str) -> tuple[str, str] | None:
    """Return symbol and value of a configuration line, or None where it is none."""
    unset = _UNSET.fullmatch(line)
    if unset:
        return unset.group(1), "n"
    found = _SET.fullmatch(line)
    if found and _VALUE.fullmatch(found.group(2)):
        return found.group(1), found.group(2)
    return None


def parse_fragment(text: str, origin: str, file: Path) -> list[Request]:
    """Return the requests of a fragment.

    Raises:
        ConfigError: a line is neither a wish nor a comment, or a symbol is asked for twice.
    """
    requests: dict[str, Request] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        found = parse_line(line)
        if found is None:
            if line and (not line.startswith("#") or re.match(r"#\s*CONFIG_\w+\b", line)):
                raise ConfigError(
                    file,
                    f"line {number}",
                    f"{line!r} is no configuration line",
                    hint="write CONFIG_X=y, CONFIG_X=VALUE or # CONFIG_X is not set",
                )
            continue
        symbol, value = found
        if symbol in requests:
            raise ConfigError(
                file,
                f"line {number}",
                f"CONFIG_{symbol} is on line {requests[symbol].line} already",
                hint="keep one of the two lines",
            )
        requests[symbol] = Request(symbol, value, origin, number)
    return list(requests.values())


def merge(requests: Iterable[Request]) -> Merged:
    """Return what is asked for in the end: the later request for a symbol wins.

    A request that differs from an earlier one is told as a conflict.
    """
    chosen: dict[str, Request] = {}
    conflicts: list[Conflict] = []
    for request in requests:
        earlier = chosen.get(request.symbol)
        if earlier is not None and earlier.value != request.value:
            conflicts.append(Conflict(earlier, request))
        chosen[request.symbol] = request
    return Merged(tuple(chosen.values()), tuple(conflicts))


def parse_config(text: str) -> dict[str, str]:
    """Return the symbols that a .config sets, without CONFIG_; what is "not set" is left out."""
    config: dict[str, str] = {}
    for line in text.splitlines():
        found = parse_line(line.rstrip())
        if found is not None and found[1] != "n":
            config[found[0]] = found[1]
    return config


def overlay(config: str, requests: Iterable[Request]) -> str:
    """Return the text of `config` with the requests in place of its lines for those symbols."""
    wanted = {request.symbol: request.text() for request in requests}
    kept = []
    for line in config.splitlines():
        found = parse_line(line)
        if found is None or found[0] not in wanted:
            kept.append(line)
    return "\n".join([*kept, *wanted.values()]) + "\n"


def unmet(config: Mapping[str, str], requests: Iterable[Request]) -> list[tuple[Request, str]]:
    """Return the requests that `config` does not grant, with what it has instead."""
    return [
        (request, config.get(request.symbol, "n"))
        for request in requests
        if config.get(request.symbol, "n") != request.value
    ]
