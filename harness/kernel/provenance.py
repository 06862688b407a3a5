# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the lines of a configuration come from: who asked, what became of it, and of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.kernel import kconfig_reasons
from harness.kernel.fragment import Merged, Request, config_line, parse_line
from harness.kernel.kconfig import Tree


class State(StrEnum):
    """What became of a line that was asked for."""

    GRANTED = "granted"
    REFUSED = "refused"
    OVERRIDDEN = "overridden"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Line:
    """A line that a fragment or a series asks for, and what became of it.

    `became` is the symbol's final value, "n" where it is not set; `reasons` say why a line was
    refused, overridden or left out.
    """

    request: Request
    became: str
    state: State
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where the value of a symbol comes from, in words that follow the value: "selected by X"."""

    symbol: str
    value: str
    words: str


@dataclass(frozen=True)
class Configuration:
    """A variant's configuration, with all that explains it.

    `start_name` is the make target that it starts from, `start` what that gave, with "n" for
    what it leaves out; `config` is the final .config, only what is set.
    """

    variant: str
    profile: str
    start_name: str
    start: Mapping[str, str]
    config: Mapping[str, str]
    wanted: Merged
    left_out: tuple[Request, ...]
    tree: Tree

    def value(self, symbol: str) -> str:
        """Return the final value of `symbol`, "n" where it is not set."""
        return self.config.get(symbol, "n")


def parse_start(text: str) -> dict[str, str]:
    """Return what a .config says of each symbol it names, "n" for what is not set."""
    found = (parse_line(line.rstrip()) for line in text.splitlines())
    return dict(pair for pair in found if pair is not None)


def lines_of(configuration: Configuration) -> list[Line]:
    """Return every line that was asked for, in the order of the fragments."""
    wanted = configuration.wanted
    lines = [_judge(configuration, request) for request in wanted.requests]
    for conflict in (*wanted.conflicts, *wanted.overridden):
        loser, winner = conflict.loser, conflict.winner
        reason = f"{winner.where} has {winner.text()}"
        if winner.overrides:
            reason += f": {winner.overrides}"
        became = configuration.value(loser.symbol)
        lines.append(Line(loser, became, State.OVERRIDDEN, (reason,)))
    for request in configuration.left_out:
        reason = f"only for kernels {request.versions}: {request.why}"
        lines.append(Line(request, configuration.value(request.symbol), State.LEFT_OUT, (reason,)))
    order = [*wanted.origins, *(request.origin for request in configuration.left_out)]
    return sorted(lines, key=lambda line: (order.index(line.request.origin), line.request.line))


def _judge(configuration: Configuration, request: Request) -> Line:
    became = configuration.value(request.symbol)
    if became == request.value:
        return Line(request, became, State.GRANTED)
    reasons = kconfig_reasons.explain(
        configuration.tree, configuration.config, request.symbol, request.value
    )
    return Line(request, became, State.REFUSED, tuple(reasons))


def origin_of(configuration: Configuration, symbol: str) -> Origin:
    """Return where the final value of `symbol` comes from; a symbol that is set, or asked for."""
    value = configuration.value(symbol)
    for request in configuration.wanted.requests:
        if request.symbol == symbol and request.value == value:
            asked = f"asked for by {request.where}"
            if value == "n" or kconfig_reasons.settable(
                configuration.tree, configuration.config, symbol
            ):
                return Origin(symbol, value, asked)
            # Asking sets nothing here; it only makes sure.
            why = _why_set(configuration, symbol, value)
            return Origin(symbol, value, f"{asked}; {why}")
    if value == "n":
        return Origin(symbol, value, "; ".join(_why_unset(configuration, symbol)))
    return Origin(symbol, value, _why_set(configuration, symbol, value))


def _why_set(configuration: Configuration, symbol: str, value: str) -> str:
    tree, config = configuration.tree, configuration.config
    selectors = kconfig_reasons.active_selectors(tree, config, symbol)
    if selectors:
        return f"selected by {_few(selectors)}"
    shows = kconfig_reasons.settable(tree, config, symbol)
    if shows and configuration.start.get(symbol) == value:
        return f"as {configuration.start_name} has it"
    default = kconfig_reasons.applying_default(tree, config, symbol)
    if default:
        return default
    implied = kconfig_reasons.active_implications(tree, config, symbol)
    if implied:
        return f"implied by {_few(implied)}"
    chosen = any(definition.choice for definition in tree.definitions.get(symbol, []))
    return "the default of its choice" if chosen else "Kconfig's own"


def _why_unset(configuration: Configuration, symbol: str) -> list[str]:
    tree, config = configuration.tree, configuration.config
    if symbol not in tree.definitions:
        return [kconfig_reasons.unknown(tree, symbol)]
    unmet = kconfig_reasons.unmet_dependencies(tree, config, symbol)
    if unmet:
        return unmet
    if kconfig_reasons.settable(tree, config, symbol):
        if configuration.start.get(symbol) == "n":
            return [f"{configuration.start_name} leaves it out, and no fragment asks for it"]
        return ["no fragment asks for it, and no default sets it"]
    who = kconfig_reasons.all_selectors(tree, symbol)
    where = tree.definitions[symbol][0].where
    return [f"it has no prompt ({where}), and nothing that selects it is set: {who}"]


def describe(configuration: Configuration, symbol: str) -> list[str]:
    """Return all that there is to say about one symbol, in sentences, its value first."""
    value = configuration.value(symbol)
    said = [config_line(symbol, value)]
    for definition in configuration.tree.definitions.get(symbol, []):
        prompt = definition.prompt or "no prompt"
        said.append(f"{definition.type or 'symbol'}, {prompt} ({definition.where})")
        said += [f"depends on {condition}" for condition in definition.depends]
    for line in lines_of(configuration):
        if line.request.symbol == symbol:
            said.append(f"{line.request.where} asks for {line.request.text()}: {line.state}")
            said += [f"  {reason}" for reason in line.reasons]
    origin = origin_of(configuration, symbol).words
    said += [f"is {value}: {each}" for each in origin.split("; ")]
    return said


def unasked(configuration: Configuration) -> list[Origin]:
    """Return what is set though no line asks for it, and where it comes from, by name."""
    asked = {
        request.symbol
        for request in configuration.wanted.requests
        if request.value == configuration.value(request.symbol)
    }
    return [
        origin_of(configuration, symbol)
        for symbol in sorted(configuration.config)
        if symbol not in asked
    ]


@dataclass(frozen=True)
class Difference:
    """A symbol whose value differs between two configurations, and where each comes from."""

    symbol: str
    left: Origin
    right: Origin


def differences(left: Configuration, right: Configuration) -> list[Difference]:
    """Return the symbols that differ, by name."""
    return [
        Difference(symbol, origin_of(left, symbol), origin_of(right, symbol))
        for symbol in sorted(left.config.keys() | right.config.keys())
        if left.value(symbol) != right.value(symbol)
    ]


def _few(words: Sequence[str], most: int = 3) -> str:
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")
