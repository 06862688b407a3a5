# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from harness.measure.metric import Metric, MetricClass
from harness.report.comparison_words import aligned, fitting, shown_unit, signed, wrap
from harness.report.labels import comparison_labels, short_labels
from harness.report.markdown import code, fenced, table

BASE, V1, V2 = "debian-6.1", "debian-6.1+gfp-unmapped@v1", "debian-6.1+gfp-unmapped@v2"
GIT = "git:/home/somebody/src/linux"


@pytest.mark.parametrize(
    ("kind", "declared", "deterministic", "elsewhere"),
    [
        (MetricClass.LATENCY, "ns", "instr.", "ns"),
        (MetricClass.LATENCY, "instr", "instr.", "ticks"),
        (MetricClass.LATENCY, "us", "us", "us"),
        (MetricClass.COUNT, "ns", "ns", "ns"),
        (MetricClass.COUNT, "splits", "splits", "splits"),
        (MetricClass.COUNT, "", "", ""),
    ],
)
def test_a_unit_is_what_the_machine_counts(
    kind: MetricClass, declared: str, deterministic: str, elsewhere: str
) -> None:
    metric = Metric(name="m", source="out.m", unit=declared, kind=kind)
    assert shown_unit(metric, deterministic=True) == deterministic
    assert shown_unit(metric, deterministic=False) == elsewhere


@pytest.mark.parametrize(
    ("value", "exact", "other"),
    [
        (-473_186.0, "-473,186", "-473,186"),
        (12_345_678.25, "+12,345,678", "+12,345,678"),
        (-923.67, "-924", "-923.7"),
        (3.0, "+3", "+3"),
        (0.0, "0", "0"),
        (-0.0, "0", "0"),
        (1.5, "+1.50", "+1.50"),
        (-0.0017, "-0.0017", "-0.0017"),
    ],
)
def test_differences_are_written_out(value: float, exact: str, other: str) -> None:
    assert signed(value, MetricClass.EXACT) == exact
    assert signed(value, MetricClass.COUNT) == other


@pytest.mark.parametrize(
    ("variants", "labels"),
    [
        ([BASE, V1, V2, f"{BASE}+placebo@v1"], ["base", "v1", "v2", "placebo"]),
        (["debian-6.1+a@v1", "debian-6.1+b@v1"], ["a@v1", "b@v1"]),
        (["debian-6.1", "debian-6.12"], ["debian-6.1", "debian-6.12"]),
        ([f"{GIT}@v6.1", f"{GIT}@v6.2"], ["v6.1", "v6.2"]),
        ([f"{GIT}@origin/one", f"{GIT}@{'0123abcd' * 5}"], ["one", "0123abcd"]),
        ([f"{GIT}@v6.1", f"{GIT}@v6.2+s@v1", f"{GIT}@v6.2+s@v2:3"], ["base", "v1", "v2:3"]),
        ([f"{GIT}@v6.1+s@v1", f"{GIT}@v6.2+s@v1"], ["v6.1+v1", "v6.2+v1"]),
        (["tree:/src/linux/", "tarball:/src/linux-6.1.tar.xz"], ["linux", "linux-6.1"]),
        (["tree:/src/a/linux", "tree:/src/b/linux"], ["k1", "k2"]),
        (["tree:/src/linux-with-a-patch", "debian-6.1"], ["k1", "k2"]),
        (["a+placebo@v1", "a+placebo@v2"], ["v1", "v2"]),
    ],
)
def test_labels_are_short_and_unique(variants: list[str], labels: list[str]) -> None:
    assert short_labels(variants) == dict(zip(variants, labels, strict=True))


