# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading Kconfig files, as far as it takes to say why a symbol did not get its value.

This is no configurator: `make olddefconfig` decides, this explains.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

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

_TYPES = ("bool", "tristate", "string", "int", "hex")
_BLOCKS = ("if", "menu", "choice")
_PROMPT = re.compile(r"(\"(?:[^\"\\]|\\.)*\"|'[^']*')\s*(?:if\s+(.*))?")
_CODE = re.compile(r"""(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*""")
_MOST_SELECTORS = 5


@dataclass
class Definition:
    """One `config` block; `depends` are conditions as written, the enclosing ones first.

    `prompt` is None where users can't set the symbol. `choice` tells the choices apart, 0 is
    none.
    """

    symbol: str
    file: str
    line: int
    depends: list[str] = field(default_factory=list)
    type: str = ""
    prompt: str | None = None
    prompt_condition: str = ""
    ranges: list[str] = field(default_factory=list)
    choice: int = 0

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Tree:
    """The symbols of a source tree: their definitions, and who selects them on what condition."""

    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    selects: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def read_tree(source: Path, *, architecture: str = "x86") -> Tree:
    """Return what the Kconfig files of the kernel at `source` define."""
    reader = _Reader(source, architecture)
    reader.read("Kconfig", [], 0)
    return reader.tree


class _Reader:
    """Walks the files as they include each other."""

    def __init__(self, source: Path, architecture: str) -> None:
        self.tree = Tree()
        self._source = source
        self._architecture = architecture
        self._choices = 0

    def read(self, name: str, conditions: list[str], choice: int) -> None:
        """Read a file which is included under `conditions`."""
        try:
            text = (self._source / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        stack: list[tuple[list[str], int]] = [(conditions, choice)]
        kind, current = "", Definition("", name, 0)
        for number, line in logical_lines(text):
            word, _, rest = line.partition(" ")
            outer, choice = stack[-1]
            if word in ("config", "menuconfig"):
                kind = "config"
                current = Definition(rest, name, number, list(outer), choice=choice)
                self.tree.definitions.setdefault(rest, []).append(current)
            elif word in _BLOCKS:
                kind = word
                stack.append(self._enter(word, rest, outer, choice))
            elif word in ("endif", "endmenu", "endchoice"):
                kind = ""
                del stack[max(1, len(stack) - 1) :]
            elif word == "source":
                kind = ""
                self.read(self._expand(rest), list(outer), choice)
            elif word == "comment":
                kind = ""
            elif word == "depends" and kind in ("menu", "choice"):
                outer.append(rest.removeprefix("on "))
            elif kind == "config":
                self._attribute(current, word, rest)

    def _enter(self, word: str, rest: str, outer: list[str], choice: int) -> tuple[list[str], int]:
        if word == "choice":
            self._choices += 1
            return list(outer), self._choices
        return [*outer, rest] if word == "if" else list(outer), choice

    def _expand(self, quoted: str) -> str:
        return re.sub(r"\$\(SRCARCH\)|\$SRCARCH\b", self._architecture, quoted.strip("\"'"))

    def _attribute(self, current: Definition, word: str, rest: str) -> None:
        if word == "depends":
            current.depends.append(rest.removeprefix("on "))
        elif word == "select":
            target, _, condition = rest.partition(" if ")
            self.tree.selects.setdefault(target, []).append((current.symbol, condition))
        elif word == "range":
            current.ranges.append(rest)
        elif word in _TYPES or word == "prompt":
            current.type = word if word in _TYPES else current.type
            found = _PROMPT.match(rest)
            if found:
                current.prompt, current.prompt_condition = found.group(1), found.group(2) or ""
        elif word in ("def_bool", "def_tristate"):
            current.type = word.removeprefix("def_")


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that count, numbered from 1: continued ones joined, help left out."""
    help_indent: int | None = None
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.expandtabs()
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if help_indent is not None:
            # Help goes on while lines are indented as far as its first one is.
            if not stripped or (indent > 0 and indent >= help_indent):
                help_indent = help_indent or indent if stripped else help_indent
                continue
            help_indent = None
        if not pending:
            start = number
            if stripped in ("help", "---help---"):
                help_indent = 0
                continue
        joined = f"{pending} {stripped}".strip()
        pending = joined[:-1].strip() if joined.endswith("\\") else ""
        if not pending and joined and not joined.startswith("#"):
            yield start, re.sub(r"\s+", " ", _uncommented(joined))


def _uncommented(line: str) -> str:
    code = _CODE.match(line)
    return code.group().strip() if code and line[code.end() :].startswith("#") else line


def explain(tree: Tree, config: Mapping[str, str], symbol: str, wanted: str) -> list[str]:
    """Return why `symbol` did not get the value `wanted` in the final `config`, in sentences."""
    definitions = tree.definitions.get(symbol)
    if not definitions:
        near = difflib.get_close_matches(symbol, tree.definitions, n=3)
        hint = f" (near: {', '.join(near)})" if near else ""
        return [f"this kernel has no symbol {symbol}{hint}"]
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
        who = ", ".join(_selectors(tree, symbol)) or "nothing"
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
    active = [
        f"{owner}{f' if {condition}' if condition else ''}"
        for owner, condition in tree.selects.get(symbol, [])
        if config.get(owner, "n") != "n" and evaluate(_parse(condition), config) != NO
    ]
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
