# SPDX-License-Identifier: GPL-2.0-or-later
"""The reports of a run: what each shows, and that a guest's words can't break them."""

from __future__ import annotations

import io
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import junitparser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from harness.errors import UserError
from harness.events import (
    BuildFinished,
    BuildProgress,
    CellFinished,
    Event,
    Message,
    TestFinished,
    TestsCollected,
)
from harness.outcomes import Outcome
from harness.report.html import html_text
from harness.report.junit import junit_text
from harness.report.ktap import ktap_text
from harness.report.progress import BuildPace, Progress, remaining
from harness.report.tables import print_tables
from harness.report.words import STYLES, counted, duration, group_of, printable, signed
from harness.report.write import write_reports
from harness.results.event_log import read_events
from harness.results.model import build_results
from harness.results.schema import Results
from harness.testing.ktap import parse_ktap

DATA = Path(__file__).parent / "data" / "run-events.jsonl"
NASTY = "\x1b[2J\x00</pre><script>alert(1)</script>]]>\ud800\u202e & \"'"


@pytest.fixture(scope="module")
def results() -> Results:
    return build_results(read_events(DATA))


@pytest.fixture(scope="module")
def nasty() -> Results:
    """The sample, with a guest and a compiler that say the worst."""

    def spoil(event: Event) -> Event:
        changes: dict[str, object] = {}
        if isinstance(event, TestFinished):
            changes = {"reason": NASTY, "detail": NASTY}
        elif isinstance(event, BuildFinished):
            changes = {"message": NASTY, "lines": [NASTY], "log": NASTY, "release": NASTY}
        elif event.type in ("test-check", "boot-finished"):
            key = "reason" if event.type == "test-check" else "title"
            changes = {key: NASTY}
        elif isinstance(event, Message):
            changes = {"text": NASTY}
        return event.model_copy(update=changes)

    return build_results([spoil(event) for event in read_events(DATA)])


def tables(results: Results, width: int = 200) -> str:
    out = io.StringIO()
    print_tables(results, Path("/runs/x"), Console(file=out, width=width, color_system=None))
    return out.getvalue()


