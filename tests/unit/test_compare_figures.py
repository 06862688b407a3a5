# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reporting import write_comparison
from harness import paths
from harness.errors import InfrastructureError
from harness.measure.map_cells import Cell
from harness.report.compare_figures import figure_texts, figures_of, write_figures
from harness.report.compare_html import comparison_html
from harness.report.comparison import Compared
from harness.report.html import environment
from harness.report.map_figure import Panel, map_figure
from harness.report.scale import make_scale, text_width, tick_text
from harness.report.world_figures import SeriesFigure, series_figure, strip_figure
from harness.results.direct_maps import BootMaps
from harness.results.measurements import Boot
from harness.run.compare_job import CompareRequest, execute_compare
from harness.run.compare_local import Places
from tests.unit.test_compare_report import (
    BASE,
    CENTRES,
    LOSSES,
    PLACEBO,
    V1,
    V2,
    boots,
    compared,
    with_losses,
)

LABELS = {BASE: "base", V1: "v1"}
VOID = ("meta", "link", "br", "hr", "img", "input")


def pictured() -> Compared:
    plain = [Cell("2M")] * 1024 + [Cell("")] * 1024 + [Cell("1G")] * 512
    split = [
        Cell("4K", holes=True, read_only=True) if n % 4 == 0 else c for n, c in enumerate(plain)
    ]
    maps = [
        BootMaps(Boot(BASE, "secretmem-fragmented", 1), plain, split),
        BootMaps(Boot(V1, "secretmem-fragmented", 1), plain, plain),
    ]
    return replace(compared(), boots=boots(CENTRES), maps={"secretmem-fragmented": maps})


def panels(before: list[Cell], after: list[Cell] | None = None) -> tuple[Panel, ...]:
    made = map_figure([BootMaps(Boot(BASE, "w", 1), before, after)], LABELS, "w")
    assert made is not None
    return tuple(made.panels)


def area(path: str) -> float:
    """Return the area of a path's rectangles."""
    found = re.findall(r"h([\d.]+)v([\d.]+)h-", path)
    return sum(float(wide) * float(high) for wide, high in found)


def test_each_cell_is_drawn_once() -> None:
    cells = [Cell("2M")] * 60 + [Cell("4K")] * 3 + [Cell("4K", holes=True)] * 2 + [Cell("1G")] * 5
    [panel] = panels(cells)
    sizes = {layer.kind: area(layer.path) for layer in panel.layers}
    one = sizes["small"] / 3
    assert {kind: round(size / one) for kind, size in sizes.items()} == {
        "large": 60,
        "small": 3,
        "holes": 2,
        "huge": 5,
    }
    # 60 and 3 and one more fill the first row of 64.
    holes = next(layer for layer in panel.layers if layer.kind == "holes")
    assert holes.path.count("M") == 2
    assert "2 blocks of 2M" in holes.words


def test_before_and_after_are_side_by_side() -> None:
    before, after = panels([Cell("2M")] * 64, [Cell("2M")] * 63 + [Cell("4K", read_only=True)])
    assert (before.head.text, after.head.text) == ("base, before", "base, after")
    assert before.head.y == after.head.y
    assert before.head.x < after.head.x
    assert not before.marks
    assert after.marks.count("M") == 1


def test_rows_without_memory_are_left_out() -> None:
    [panel] = panels([Cell("2M")] * 64 + [Cell("")] * 1024 + [Cell("2M")] * 64)
    assert [gap.text for gap in panel.gaps] == ["2G without memory"]
    assert [layer.kind for layer in panel.layers] == ["large", "absent"]
    [absent] = [layer.path for layer in panel.layers if layer.kind == "absent"]
    assert absent == ""


@pytest.mark.parametrize("gib", [1, 4, 64, 200])
def test_large_machines_have_smaller_cells(gib: int) -> None:
    made = map_figure([BootMaps(Boot(BASE, "w", 1), [Cell("2M")] * (gib * 512), None)], LABELS, "w")
    assert made is not None
    assert made.height < 1400
    assert len(made.addresses) <= 40


def test_pictures_are_well_formed_and_need_nothing(tmp_path: Path) -> None:
    figures = figures_of(pictured())
    write_figures(tmp_path / "new" / "pictures", figures)
    files = sorted((tmp_path / "new" / "pictures").iterdir())
    assert [path.name for path in files] == sorted(figure_texts(figures))
    assert {path.name for path in files} >= {
        "direct-map-secretmem-fragmented.svg",
        "splits-secretmem-fragmented.svg",
        "strip-secretmem-idle-fault_median.svg",
    }
    for path in files:
        text = path.read_text()
        root = ElementTree.fromstring(text)  # noqa: S314
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.findtext("{http://www.w3.org/2000/svg}title")
        assert "prefers-color-scheme: dark" in text
        assert not re.search(r"nan|inf\b|<script|href|url\(|@import", text)


