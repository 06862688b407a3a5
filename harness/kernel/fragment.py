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
_VERSIONS = re.compile(r"#\s*(since|before)\s+(\d+\.\d+):\s*(\S.*)")
_OVERRIDES = re.compile(r"#\s*overrides:\s*(\S.*)")
# Meant as a directive, whatever its form.
_DIRECTIVE = re.compile(r"#\s*(?:(?:since|before)\s+\d|overrides:)")
_VALUE = re.compile(r'[ymn]|-?\d+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Request:
    """A wish for a symbol: its name without CONFIG_, its value ("n" for "is not set").

    `origin` is the fragment or series that asks, `line` its line there (from 1). Where `since`
    or `before` is not empty, only kernels from (and before) that version are asked, for the
    reason `why`. `overrides` is the reason for wanting something else than an earlier fragment,
    where that is meant.
    """

    symbol: str
    value: str
    origin: str
    line: int
    since: str = ""
    before: str = ""
    why: str = ""
    overrides: str = ""

    @property
    def where(self) -> str:
        return f"{self.origin}:{self.line}"

    def text(self) -> str:
        """Return the line as a .config has it."""
        return config_line(self.symbol, self.value)

    def applies(self, version: str) -> bool:
        """Whether a kernel of `version` (major.minor) is asked."""
        number = _number(version)
        return (not self.since or number >= _number(self.since)) and (
            not self.before or number < _number(self.before)
        )

    @property
    def versions(self) -> str:
        """Which kernels are asked, in words: "since 6.5", "" for all."""
        words = [
            f"{word} {limit}"
            for word, limit in (("since", self.since), ("before", self.before))
            if limit
        ]
        return ", ".join(words)


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

    @property
    def meant(self) -> bool:
        """Whether the winner says why it overrides others."""
        return bool(self.winner.overrides)


@dataclass(frozen=True)
class Merged:
    """What all fragments together want: a request a symbol, and where they disagree.

    `conflicts` is where nobody says why; `overridden` where the later one does. Of two who want
    the same, the first is named. `origins` are all who ask, in order.
    """

    requests: tuple[Request, ...]
    conflicts: tuple[Conflict, ...]
    overridden: tuple[Conflict, ...] = ()
    origins: tuple[str, ...] = ()


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

    A remark `# since 6.5: REASON`, `# before 6.9: REASON` or `# overrides: REASON` says
    something about the configuration line below it.

    Raises:
        ConfigError: a line is neither a wish nor a comment, a symbol is asked for twice, or a
            remark of that kind has no reason or no line below it.
    """
    found: list[Request] = []
    marks: dict[str, str] = {}
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        line = raw.strip()
        wish = parse_line(line)
        if wish is not None:
            request = Request(*wish, origin, number, **marks)
            _check_alone(request, found, file)
            found.append(request)
            marks = {}
        elif _DIRECTIVE.match(line):
            _read_directive(line, marks, file, number)
        elif marks:
            raise ConfigError(
                file,
                f"line {number - 1}",
                "this remark has no configuration line below it",
                hint="put it right above the line that it is about",
            )
        elif line and (not line.startswith("#") or re.match(r"#\s*CONFIG_\w+\b", line)):
            raise ConfigError(
                file,
                f"line {number}",
                f"{line!r} is no configuration line",
                hint="write CONFIG_X=y, CONFIG_X=VALUE or # CONFIG_X is not set",
            )
    return found


def _read_directive(line: str, marks: dict[str, str], file: Path, number: int) -> None:
    versions, overrides = _VERSIONS.fullmatch(line), _OVERRIDES.fullmatch(line)
    if versions:
        word, limit, reason = versions.groups()
        marks[word] = limit
        marks["why"] = f"{marks['why']}; {reason}" if "why" in marks else reason
    elif overrides:
        marks["overrides"] = overrides.group(1)
    else:
        raise ConfigError(
            file,
            f"line {number}",
            f"{line!r} has no version or no reason",
            hint="write # since 6.5: REASON, # before 6.9: REASON or # overrides: REASON",
        )


def _check_alone(request: Request, earlier: Iterable[Request], file: Path) -> None:
    """Two lines for one symbol are in order only where no kernel is asked both."""
    for other in earlier:
        if other.symbol != request.symbol or _apart(other, request) or _apart(request, other):
            continue
        raise ConfigError(
            file,
            f"line {request.line}",
            f"CONFIG_{request.symbol} is on line {other.line} already",
            hint="keep one of the two lines",
        )


def _apart(older: Request, newer: Request) -> bool:
    return bool(older.before and newer.since) and _number(older.before) <= _number(newer.since)


def _number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def select(requests: Iterable[Request], version: str) -> tuple[list[Request], list[Request]]:
    """Return what a kernel of `version` (major.minor) is asked, and what it is not asked."""
    asked: list[Request] = []
    left_out: list[Request] = []
    for request in requests:
        (asked if request.applies(version) else left_out).append(request)
    return asked, left_out


def merge(requests: Iterable[Request]) -> Merged:
    """Return what is asked for in the end: the later request for a symbol wins.

    A request that differs from an earlier one is told as a conflict, or as overriding it where
    it says why.
    """
    chosen: dict[str, Request] = {}
    differing: list[Conflict] = []
    origins: dict[str, None] = {}
    for request in requests:
        origins[request.origin] = None
        earlier = chosen.get(request.symbol)
        if earlier is not None and earlier.value == request.value:
            continue
        if earlier is not None:
            differing.append(Conflict(earlier, request))
        chosen[request.symbol] = request
    return Merged(
        tuple(chosen.values()),
        tuple(conflict for conflict in differing if not conflict.meant),
        tuple(conflict for conflict in differing if conflict.meant),
        tuple(origins),
    )


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
