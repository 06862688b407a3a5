# SPDX-License-Identifier: GPL-2.0-or-later
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.kernel.fragment import (
    Request,
    config_line,
    merge,
    overlay,
    parse_config,
    parse_fragment,
    parse_line,
    select,
    unmet,
)

FILE = Path("a.config")
SYMBOLS = st.from_regex(r"[A-Z0-9_]{1,10}", fullmatch=True)
VALUES = st.one_of(
    st.sampled_from(["y", "m", "n"]),
    st.integers(-10, 10**6).map(str),
    st.integers(0, 2**64).map(hex),
    st.from_regex(r'"[a-z /=#]{0,8}"', fullmatch=True),
)
CONFIGS = st.dictionaries(SYMBOLS, VALUES, max_size=12)


def requests(config: dict[str, str], origin: str = "a") -> list[Request]:
    return [Request(symbol, value, origin, 1) for symbol, value in config.items()]


@given(SYMBOLS, VALUES)
def test_a_line_gives_back_its_symbol_and_value(symbol: str, value: str) -> None:
    assert parse_line(config_line(symbol, value)) == (symbol, value)


@given(CONFIGS)
def test_a_config_gives_back_what_is_set(config: dict[str, str]) -> None:
    text = "\n".join(config_line(symbol, value) for symbol, value in config.items())
    assert parse_config(text) == {s: v for s, v in config.items() if v != "n"}


@given(CONFIGS, CONFIGS)
def test_what_is_laid_over_a_config_wins(under: dict[str, str], over: dict[str, str]) -> None:
    text = "".join(config_line(symbol, value) + "\n" for symbol, value in under.items())
    result = parse_config(overlay(text, requests(over)))
    assert result == {s: v for s, v in {**under, **over}.items() if v != "n"}
    assert unmet(result, requests(over)) == []


@given(CONFIGS, CONFIGS)
def test_the_later_request_wins_and_a_difference_is_told(
    first: dict[str, str], second: dict[str, str]
) -> None:
    merged = merge([*requests(first, "a"), *requests(second, "b")])
    assert {r.symbol: r.value for r in merged.requests} == {**first, **second}
    differing = {s for s in first.keys() & second.keys() if first[s] != second[s]}
    assert {conflict.winner.symbol for conflict in merged.conflicts} == differing


@given(st.text())
def test_any_text_is_a_fragment_or_names_the_line(text: str) -> None:
    try:
        parse_fragment(text, "a", FILE)
    except ConfigError as error:
        assert "a.config: line " in str(error)


VERSIONS = st.builds("{}.{}".format, st.integers(2, 7), st.integers(0, 30))
WHYS = st.from_regex(r"[a-z][a-z: #]{0,12}[a-z]", fullmatch=True)
REMARKED = st.builds(
    lambda symbol, value, since, before, why, overrides: Request(
        symbol, value, "a", 0, since, before, why if since or before else "", overrides
    ),
    SYMBOLS,
    VALUES,
    st.just("") | VERSIONS,
    st.just("") | VERSIONS,
    WHYS,
    st.just("") | WHYS,
)


def written(request: Request) -> list[str]:
    lines = [f"# since {request.since}: {request.why}"] if request.since else []
    if request.before:
        lines.append(f"# before {request.before}: {request.why}")
    if request.overrides:
        lines.append(f"# overrides: {request.overrides}")
    return [*lines, request.text()]


@given(st.lists(REMARKED, max_size=6, unique_by=lambda request: request.symbol), VERSIONS)
def test_remarks_are_read_as_they_are_written(given_: list[Request], version: str) -> None:
    lines = [line for request in given_ for line in written(request)]
    found = parse_fragment("\n".join(lines), "a", FILE)
    for before, after in zip(given_, found, strict=True):
        twice = f"{before.why}; {before.why}" if before.since and before.before else before.why
        assert replace(before, why=twice, line=after.line) == after
        assert lines[after.line - 1] == after.text()
        number = [int(part) for part in version.split(".")]
        asked = (not after.since or number >= [int(x) for x in after.since.split(".")]) and (
            not after.before or number < [int(x) for x in after.before.split(".")]
        )
        assert (after in select(found, version)[0]) == asked


