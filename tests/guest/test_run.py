# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed run` on real kernels, as a user calls it."""

from __future__ import annotations

from pathlib import Path

import junitparser
import pytest

from harness.events import RunFinished, load_event
from tests.guest.command import Ran, patchbed, run_json

BASE = "debian-6.1"
SERIES = "debian-6.1+gfp-unmapped@v1"
ANSWER = "debian-6.1+gfp-unmapped@v2"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def default_run(runs: Path) -> Ran:
    """The default plan, whole; the kernels come from the cache where they are there."""
    return run_json("--runs", str(runs))


def test_the_default_plan_ends_as_expected(default_run: Ran) -> None:
    assert default_run.status == 0, default_run.stderr
    assert {name: build["outcome"] for name, build in default_run.builds().items()} == {
        BASE: "pass",
        SERIES: "pass",
        ANSWER: "pass",
    }


def test_the_unpatched_kernel_passes_all_that_needs_no_series(default_run: Ran) -> None:
    outcomes = default_run.outcomes(BASE)
    assert set(outcomes.values()) == {"pass", "skip"}
    reasons = skips(default_run, BASE)
    without = {test.split("-")[0] for test, why in reasons.items() if "no series" in why}
    assert without >= {"gfp_unmapped/U1", "gfp_unmapped/U2", "gfp_unmapped/U10"}
    assert all(test.startswith("gfp_unmapped/") for test in without)
    assert all("no series" in why or "CONFIG_" in why for why in reasons.values())
    passed = {test.split("-")[0].split("/")[1] for test in outcomes.keys() - reasons.keys()}
    assert passed >= {"U0", "M1", "M2", "M3", "M4", "S1", "S6", "S7", "S8", "V"}


def test_the_series_is_tested_by_the_same_testcases(default_run: Ran) -> None:
    outcomes = default_run.outcomes(SERIES)
    assert outcomes.keys() == default_run.outcomes(BASE).keys()
    assert set(outcomes.values()) <= {"pass", "xfail", "skip"}
    # What it skips, it skips for the configuration, as the unpatched kernel does.
    assert all("CONFIG_" in why for why in skips(default_run, SERIES).values())
    assert skips(default_run, SERIES).keys() < skips(default_run, BASE).keys()


def test_the_answer_to_the_review_has_no_known_issue(default_run: Ran) -> None:
    outcomes = default_run.outcomes(ANSWER)
    assert outcomes.keys() == default_run.outcomes(SERIES).keys()
    assert set(outcomes.values()) == {"pass", "skip"}
    assert skips(default_run, ANSWER).keys() == skips(default_run, SERIES).keys()


def skips(run: Ran, variant: str) -> dict[str, str]:
    """Return the reasons of what was skipped on a variant, by testcase."""
    return {
        test["test"]: test["reason"]
        for cell in run.results["cells"]
        for test in cell["tests"]
        if cell["variant"] == variant and test["outcome"] == "skip"
    }


def test_counters_are_pulled_around_every_testcase_that_ran(default_run: Ran, runs: Path) -> None:
    (folder,) = runs.iterdir()
    for cell in default_run.results["cells"]:
        # Those that v1 sometimes dies of have no counters after them.
        died = [(boot["boot"], boot["during"]) for boot in cell["boots"] if boot["explained"]]
        for test in cell["tests"]:
            if test["outcome"] == "skip" or (test["boot"], test["test"]) in died:
                continue
            assert test["counters"] is not None, test["test"]
            assert "direct_map_level2_splits" in test["counters"]["vmstat"]
            raw = folder / "cells" / cell["cell"] / f"boot-{test['boot']}" / "counters"
            raw /= test["test"].replace("/", ".")
            for name in ("vmstat", "meminfo", "page_tables"):
                assert (raw / "before" / name).stat().st_size > 1000
                assert (raw / "after" / name).stat().st_size > 1000


def test_the_run_folder_holds_all_that_a_report_needs(default_run: Ran, runs: Path) -> None:
    (folder,) = runs.iterdir()
    events = [load_event(line) for line in (folder / "events.jsonl").open(encoding="utf-8")]
    assert isinstance(events[-1], RunFinished)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "gfp_unmapped/U1" in page
    assert 'src="http' not in page
    suites = junitparser.JUnitXml.fromfile(str(folder / "junit.xml"))
    assert suites.failures == 0
    assert suites.errors == 0
    for boot in folder.glob("cells/**/boot-1"):
        # A restored guest's log goes on from where its snapshot's ends.
        before = boot / "console-before.log"
        first = before if before.exists() else boot / "console.log"
        assert b"Linux version 6.1" in first.read_bytes()
        assert (boot / "config").read_text(encoding="utf-8").count("=y") > 200
        assert "Linux version 6.1" in (boot / "dmesg").read_text(encoding="utf-8")


def test_a_second_run_builds_nothing(default_run: Ran, tmp_path: Path) -> None:
    again = run_json("--runs", str(tmp_path), "-k", "U0")
    assert again.status == 0, again.stderr
    assert all(build["cached"] for build in again.builds().values())
    assert {build["key"] for build in again.builds().values()} == {
        build["key"] for build in default_run.builds().values()
    }


def test_one_variant_and_one_area(tmp_path: Path) -> None:
    ran = run_json("--runs", str(tmp_path), "--variant", BASE, "-k", "secretmem")
    assert ran.status == 0, ran.stderr
    assert {test.split("/")[0] for test in ran.outcomes(BASE)} == {"secretmem"}


def test_a_selection_that_matches_nothing_says_so(tmp_path: Path) -> None:
    done = patchbed("run", "--runs", str(tmp_path), "--variant", BASE, "-k", "nonesuch")
    assert done.returncode == 4
    assert "nonesuch" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--variant", "debian-6.1+"], "debian-6.1+"),
        (["--variant", "debian-6.1+nonesuch@v1"], "gfp-unmapped"),
        (["--variant", "debian-6.1+gfp-unmapped@v99"], "v1"),
        (["--variant", "debian-0.1"], "debian-6.1"),
        (["--machine", "nonesuch"], "q35-4g"),
        (["--profile", "nonesuch"], "fast"),
        (["--reference", "debian-6.12"], "debian-6.1"),
        (["-k", "and and"], "and and"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_there_is(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    done = patchbed("run", "--runs", str(tmp_path / "runs"), *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()
