# SPDX-License-Identifier: GPL-2.0-or-later
"""Where lines come from, on a Kconfig file in small and configurations that `make` could give."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.kernel.fragment import merge, parse_fragment, select
from harness.kernel.kconfig import read_tree
from harness.kernel.provenance import (
    Configuration,
    State,
    describe,
    differences,
    lines_of,
    origin_of,
    parse_start,
    unasked,
)

KCONFIG = """
config PARENT
	bool "Parent"
	select CHOSEN
	imply LIKELY

config CHILD
	tristate "Child"
	depends on PARENT
	default m if OTHER
	default y

config OTHER
	bool "Other"

config CHOSEN
	bool

config NEVER
	bool

config LIKELY
	bool "Likely"

config FROM_START
	bool "From the start"

choice
	prompt "One of"
config ONE
	bool "One"
config TWO
	bool "Two"
endchoice

config TEXT
	string
	default "a if b" if PARENT

config CONSTANT
	def_bool y
	depends on OTHER

config TWICE
	bool
	depends on OTHER
	default y

config TWICE
	bool
	default y if PARENT
"""


def configuration(
    tmp_path: Path,
    config: dict[str, str],
    fragments: dict[str, str],
    *,
    start: str = "",
    version: str = "6.1",
) -> Configuration:
    (tmp_path / "Kconfig").write_text(KCONFIG)
    requests = [
        request
        for name, text in fragments.items()
        for request in parse_fragment(text, name, Path(name))
    ]
    asked, left_out = select(requests, version)
    return Configuration(
        variant="mini",
        profile="fast",
        start_name="tinyconfig",
        start=parse_start(start),
        config=config,
        wanted=merge(asked),
        left_out=tuple(left_out),
        tree=read_tree(tmp_path),
    )


def test_every_line_that_was_asked_for_is_told_in_order(tmp_path: Path) -> None:
    found = lines_of(
        configuration(
            tmp_path,
            {"PARENT": "y", "CHOSEN": "y"},
            {
                "a": "CONFIG_PARENT=y\nCONFIG_OTHER=y\n# since 6.5: new\nCONFIG_TWO=y\n",
                "b": "# overrides: off here\n# CONFIG_OTHER is not set\nCONFIG_NEVER=y\n",
                "series@v1": "CONFIG_PARENT=y\nCONFIG_CHILD=y\n",
            },
        )
    )
    assert [(line.request.where, line.became, line.state) for line in found] == [
        ("a:1", "y", State.GRANTED),
        ("a:2", "n", State.OVERRIDDEN),
        ("a:4", "n", State.LEFT_OUT),
        ("b:2", "n", State.GRANTED),
        ("b:3", "n", State.REFUSED),
        ("series@v1:2", "n", State.REFUSED),
    ]
    assert found[1].reasons == ("b:2 has # CONFIG_OTHER is not set: off here",)
    assert found[2].reasons == ("only for kernels since 6.5: new",)
    assert "it can't be set: it has no prompt" in found[4].reasons[0]


@pytest.mark.parametrize(
    ("symbol", "value", "words"),
    [
        ("PARENT", "y", "asked for by a:1"),
        ("CHOSEN", "y", "selected by PARENT"),
        ("CHILD", "y", "default y (Kconfig:7)"),
        ("LIKELY", "y", "implied by PARENT"),
        ("FROM_START", "y", "as tinyconfig has it"),
        ("ONE", "y", "the default of its choice"),
        ("TWICE", "y", "default y if PARENT (Kconfig:49)"),
        ("TEXT", '"a if b"', 'default "a if b" if PARENT (Kconfig:36)'),
        ("OTHER", "n", "tinyconfig leaves it out, and no fragment asks for it"),
        ("TWO", "n", "no fragment asks for it, and no default sets it"),
        ("CONSTANT", "n", "depends on OTHER (Kconfig:40): OTHER is n"),
        ("NEVER", "n", "it has no prompt (Kconfig:19), and nothing that selects it is set"),
        ("CHILDD", "n", "this kernel has no symbol CHILDD (near: CHILD)"),
    ],
)
def test_where_a_value_comes_from(tmp_path: Path, symbol: str, value: str, words: str) -> None:
    config = {
        "PARENT": "y",
        "CHOSEN": "y",
        "CHILD": "y",
        "LIKELY": "y",
        "FROM_START": "y",
        "ONE": "y",
        "TWICE": "y",
        "TEXT": '"a if b"',
    }
    start = "CONFIG_FROM_START=y\n# CONFIG_OTHER is not set\n"
    given = configuration(tmp_path, config, {"a": "CONFIG_PARENT=y\n"}, start=start)
    origin = origin_of(given, symbol)
    assert origin.value == value
    assert origin.words.startswith(words)
    assert {each.symbol for each in unasked(given)} == config.keys() - {"PARENT"}


def test_who_asks_for_what_nobody_can_set_is_not_the_reason(tmp_path: Path) -> None:
    config = {"PARENT": "y", "CHOSEN": "y"}
    given = configuration(tmp_path, config, {"a": "CONFIG_PARENT=y\nCONFIG_CHOSEN=y\n"})
    assert origin_of(given, "CHOSEN").words == "asked for by a:2; selected by PARENT"
    assert origin_of(given, "PARENT").words == "asked for by a:1"


def test_all_that_there_is_to_say_about_a_symbol(tmp_path: Path) -> None:
    given = configuration(tmp_path, {}, {"a": "CONFIG_CHILD=y\n"})
    assert describe(given, "CHILD") == [
        "# CONFIG_CHILD is not set",
        'tristate, "Child" (Kconfig:7)',
        "depends on PARENT",
        "a:1 asks for CONFIG_CHILD=y: refused",
        "  depends on PARENT (Kconfig:7): PARENT is n",
        "is n: depends on PARENT (Kconfig:7): PARENT is n",
    ]


def test_differences_say_where_either_value_comes_from(tmp_path: Path) -> None:
    left = configuration(tmp_path, {"OTHER": "y", "CONSTANT": "y", "ONE": "y"}, {"a": ""})
    right = configuration(
        tmp_path, {"PARENT": "y", "CHOSEN": "y", "ONE": "y"}, {"a": "CONFIG_PARENT=y\n"}
    )
    found = {each.symbol: each for each in differences(left, right)}
    assert list(found) == ["CHOSEN", "CONSTANT", "OTHER", "PARENT"]
    assert found["CHOSEN"].right.words == "selected by PARENT"
    assert (found["CONSTANT"].left.value, found["CONSTANT"].right.value) == ("y", "n")
    assert found["CONSTANT"].left.words == "default y (Kconfig:40)"
    assert differences(left, left) == []


WORDS = st.sampled_from(
    """config A|config B|menuconfig C|choice|endchoice|if A|endif|menu "M"|endmenu|bool|tristate "T"
    bool "B" if C|default y if B|default m|def_bool y|depends on A && !B|depends on (|select B if C
    imply C|select A|range 1 2|string "S"|default "a if b" if A|help|  words|prompt "P"|default A=B
    source "Kconfig.other"|depends on $(cc-option,-f)|\\""".replace("\n", "|").split("|")
)
CONFIGS = st.dictionaries(st.sampled_from("ABC"), st.sampled_from(["y", "m", "1", '"s"']))


@settings(max_examples=200)
@given(st.lists(WORDS, max_size=30), CONFIGS, st.sampled_from(["y", "n", "m"]))
def test_whatever_a_kconfig_file_says_there_is_something_to_tell(
    lines: list[str], config: dict[str, str], value: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        given_ = configuration(Path(folder), config, {"a": ""})
        (Path(folder) / "Kconfig").write_text("\n".join(lines))
        fragment = f"CONFIG_A={value}\n" if value != "n" else "# CONFIG_A is not set\n"
        requests = parse_fragment(fragment, "a", Path("a"))
        given_ = replace(given_, tree=read_tree(Path(folder)), wanted=merge(requests))
    (line,) = lines_of(given_)
    assert (line.state is State.GRANTED) == (config.get("A", "n") == value)
    assert bool(line.reasons) == (line.state is not State.GRANTED)
    for symbol in "ABC":
        assert origin_of(given_, symbol).words
        assert describe(given_, symbol)[-1].startswith("is ")
