# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a symbol has the value that it has in a configuration, or lacks the one asked for.

Told from the Kconfig files and the final .config; `make olddefconfig` has decided before.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from harness.kernel.kconfig import Definition, Tree
from harness.kernel.kconfig_expression import (
    MODULE,
    NO,
    YES,
    Expression,
    blame,
    evaluate,
    parse_expression,
    symbols,
)

_MOST_SELECTORS = 5


def explain(tree: Tree, config: Mapping[str, str], symbol: str, wanted: str) -> list[str]:
    """Return why `symbol` did not get the value `wanted` in the final `config`, in sentences."""
    definitions = tree.definitions.get(symbol)
    if not definitions:
        return [unknown(tree, symbol)]
    if wanted == "n":
        return _why_set(tree, config, symbol, definitions)
    reasons = _unmet(config, definitions, MODULE if wanted == "m" else YES)
    reasons += _unsettable(tree, config, symbol, definitions)
    reasons += _other_choice(tree, config, symbol, definitions)
    if wanted == "m" and definitions[0].type == "bool":
        reasons.append(f"it is a bool ({definitions[0].where}): y or n, never m")
    reasons += [f"its range is {range_}" for item in definitions for range_ in item.ranges]
    return reasons or [f"see {definitions[0].where}"]


def _unmet(config: Mapping[str, str], definitions: list[Definition], level: int) -> list[str]:
    """Say which dependencies are unmet; one definition whose are all met is enough."""
    reasons: list[str] = []
    for definition in definitions:
        terms = [
            (text, term)
            for text in definition.depends
            for term in blame(_parse(text), config, level)
        ]
        if not terms:
            return []
        reasons += [
            f"depends on {text} ({definition.where}): {_values(term, config)}"
            for text, term in terms
        ]
    return list(dict.fromkeys(reasons))


def _unsettable(
    tree: Tree, config: Mapping[str, str], symbol: str, definitions: list[Definition]
) -> list[str]:
    prompted = [definition for definition in definitions if definition.prompt is not None]
    if not prompted:
        who = all_selectors(tree, symbol)
        return [f"it can't be set: it has no prompt ({definitions[0].where}); selected by {who}"]
    reasons = []
    for definition in prompted:
        terms = blame(_parse(definition.prompt_condition), config, MODULE)
        if not terms:
            return []
        reasons += [
            f"it can be set only if {definition.prompt_condition} ({definition.where}):"
            f" {_values(term, config)}"
            for term in terms
        ]
    return reasons


def _why_set(
    tree: Tree, config: Mapping[str, str], symbol: str, definitions: list[Definition]
) -> list[str]:
    active = active_selectors(tree, config, symbol)
    reasons = [f"{', '.join(active)} select{'s' if len(active) == 1 else ''} it"] if active else []
    reasons += _unsettable(tree, config, symbol, definitions)
    return reasons or [f"see {definitions[0].where}"]


def _other_choice(
    tree: Tree, config: Mapping[str, str], symbol: str, definitions: list[Definition]
) -> list[str]:
    choices = {definition.choice for definition in definitions if definition.choice}
    chosen = [
        other
        for other, others in tree.definitions.items()
        if other != symbol
        and config.get(other) == "y"
        and any(definition.choice in choices for definition in others)
    ]
    return [f"it is one of a choice, and {name} is chosen" for name in chosen]


def _selectors(tree: Tree, symbol: str) -> list[str]:
    owners = list(dict.fromkeys(owner for owner, _ in tree.selects.get(symbol, [])))
    more = len(owners) - _MOST_SELECTORS
    return owners[:_MOST_SELECTORS] + ([f"{more} more"] if more > 0 else [])


def _values(term: Expression, config: Mapping[str, str]) -> str:
    return ", ".join(f"{name} is {config.get(name, 'n')}" for name in symbols(term)) or str(term)


def _parse(text: str) -> Expression:
    try:
        return parse_expression(text) if text else "y"
    except ValueError:
        return "y"


def unknown(tree: Tree, symbol: str) -> str:
    """Return words for a symbol that the kernel does not have, with those of a like name."""
    if symbol in tree.foreign:
        return f"{symbol} is a symbol of another architecture (arch/{tree.foreign[symbol]})"
    near = difflib.get_close_matches(symbol, tree.definitions, n=3)
    hint = f" (near: {', '.join(near)})" if near else ""
    return f"this kernel has no symbol {symbol}{hint}"


def active_selectors(tree: Tree, config: Mapping[str, str], symbol: str) -> list[str]:
    """Return who selects `symbol` in `config`, with the condition where there is one."""
    return _active(tree.selects, config, symbol)


def active_implications(tree: Tree, config: Mapping[str, str], symbol: str) -> list[str]:
    """Return who implies `symbol` in `config`: it is set unless a user says no."""
    return _active(tree.implies, config, symbol)


def _active(
    owners: Mapping[str, list[tuple[str, str]]], config: Mapping[str, str], symbol: str
) -> list[str]:
    found = [
        f"{owner}{f' if {condition}' if condition else ''}"
        for owner, condition in owners.get(symbol, [])
        if config.get(owner, "n") != "n" and _holds([condition], config)
    ]
    return list(dict.fromkeys(found))


def applying_default(tree: Tree, config: Mapping[str, str], symbol: str) -> str:
    """Return the first default of `symbol` that applies in `config`, in words, or ""."""
    for definition in tree.definitions.get(symbol, []):
        for value, condition in definition.defaults:
            if _holds([*definition.depends, condition], config):
                return f"default {value}{f' if {condition}' if condition else ''}" + (
                    f" ({definition.where})"
                )
    return ""


def settable(tree: Tree, config: Mapping[str, str], symbol: str) -> bool:
    """Whether a user can set `symbol`: it has a prompt that shows in `config`."""
    return any(
        definition.prompt is not None
        and _holds([*definition.depends, definition.prompt_condition], config)
        for definition in tree.definitions.get(symbol, [])
    )


def unmet_dependencies(tree: Tree, config: Mapping[str, str], symbol: str) -> list[str]:
    """Return the dependencies that keep `symbol` from being set at all, in sentences."""
    return _unmet(config, tree.definitions.get(symbol, []), MODULE)


def all_selectors(tree: Tree, symbol: str) -> str:
    """Return who could select `symbol`, the first few by name, or "nothing"."""
    return ", ".join(_selectors(tree, symbol)) or "nothing"


def _holds(conditions: list[str], config: Mapping[str, str]) -> bool:
    """Whether conditions hold; one that only a macro can decide does."""
    return all(evaluate(_parse(condition), config) != NO for condition in conditions)