def test_the_control_has_a_label_of_its_own() -> None:
    mine = "debian-6.1+mine@v1"
    assert list(comparison_labels([BASE, V1], [BASE, mine]).values()) == ["base", "v1", "placebo"]
    assert list(comparison_labels([V1, V2], [BASE, mine]).values()) == [
        "v1",
        "v2",
        "base",
        "placebo",
    ]
    assert list(comparison_labels([BASE, mine], [BASE, mine]).values()) == ["base", "v1"]
    assert list(comparison_labels([BASE, V1], []).values()) == ["base", "v1"]


def test_more_variants_have_shorter_labels() -> None:
    """Three columns of eleven characters, and three of their pairs, fill a mail on their own."""
    three = ["debian-6.1", "debian-6.12", "debian-6.6"]
    assert list(comparison_labels(three[:2], []).values()) == three[:2]
    assert list(comparison_labels(three, []).values()) == ["k1", "k2", "k3"]


def test_columns_are_closer_before_a_unit_is_left_out_and_no_name_is_cut() -> None:
    rows = [["", "v6.12\n-v6.1"], ["* splits (many)", "1,024"], ["  a_long_name (kB)", "7"]]
    assert aligned(rows, 40) == [
        "                    v6.12",
        "                    -v6.1",
        "* splits (many)     1,024",
        "  a_long_name (kB)      7",
    ]
    assert [len(line) for line in aligned(rows, 24)] == [24] * 4
    assert aligned(rows, 20)[2:] == ["* splits       1,024", "  a_long_name      7"]
    assert aligned(rows, 16)[2:] == ["* splits   1,024", "  a_long_name", "               7"]


FULL = [
    ["", "base", "v1-base"],
    ["* splits (many)", "1,024", "INCONCL. 12"],
    ["  a_long_name (kB)", "7", "EQUIV."],
    *([f"  m{number} (kB)", "7", "EQUIV."] for number in range(3)),
]
SHORT = [[cell.removesuffix(" 12") for cell in row] for row in FULL]


@pytest.mark.parametrize(
    ("width", "number", "own_lines", "units"),
    [
        (37, True, 0, ""),
        (33, True, 0, "units: a_long_name in kB"),
        (31, True, 0, "units: splits in many; a_long_name in kB"),
        (30, True, 1, "units: splits in many; a_long_name in kB"),
        (26, True, 1, "units: splits in many; a_long_name, m0, m1, m2 in kB"),
        (25, False, 1, "units: splits in many; a_long_name in kB"),
    ],
)
def test_what_it_would_take_costs_units_and_few_lines(
    width: int, number: bool, own_lines: int, units: str
) -> None:
    """If this failed, a mail would say that something is not known, and not what it takes."""
    lines = fitting(FULL, SHORT, width)
    assert max(map(len, lines)) <= width
    assert any(line.endswith("INCONCL. 12") for line in lines) is number
    assert lines.count("  a_long_name") == own_lines
    told = " ".join(" ".join(lines).split())
    assert told.endswith(units or "m2 (kB) 7 EQUIV.")


def test_numbers_are_left_out_where_many_names_would_get_a_line_of_their_own() -> None:
    names = ["  one_name", "  another_name", "  a_third_name", "  the_last_name"]
    full = [["", "v1-base"], *([name, "INCONCL. 12"] for name in names)]
    short = [["", "v1-base"], *([name, "INCONCL."] for name in names)]
    assert fitting(full, short, 26) == aligned(full, 26)
    assert fitting(full, short, 24) == aligned(short, 24)


def test_names_are_not_broken_at_a_hyphen() -> None:
    assert wrap("  v2-base secretmem-fragmented", 26) == ["  v2-base", "    secretmem-fragmented"]


def test_markdown_takes_what_a_kernel_says() -> None:
    assert code("a `b`\nc") == "``a `b` c``"
    assert code("`b") == "`` `b ``"
    assert fenced(["```", "x"]) == ["````", "```", "x", "````"]
    assert table(["a", "b"], [["x|y", "1"]], right=[1]) == [
        "| a | b |",
        "| --- | ---: |",
        "| x\\|y | 1 |",
    ]
