# SPDX-License-Identifier: GPL-2.0-or-later
import contextlib
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.kconfig import Tree, logical_lines, read_tree
from harness.kernel.kconfig_expression import (
    NO,
    YES,
    Expression,
    Node,
    blame,
    evaluate,
    parse_expression,
    symbols,
)
from harness.kernel.kconfig_reasons import explain

NAMES = st.sampled_from(["A", "B", "C", "LONG_NAME", "64BIT"])
TERMS = st.one_of(
    NAMES,
    st.builds(lambda a, op, b: Node(op, (a, b)), NAMES, st.sampled_from(["=", "!="]), NAMES),
)


def chain(operator: str, operands: list[Expression]) -> Node:
    return Node(operator, tuple(operands))


EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.builds(lambda x: Node("!", (x,)), inner),
        st.builds(chain, st.sampled_from(["&&", "||"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=8,
)
CONFIGS = st.dictionaries(NAMES, st.sampled_from(["y", "m"]))

KCONFIG = Path(__file__).parent / "data" / "Kconfig"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "arch/x86").mkdir(parents=True)
    shutil.copy(KCONFIG, tmp_path)
    (tmp_path / "arch/x86/Kconfig").write_text('config DEEP\n\tbool "Deep"\n')
    (tmp_path / "arch/arm64/errata").mkdir(parents=True)
    (tmp_path / "arch/arm64/errata/Kconfig").write_text("menuconfig ARM64_ERRATUM\nconfig ONE\n")
    return read_tree(tmp_path)


@given(EXPRESSIONS)
def test_an_expressions_text_means_the_same(expression: Expression) -> None:
    again = parse_expression(str(expression))
    assert symbols(again) == symbols(expression)
    for config in ({}, {"A": "y"}, {"B": "m", "C": "y"}, {"LONG_NAME": "y", "64BIT": "y"}):
        assert evaluate(again, config) == evaluate(expression, config)


@given(EXPRESSIONS, CONFIGS)
def test_an_unmet_expression_has_someone_to_blame(
    expression: Expression, config: dict[str, str]
) -> None:
    value = evaluate(expression, config)
    assert value is not None
    assert bool(blame(expression, config)) == (value < YES)
    for term in blame(expression, config):
        assert not (isinstance(term, Node) and term.operator == "&&")


@given(st.text())
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        evaluate(parse_expression(text), {})


def test_a_macro_is_unknown_and_not_blamed() -> None:
    expression = parse_expression("$(cc-option,-fx(y)) && A")
    assert evaluate(expression, {"A": "y"}) is None
    assert evaluate(expression, {}) == NO
    assert blame(expression, {}) == ["A"]


@given(st.text())
def test_any_text_has_logical_lines(text: str) -> None:
    for number, line in logical_lines(text):
        assert number >= 1
        assert line.strip()


def test_what_we_have_too_is_not_of_another_architecture(tree: Tree) -> None:
    assert tree.foreign == {"ARM64_ERRATUM": "arm64"}


def test_help_and_remarks_are_left_out(tree: Tree) -> None:
    assert "NOT_THIS" not in tree.definitions
    (in_menu,) = tree.definitions["IN_MENU"]
    assert in_menu.depends == ["OUTER", "FIRST && (SECOND || !THIRD)"]
    assert tree.selects["CHOSEN"] == [("IN_MENU", "OUTER")]


@pytest.mark.parametrize(
    ("config", "symbol", "wanted", "words"),
    [
        ({}, "DEEP", "y", "depends on SECOND (arch/x86/Kconfig:1): SECOND is n"),
        ({"FIRST": "y"}, "IN_MENU", "y", "depends on OUTER (Kconfig:13): OUTER is n"),
        (
            {"OUTER": "y", "FIRST": "y", "THIRD": "y"},
            "IN_MENU",
            "m",
            "depends on FIRST && (SECOND || !THIRD) (Kconfig:13): SECOND is n, THIRD is y",
        ),
        ({"IN_MENU": "m", "OUTER": "y"}, "CHOSEN", "n", "IN_MENU if OUTER selects it"),
        ({}, "CHOSEN", "y", "it has no prompt (Kconfig:28); selected by IN_MENU"),
        ({"TWO": "y"}, "ONE", "y", "it is one of a choice, and TWO is chosen"),
        ({"HIDDEN": "y"}, "HIDDEN", "n", "it can be set only if EXPERT (Kconfig:39): EXPERT is n"),
        ({"NUMBER": "8"}, "NUMBER", "9", "its range is 1 8"),
        ({}, "MACRO", "y", "(Kconfig:47): FIRST is n"),
        ({}, "OUTER", "m", "it is a bool (Kconfig:2): y or n, never m"),
        ({}, "ARM64_ERRATUM", "y", "is a symbol of another architecture (arch/arm64)"),
        ({}, "OUTERR", "y", "this kernel has no symbol OUTERR (near: OUTER)"),
    ],
)
def test_reasons(tree: Tree, config: dict[str, str], symbol: str, wanted: str, words: str) -> None:
    assert words in "\n".join(explain(tree, config, symbol, wanted))
