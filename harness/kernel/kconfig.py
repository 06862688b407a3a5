# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading Kconfig files, as far as it takes to say why a symbol has or lacks a value.

This is no configurator: `make olddefconfig` decides, this explains.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TYPES = ("bool", "tristate", "string", "int", "hex")
_BLOCKS = ("if", "menu", "choice")
_PROMPT = re.compile(r"(\"(?:[^\"\\]|\\.)*\"|'[^']*')\s*(?:if\s+(.*))?")
_CONFIG = re.compile(r"^(?:menu)?config\s+(\w+)", re.MULTILINE)
_CODE = re.compile(r"""(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*""")


@dataclass
class Definition:
    """One `config` block; `depends` are conditions as written, the enclosing ones first.

    `prompt` is None where users can't set the symbol. `choice` tells the choices apart, 0 is
    none. `defaults` are values with their conditions ("" for none).
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
    defaults: list[tuple[str, str]] = field(default_factory=list)

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Tree:
    """The symbols of a source tree: their definitions, and who selects or implies them.

    Those two are by the symbol that is selected: who does, and on what condition ("" for none).
    `foreign` are symbols that only other architectures have, with one that does.
    """

    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    selects: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    implies: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)


def read_tree(source: Path, *, architecture: str = "x86") -> Tree:
    """Return what the Kconfig files of the kernel at `source` define."""
    reader = _Reader(source, architecture)
    reader.read("Kconfig", [], 0)
    reader.tree.foreign = _foreign(source, reader.tree.definitions)
    return reader.tree


def _foreign(source: Path, known: Container[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(source.glob("arch/*/**/Kconfig*")):
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        for symbol in _CONFIG.findall(text):
            if symbol not in known:
                found.setdefault(symbol, file.relative_to(source).parts[1])
    return found


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
        elif word in ("select", "imply"):
            target, _, condition = rest.partition(" if ")
            owners = self.tree.selects if word == "select" else self.tree.implies
            owners.setdefault(target, []).append((current.symbol, condition))
        elif word == "default":
            current.defaults.append(_conditional(rest))
        elif word == "range":
            current.ranges.append(rest)
        elif word in _TYPES or word == "prompt":
            current.type = word if word in _TYPES else current.type
            found = _PROMPT.match(rest)
            if found:
                current.prompt, current.prompt_condition = found.group(1), found.group(2) or ""
        elif word in ("def_bool", "def_tristate"):
            current.type = word.removeprefix("def_")
            current.defaults.append(_conditional(rest))


def _conditional(text: str) -> tuple[str, str]:
    """Return the value and the condition of a default as it is written."""
    value, word, condition = text.rpartition(" if ")
    return (value, condition) if word and value.count('"') % 2 == 0 else (text, "")


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
