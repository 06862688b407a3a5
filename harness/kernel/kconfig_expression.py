# SPDX-License-Identifier: GPL-2.0-or-later
"""Kconfig's expressions: reading them, their value, and which of their terms is to blame.

The language is the kernel's Documentation/kbuild/kconfig-language.rst. Macros such as
`$(cc-option,-O3)` have no value here: they are unknown, and never blamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_TOKEN = re.compile(
    r"\s*(?:(?P<operator>\|\||&&|!=|<=|>=|[=<>!()])"
    r"|(?P<word>\"[^\"]*\"|'[^']*'|\$\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|[\w./-]+))"
)
_COMPARISONS = ("=", "!=", "<", ">", "<=", ">=")
_LEVELS = {"n": 0, "m": 1, "y": 2}
NO, MODULE, YES = 0, 1, 2


@dataclass(frozen=True)
class Node:
    """An operator (`||`, `&&`, `!` or a comparison) on its operands."""

    operator: str
    operands: tuple[Expression, ...]

    def __str__(self) -> str:
        if self.operator == "!":
            return f"!{_bracketed(self.operands[0])}"
        return f" {self.operator} ".join(_bracketed(operand) for operand in self.operands)


# A symbol or a constant, as it is written, or a node.
Expression = str | Node


def _bracketed(expression: Expression) -> str:
    if isinstance(expression, Node) and expression.operator in ("||", "&&"):
        return f"({expression})"
    return str(expression)


def parse_expression(text: str) -> Expression:
    """Return the expression in `text`.

    Raises:
        ValueError: it has no such form.
    """
    tokens: list[str] = []
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"{text!r} is no Kconfig expression")
        tokens.append(match.group("operator") or match.group("word"))
        at = match.end()
    parser = _Parser(tokens)
    result = parser.alternatives()
    if parser.peek():
        raise ValueError(f"{text!r} is no Kconfig expression")
    return result


class _Parser:
    """A recursive descent over the tokens of an expression."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> str:
        """Return the next token, "" at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def alternatives(self) -> Expression:
        """Read a chain of ||, which binds weakest."""
        return self._chain("||", lambda: self._chain("&&", self._term))

    def _take(self) -> str:
        token = self.peek()
        if not token:
            raise ValueError("the expression ends too soon")
        self._at += 1
        return token

    def _chain(self, operator: str, operand: Callable[[], Expression]) -> Expression:
        operands = [operand()]
        while self.peek() == operator:
            self._take()
            operands.append(operand())
        return operands[0] if len(operands) == 1 else Node(operator, tuple(operands))

    def _term(self) -> Expression:
        token = self._take()
        if token == "!":
            return Node("!", (self._term(),))
        if token == "(":
            inner = self.alternatives()
            if self._take() != ")":
                raise ValueError("a parenthesis is not closed")
            return inner
        if token in (*_COMPARISONS, ")", "||", "&&"):
            raise ValueError(f"{token!r} stands where a symbol should")
        if self.peek() in _COMPARISONS:
            return Node(self._take(), (token, self._take()))
        return token


def evaluate(expression: Expression, config: Mapping[str, str]) -> int | None:
    """Return the value under `config`: NO, MODULE, YES, or None where a macro decides it."""
    if isinstance(expression, str):
        return _level(expression, config)
    if expression.operator in _COMPARISONS:
        return _compare(expression, config)
    values = [evaluate(operand, config) for operand in expression.operands]
    if expression.operator == "!":
        return None if values[0] is None else YES - values[0]
    known = [value for value in values if value is not None]
    decided = NO if expression.operator == "&&" else YES
    if decided in known:
        return decided
    if len(known) < len(values):
        return None
    return min(known) if expression.operator == "&&" else max(known)


def _level(word: str, config: Mapping[str, str]) -> int | None:
    if word.startswith("$("):
        return None
    if word in _LEVELS:
        return _LEVELS[word]
    return _LEVELS.get(_value(word, config), NO)


def _value(word: str, config: Mapping[str, str]) -> str:
    if word[:1] in ("'", '"'):
        return word[1:-1]
    if word in _LEVELS or re.fullmatch(r"-?\d+|0[xX][0-9a-fA-F]+", word):
        return word
    value = config.get(word, "n")
    return value[1:-1] if value.startswith('"') else value


def _compare(node: Node, config: Mapping[str, str]) -> int | None:
    if any("$(" in str(operand) for operand in node.operands):
        return None
    left, right = (_value(str(operand), config) for operand in node.operands)
    order = _order(left, right)
    holds = {
        "=": order == 0,
        "!=": order != 0,
        "<": order < 0,
        ">": order > 0,
        "<=": order <= 0,
        ">=": order >= 0,
    }[node.operator]
    return YES if holds else NO


def _order(left: str, right: str) -> int:
    try:
        first, second = int(left, 0), int(right, 0)
    except ValueError:
        return (left > right) - (left < right)
    return (first > second) - (first < second)


def blame(expression: Expression, config: Mapping[str, str], level: int = YES) -> list[Expression]:
    """Return the terms of a conjunction that are known to be below `level`."""
    if isinstance(expression, Node) and expression.operator == "&&":
        return [term for operand in expression.operands for term in blame(operand, config, level)]
    value = evaluate(expression, config)
    return [expression] if value is not None and value < level else []


def symbols(expression: Expression) -> list[str]:
    """Return the symbols in an expression, in order, each once."""
    if isinstance(expression, Node):
        found = [name for operand in expression.operands for name in symbols(operand)]
        return list(dict.fromkeys(found))
    is_symbol = re.fullmatch(r"[A-Za-z_]\w*", expression) and expression not in _LEVELS
    return [expression] if is_symbol else []
