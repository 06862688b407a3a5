# SPDX-License-Identifier: GPL-2.0-or-later
"""Results and reports of a real run (secretmem's testcases), as its events were recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.outcomes import ExitCode, Outcome
from harness.report.write import REPORTS, report_text
from harness.results.event_log import read_events
from harness.results.model import build_results
from harness.results.schema import Results

DATA = Path(__file__).parent / "data" / "recorded-events.jsonl"


@pytest.fixture(scope="module")
def results() -> Results:
    return build_results(read_events(DATA))


def test_it_went_as_it_went(results: Results) -> None:
    assert results.exit_code == ExitCode.OK
    assert results.run.complete
    cell = results.cells[0]
    assert {test.test: test.outcome for test in cell.tests} == dict.fromkeys(
        [
            "secretmem/S1-access",
            "secretmem/S6-absent-while-held",
            "secretmem/S7-zero",
            "secretmem/S8-splits",
        ],
        Outcome.PASS,
    )
    assert [boot.outcome for boot in cell.boots] == [Outcome.PASS]
    assert results.common_tests == [test.test for test in cell.tests]


def test_its_counters_fit_together(results: Results) -> None:
    """Each split of a 2M mapping makes 2048 kB, and 512 entries, out of 4K pages."""
    cell = results.cells[0]
    level2 = cell.counters.vmstat["direct_map_level2_splits"]
    level3 = cell.counters.vmstat["direct_map_level3_splits"]
    assert level2 > 0
    assert cell.counters.meminfo["DirectMap4k"] == 2048 * level2
    assert cell.counters.meminfo["DirectMap1G"] == -(1 << 20) * level3
    assert cell.counters.leaves == {"4K": 512 * level2, "2M": 512 * level3 - level2, "1G": -level3}
    tests = [test.counters for test in cell.tests if test.counters is not None]
    assert sum(test.vmstat["direct_map_level2_splits"] for test in tests) <= level2


@pytest.mark.parametrize("form", list(REPORTS))
def test_its_reports_can_be_made(results: Results, tmp_path: Path, form: str) -> None:
    assert "S6-absent-while-held" in report_text(results, tmp_path, form)