def test_splits_are_drawn_as_the_work_goes_on() -> None:
    first, *others = boots(CENTRES)
    arm = [first, *(one for one in others if one.variant == first.variant)]
    mine = [one for one in arm if one.workload == first.workload][:2]
    told = [replace(mine[0], splits={0: 0, 50: 10, 100: 40})]
    told.append(replace(mine[1], splits={0: 0, 50: 30, 100: 80}))
    figures = figures_of(replace(compared(), boots=told))
    (figure,) = (one.figure for one in figures if one.name.startswith("splits-over-time-"))
    assert isinstance(figure, SeriesFigure)
    assert [tick.text for tick in figure.worlds] == ["0", "50", "100"]
    # The means are 0, 20 and 60, on a scale that grows upwards.
    assert [one.label for one in figure.series] == [f"{LABELS[first.variant]}: 60"]
    heights = [float(y) for _, y in re.findall(r"M([0-9.]+) ([0-9.]+)", figure.series[0].dots)]
    assert heights[0] - heights[2] == pytest.approx(3 * (heights[0] - heights[1]), abs=0.5)


def test_a_folder_that_can_t_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfrastructureError, match="--figures"):
        write_figures(tmp_path / "file" / "pictures", [])


class Tags(HTMLParser):
    """Checks that tags are closed in the order they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_holds_every_picture_and_verdict() -> None:
    shown = pictured()
    figures = figures_of(shown)
    page = comparison_html(shown, figures)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.seen.count("svg") == len(figures) == 1 + 2 + 4
    assert "script" not in tags.seen
    assert not re.search(r'(?:src|href)="(?:https?:|//)', page)
    for words in ("REGRESSED", "v2-v1", "v2 keeps 99.", "--seed 7", "base, after", "worse"):
        assert words in page
    assert "prefers-color-scheme: dark" in page
    assert comparison_html(shown, figures_of(shown)) == page


def test_the_page_marks_what_does_not_rest_on_all_worlds() -> None:
    page = comparison_html(with_losses(LOSSES), [])
    assert "2 x kernel.panic: BUG at mm/page_alloc.c:123 (world 4 first)</code>" in page
    assert ">IMPROVED~</span>" in page
    assert "v1-base 9 of 10, v2-base 8 of 10, v2-v1 7 of 10; a column" in page
    dead = {(V2, "secretmem-idle", world): "dead" for world in range(1, 11)}
    page = comparison_html(with_losses(dead), [])
    assert len(re.findall(r'pill broken" title="no block[^>]*>no boot</span>', page)) == 4
    whole = comparison_html(compared(), [])
    assert "~" not in whole
    assert "no boot" not in whole


def test_units_are_what_the_machine_counts() -> None:
    shown = pictured()
    strips = [one.figure.title for one in figures_of(shown) if one.kind == "strip"]
    assert "fault_median (instr.)" in strips
    page = comparison_html(shown, figures_of(shown))
    assert "<small>instr.</small>" in page
    assert "<dt>Units</dt>" in page
    smp = replace(shown, plan=shown.plan.model_copy(update={"machine": "smp-4"}))
    page = comparison_html(smp, figures_of(smp))
    assert "fault_median (ns)" in page
    assert "<small>ns</small>" in page
    assert "instr." not in page
    assert "<dt>Units</dt>" not in page


def test_what_a_guest_says_is_no_markup() -> None:
    why = {V1: "build.compile: <b>&\x1b[31m"}
    page = comparison_html(replace(pictured(), not_built=why), [])
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;\\x1b[31m" in page


def test_without_boots_there_are_no_pictures_but_a_page() -> None:
    shown = compared()
    assert figures_of(shown) == []
    assert "<svg" not in comparison_html(shown, [])


def test_a_dot_for_each_world() -> None:
    values = {BASE: {1: 1.0, 2: 5.0, 3: 5.0}, V1: {1: 9.0}, PLACEBO: {}}
    strip = strip_figure("m", values, LABELS)
    series = series_figure("m", values, LABELS)
    assert strip is not None
    assert series is not None
    assert [row.dots.count("M") for row in strip.rows] == [3, 1]
    assert [row.centre_text for row in strip.rows] == ["5", "9"]
    assert [one.dots.count("M") for one in series.series] == [3, 1]
    assert [one.text for one in series.worlds] == ["1", "2", "3"]
    assert strip_figure("m", {BASE: {}}, LABELS) is None
    assert series_figure("m", {}, LABELS) is None


def test_many_worlds_are_a_bar_and_stay_in_their_row() -> None:
    strip = strip_figure("m", {BASE: dict.fromkeys(range(625), 3.0)}, LABELS)
    assert strip is not None
    [row] = strip.rows
    assert len(row.dots) < 40
    found = re.fullmatch(r"M[\d.]+ ([\d.]+)v([\d.]+)", row.dots)
    assert found is not None
    assert row.y - 13 < float(found[1]) < float(found[1]) + float(found[2]) < row.y + 13


def test_labels_of_series_stand_apart() -> None:
    """With base and placebo the same, one label would else hide the other."""
    values = {name: {1: 5.0, 2: 5.0 + number} for number, name in enumerate("abcd")}
    for mirrored in (1, -1):
        scaled = {name: {w: v * mirrored for w, v in one.items()} for name, one in values.items()}
        series = series_figure("m", scaled, {})
        assert series is not None
        places = sorted(one.label_y for one in series.series)
        assert all(b - a >= 15.9 for a, b in pairwise(places))
        assert places[0] > 18
        assert places[-1] <= series.bottom + 4


@pytest.mark.parametrize("label", ["base", "gfp-unmapped@v1", "n" * 30, "W" * 20, "k" * 60])
def test_labels_of_any_length_are_within_their_picture(label: str) -> None:
    # Bold DejaVu Sans, 12 pixels high.
    widths = {"n": 8.55, "W": 13.24, "k": 7.99}
    room = len(label) * widths[label[0]] if label[0] in widths else text_width(label)
    values = {"a": {1: 1.0, 2: 5.0}, "b": {1: 9.0}}
    strip = strip_figure("m", values, {"a": label, "b": "b"})
    usual = strip_figure("m", values, {"a": "a", "b": "b"})
    assert strip is not None
    assert usual is not None
    assert strip.left - 8 >= room
    # It takes nothing from the plot.
    assert strip.right - strip.left == usual.right - usual.left
    assert strip.width - strip.right == usual.width - usual.right
    svg = environment().get_template("figure.svg.j2").render(kind="strip", figure=strip)
    found = re.search(rf'<text x="([\d.]+)" y="[\d.]+" class="end s0">{label}</text>', svg)
    assert found is not None
    assert float(found[1]) == strip.left - 8
    series = series_figure("m", values, {"a": label, "b": "b"})
    assert series is not None
    assert series.right + 12 + room + text_width(": 3") <= series.width


def test_a_title_is_within_its_picture() -> None:
    strip = strip_figure("a_name_that_is_long " * 5, {BASE: {1: 0.0, 2: 5000.0}}, LABELS)
    assert strip is not None
    assert strip.width >= text_width(strip.title, 13)


def test_texts_at_an_axis_do_not_touch() -> None:
    values = {BASE: {1: 0.0}, V1: {1: 2_000_000.0}}
    series = series_figure("m", values, LABELS)
    strip = strip_figure("m", values, LABELS)
    assert series is not None
    assert strip is not None
    assert series.note
    assert all(below.at - above.at >= 12 for below, above in pairwise(series.ticks))
    for one, after in pairwise(strip.ticks):
        assert after.at - one.at >= text_width(one.text + after.text) / 2


NUMBERS = st.lists(
    st.one_of(st.integers(-(10**9), 10**12).map(float), st.floats(-1e6, 1e6)), min_size=1
)


@settings(max_examples=60)
@given(NUMBERS)
def test_every_value_has_a_place_and_the_order_stays(values: list[float]) -> None:
    scale = make_scale(values, values, 10, 210)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert places[0] >= 10
    assert places[-1] <= 210
    ticks = scale.ticks()
    assert len(ticks) <= 6
    assert all(9.9 <= tick.at <= 210.1 for tick in ticks)


def test_an_axis_is_logarithmic_where_centres_are_far_apart() -> None:
    far = make_scale([0, 3, 1024, 1030], [3, 1024], 0, 100)
    assert far.logarithmic
    assert [tick.text for tick in far.ticks()] == ["0", "1", "10", "100", "1,000"]
    assert far.at(3) > 15
    assert not make_scale([900, 1024], [900, 1024], 0, 100).logarithmic
    assert not make_scale([-1, 1024], [0, 1024], 0, 100).logarithmic
    assert [tick.text for tick in make_scale([7, 7], [7], 0, 100).ticks()] == [
        "6",
        "6.5",
        "7",
        "7.5",
        "8",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2.5, "2.5"), (1024, "1,024"), (34420, "34.42k"), (1.5e6, "1.5M"), (2e9, "2G")],
)
def test_texts_at_an_axis_are_short(value: float, text: str) -> None:
    assert tick_text(value) == text


def test_a_report_made_again_is_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_comparison(tmp_path, 16)
    request = CompareRequest(
        tmp_path,
        Places(paths.KERNEL_PATCHES, paths.TESTCASES),
        resume=folder.name,
        report_only=True,
        form="html",
        figures=tmp_path / "pictures",
    )
    names = ("report.html", "results.json", "report.md", "mail.txt")
    made: list[list[str]] = []
    for _ in range(2):
        assert execute_compare(request) == 3
        made.append([(folder / name).read_text() for name in names])
        assert capsys.readouterr().out == made[-1][0]
    assert made[0] == made[1]
    assert len(list((tmp_path / "pictures").glob("splits-*.svg"))) == 4