class Page(HTMLParser):
    """Collects what a page holds and where it points."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        values = dict(attrs)
        self.links += [values[key] or "" for key in ("href", "src") if key in values]
        self.ids += [values["id"] or ""] if "id" in values else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_tables_fit_and_tell_the_outcomes(results: Results) -> None:
    text = tables(results)
    paths = [line for line in text.splitlines() if line.startswith(("/", "not as", "again"))]
    assert all(len(line) <= 100 for line in text.splitlines() if line not in paths)
    row = next(line for line in text.splitlines() if "M4-storm" in line)
    assert row.split() == ["module_alloc/M4-storm", "pass", "kernel.oops"]
    assert "+4 (-64)" in text
    assert "order 3, subpage 5: frame 0x100a74" in text
    assert "mm/unmapped-alloc.c, hunk 1" in text
    assert "exit code 1" in text
    assert "/runs/x/report.html" in text
    assert "patchbed report 20261122-231500-ab12" in text


def test_one_reason_is_said_once(results: Results) -> None:
    text = tables(results)
    assert text.count("needs the series") == 1
    assert "U1-absence, gfp_unmapped/U10-zero" in text


def test_unexpected_outcomes_are_said_first(results: Results) -> None:
    text = tables(results)
    assert text.index("fail debian") < text.index("skip debian")


@pytest.mark.parametrize("report", [tables, junit_text, ktap_text])
def test_no_control_character_gets_out(nasty: Results, report: object) -> None:
    assert callable(report)
    text = report(nasty)
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "\\x1b[2J" in text
    text.encode("utf-8")


def test_page_is_whole_and_needs_nothing_else(results: Results, tmp_path: Path) -> None:
    (tmp_path / results.cells[1].boots[0].folder).mkdir(parents=True)
    (tmp_path / results.cells[1].boots[0].folder / "console.log").touch()
    page = Page(html_text(results, tmp_path))
    assert page.open == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert inside
    assert set(inside) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    outside = [link for link in page.links if not link.startswith("#")]
    assert "cells/debian-6.1%2Bgfp-unmapped%40v1/fast/q35-4g/boot-1/console.log" in outside
    assert not any(":" in link or link.startswith("/") for link in outside)


@pytest.mark.parametrize(
    "words",
    [
        "not as expected",
        "frame 0x100a75 <b>: present",
        "known issue did not show",
        "RIP: 0010:clear_page_erms",
        "hunk 1 at line 12",
        "patchbed run --variant debian-6.1",
        "qemu-system-x86_64 -M q35",
        "KVM's probe boot said nothing",
        "\N{MINUS SIGN}64",
        "2528 → 38368",
    ],
)
def test_page_tells(results: Results, tmp_path: Path, words: str) -> None:
    assert words in Page(html_text(results, tmp_path)).words


def test_a_guest_can_not_write_the_page(nasty: Results, tmp_path: Path) -> None:
    text = html_text(nasty, tmp_path)
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert "\x1b" not in text
    assert "alert(1)" in page.words


def test_page_follows_the_readers_colours(results: Results, tmp_path: Path) -> None:
    assert "prefers-color-scheme: dark" in html_text(results, tmp_path)


def test_ktap_is_read_back_as_what_the_run_found(results: Results) -> None:
    read = {row.path: row.outcome for row in parse_ktap(ktap_text(results).splitlines())}
    for cell in results.cells:
        name = cell.cell.replace("/", " ")
        for test in cell.tests:
            found = read[f"{name}/{test.test}"]
            assert found is test.outcome or (
                found is Outcome.TEST_ERROR and not test.outcome.expected
            )


def test_junit(results: Results) -> None:
    xml = junitparser.JUnitXml.fromstring(junit_text(results))
    suites = {suite.name: list(suite) for suite in xml}
    assert list(suites) == ["builds", *(cell.cell for cell in results.cells)]
    cases = {case.name: case for case in suites["debian-6.1+gfp-unmapped@v1/fast/q35-4g"]}
    kinds = {name: type(case.result[0]) if case.result else None for name, case in cases.items()}
    assert kinds == {
        "U0-controls": None,
        "U1-absence": junitparser.Failure,
        "U10-zero": junitparser.Skipped,
        "M3-splits": None,
        "M4-storm": junitparser.Error,
        "S8-splits": None,
        "V-counters": junitparser.Failure,
    }
    assert cases["U1-absence"].classname == "gfp_unmapped"
    assert "not zeroed" in cases["U10-zero"].result[0].message
    assert isinstance(suites["builds"][2].result[0], junitparser.Error)
    assert (xml.failures, xml.errors, xml.skipped) == (2, 2, 3)


def test_junit_of_a_nasty_guest_is_xml(nasty: Results) -> None:
    ElementTree.fromstring(junit_text(nasty))  # noqa: S314 - we wrote it


def test_reports_are_written(results: Results, tmp_path: Path) -> None:
    write_reports(tmp_path, results)
    assert {path.name for path in tmp_path.iterdir()} == {
        "results.json",
        "junit.xml",
        "results.ktap",
        "report.html",
    }
    text = (tmp_path / "results.json").read_text()
    assert Results.model_validate_json(text) == results


def test_results_of_a_run_that_did_nothing(results: Results, tmp_path: Path) -> None:
    nothing = build_results(read_events(DATA)[:1])
    write_reports(tmp_path, nothing)
    assert "cut short" in (tmp_path / "report.html").read_text()
    assert "no testcase" in tables(nothing)


def show(events: list[Event], *, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    with Progress(console) as progress:
        for event in events:
            progress(event)
    return out.getvalue()


def test_plain_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    text = show(read_events(DATA))
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0].startswith("  0:00 run 20261122-231500-ab12: debian-6.1, ")
    assert sum("build debian-6.1: compile" in line for line in lines) == 11
    assert any("compile 50% (400 of 800), about 40 s left" in line for line in lines)
    assert any("pass  built debian-6.1 (fast) in 1 min 28 s" in line for line in lines)
    assert sum("U1-absence" in line for line in lines) == 2
    assert any("build.apply" in line and "hunk 1" in line for line in lines)
    assert any("error: patch failed" in line for line in lines)
    assert any("RIP: 0010" in line for line in lines)


def test_no_color_means_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in show(read_events(DATA), terminal=True)


def test_live_progress_shows_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = show(read_events(DATA), terminal=True)
    assert "\x1b[" in text
    assert "U1-absence" in text
    assert "hunk 1" in text
    assert "800/800" in text
    assert "7/7" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_takes_any_order(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    events: list[Event] = [
        CellFinished(cell="a/b/c", seconds=1),
        BuildProgress(variant="a", profile="b", phase="compile", done=5, total=0),
        TestsCollected(cell="a/b/c", tests=[]),
        *reversed(read_events(DATA)),
    ]
    show(events, terminal=terminal)


def test_progress_can_not_be_steered_by_a_guest() -> None:
    bad = TestFinished(cell="c", boot=1, test="a/U", outcome=Outcome.FAIL, reason="\x1b[2J[bold]")
    assert "\\x1b[2J[bold]" in show([bad])


def pace(*steps: tuple[float, int, int]) -> list[str]:
    first = BuildProgress(variant="v", profile="p", phase="compile")
    rate = BuildPace()
    events = [
        first.model_copy(
            update={"time": first.time + timedelta(seconds=at), "done": done, "total": total}
        )
        for at, done, total in steps
    ]
    return [rate.line(event) for event in events]


def test_a_build_speaks_every_tenth_or_every_half_minute() -> None:
    said = pace((0, 0, 100), (1, 9, 100), (6, 10, 100), (7, 19, 100), (37, 19, 100), (38, 19, 100))
    assert said == [
        "compile",
        "",
        "compile 10% (10 of 100), about 54 s left",
        "",
        "compile 19% (19 of 100), about 2 min 38 s left",
        "",
    ]


def test_a_build_of_unknown_size_speaks_every_half_minute() -> None:
    assert pace((0, 0, 0), (10, 50, 0), (31, 90, 0)) == ["compile", "", "compile 90"]


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "left"),
    [(0, 10, 60, None), (5, 0, 60, None), (5, 10, 1, None), (5, 10, 60, 60), (12, 10, 60, 0)],
)
def test_remaining(done: int, total: int, elapsed: float, left: float | None) -> None:
    assert remaining(done, total, elapsed) == left


def test_words() -> None:
    assert [duration(s) for s in (0.04, 9.94, 9.96, 59.6, 125, 3725)] == [
        "0.0 s",
        "9.9 s",
        "10 s",
        "1 min 00 s",
        "2 min 05 s",
        "1 h 02 min",
    ]
    assert [signed(n) for n in (0, 3, -4096)] == ["0", "+3", "-4,096"]
    assert [counted(1, "check"), counted(2, "check")] == ["1 check", "2 checks"]
    assert printable("a\r\nb\tc\x07") == "a\nb\tc\\x07"


def test_every_outcome_has_its_look() -> None:
    assert {group_of(outcome) for outcome in Outcome} == set(STYLES)
    assert all(group_of(o) in ("good", "quiet", "known") for o in Outcome if o.expected)


@given(st.text())
def test_printable_text_can_be_xml(text: str) -> None:
    element = ElementTree.Element("x")
    element.text = printable(text)
    again = ElementTree.fromstring(ElementTree.tostring(element))  # noqa: S314 - we wrote it
    assert (again.text or "") == printable(text)


def make_run(runs: Path) -> Path:
    folder = runs / "20261122-231500-ab12"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(DATA.read_bytes())
    return folder


def run_command(*arguments: str) -> str:
    import typer

    from harness.cli.report import report

    app = typer.Typer()
    app.command()(report)
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_report_command_makes_all_again(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    text = run_command("last", "--runs", str(tmp_path))
    assert "kernel.oops" in text
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("form", "begin"),
    [("json", "{"), ("junit", "<testsuites"), ("html", "<!DOCTYPE html>"), ("text", "\n")],
)
def test_report_command_prints_one_and_writes_nothing(
    tmp_path: Path, form: str, begin: str
) -> None:
    folder = make_run(tmp_path)
    text = run_command(str(folder), "--runs", str(tmp_path), "--format", form)
    assert text.lstrip(" ").startswith(begin)
    assert [path.name for path in folder.iterdir()] == ["events.jsonl"]


def test_report_command_of_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run 'x'"):
        run_command("x", "--runs", str(tmp_path))