def test_a_fragment() -> None:
    text = "# why\nCONFIG_A=y\n\n# CONFIG_B is not set\nCONFIG_C=0x10\n"
    assert parse_fragment(text, "x.config", FILE) == [
        Request("A", "y", "x.config", 2),
        Request("B", "n", "x.config", 4),
        Request("C", "0x10", "x.config", 5),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CONFIG_A=yes\n", "line 1: 'CONFIG_A=yes' is no configuration line"),
        ("\nA=y\n", "line 2: 'A=y'"),
        ("# CONFIG_A is not sett\n", "line 1"),
        ("#CONFIG_A=y\n", "line 1"),
        ("CONFIG_A=y\nCONFIG_A=y\n", "line 2: CONFIG_A is on line 1 already"),
        ("# since 6.5:\nCONFIG_A=y\n", "line 1: '# since 6.5:' has no version or no reason"),
        ("# before 6.x: why\nCONFIG_A=y\n", "line 1: '# before 6.x: why' has no version"),
        ("# overrides:\nCONFIG_A=y\n", "line 1: '# overrides:' has no version or no reason"),
        ("# since 6.5: why\n\nCONFIG_A=y\n", "line 1: this remark has no configuration line"),
        ("CONFIG_A=y\n# overrides: why\n", "line 2: this remark has no configuration line"),
        (
            "# before 6.6: why\nCONFIG_A=y\n# since 6.5: why\nCONFIG_A=m\n",
            "line 4: CONFIG_A is on line 2 already",
        ),
    ],
)
def test_a_line_that_is_none(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_fragment(text, "a", FILE)
    assert words in str(caught.value)


def test_not_set_is_met_by_what_is_absent() -> None:
    wanted = [Request("A", "n", "a", 1), Request("B", "m", "a", 2), Request("C", "n", "a", 3)]
    assert unmet({"B": "y", "C": "m"}, wanted) == [(wanted[1], "y"), (wanted[2], "m")]


def test_a_line_for_some_kernels_only() -> None:
    text = (
        "# since 6.2: it came then\nCONFIG_A=y\n"
        "# since 6.9: new name\n# before 6.12: gone\nCONFIG_B=m\n"
        "# before 6.5: small\nCONFIG_C=1\n# since 6.5: large\nCONFIG_C=2\n"
        "CONFIG_D=y\n"
    )
    found = parse_fragment(text, "x", FILE)
    assert [(r.symbol, r.versions, r.why) for r in found[:2]] == [
        ("A", "since 6.2", "it came then"),
        ("B", "since 6.9, before 6.12", "new name; gone"),
    ]
    for version, values in {
        "5.15": ["C=1", "D=y"],
        "6.1": ["C=1", "D=y"],
        "6.2": ["A=y", "C=1", "D=y"],
        "6.10": ["A=y", "B=m", "C=2", "D=y"],
        "6.12": ["A=y", "C=2", "D=y"],
    }.items():
        asked, left_out = select(found, version)
        assert [f"{r.symbol}={r.value}" for r in asked] == values
        assert sorted([*asked, *left_out], key=lambda r: r.line) == found


def test_who_says_why_overrides_without_a_conflict() -> None:
    first = parse_fragment("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n", "a", FILE)
    text = "# overrides: less\n# CONFIG_A is not set\nCONFIG_B=m\nCONFIG_C=y\n"
    merged = merge([*first, *parse_fragment(text, "b", FILE)])
    assert [str(conflict) for conflict in merged.conflicts] == [
        "b:3: CONFIG_B=m overrides CONFIG_B=y of a:2"
    ]
    assert [conflict.winner.overrides for conflict in merged.overridden] == ["less"]
    assert [request.where for request in merged.requests] == ["b:2", "b:3", "a:3"]
    assert merged.origins == ("a", "b")
