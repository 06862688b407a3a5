# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.outcomes import Outcome
from harness.report.columns import column_heads, short_variants
from harness.report.slowest import slowest
from harness.report.tables import WIDTH, print_tables
from harness.results.event_log import read_events
from harness.results.model import build_results
from harness.results.schema import CellResult, MatrixRow, Results, TestResult

BASE, NEW = "debian-6.1", "debian-6.1+gfp-unmapped@v2"
PROFILES = ["fast", "debug", "numa,fault,hwpoison,hibernate"]
DATA = Path(__file__).parent / "data" / "run-events.jsonl"
IDS = ["gfp_unmapped/U0-controls", "gfp_unmapped/U7-node", "upstream/K2-lkdtm[ACCESS_USERSPACE]"]
NUMA = "needs CONFIG_NUMA, which this kernel has not set; see profile numa"


@pytest.fixture(scope="module")
def results() -> Results:
    """Two variants with three kernels; U7 runs in one of these only."""
    sample = build_results(read_events(DATA))
    cells: list[CellResult] = []
    for profile in PROFILES:
        for variant in (BASE, NEW):
            outcome = Outcome.PASS if "numa" in profile else Outcome.SKIP
            reason = "" if "numa" in profile else NUMA
            tests = [
                TestResult(test=IDS[0], boot=1, outcome=Outcome.PASS, seconds=1.0),
                TestResult(test=IDS[1], boot=1, outcome=outcome, reason=reason, seconds=9.0),
                TestResult(test=IDS[2], boot=1, outcome=Outcome.KERNEL_BOOT_TIMEOUT, seconds=3.0),
            ]
            values = {
                "cell": f"{variant}/{profile}/q35-4g",
                "variant": variant,
                "profile": profile,
                "machine": "q35-4g",
                "tests": tests,
                "boots": [],
            }
            cells.append(sample.cells[0].model_copy(update=values))
    matrix = [
        MatrixRow(
            test=test,
            worst=Outcome.PASS,
            outcomes={cell.cell: cell.tests[row].outcome for cell in cells},
        )
        for row, test in enumerate(IDS)
    ]
    return sample.model_copy(update={"cells": cells, "matrix": matrix, "builds": []})


def test_a_variant_is_called_by_the_least_that_tells_it_from_the_others() -> None:
    assert short_variants([BASE, NEW]) == {BASE: BASE, NEW: "v2"}
    other = "debian-6.1+other@v2"
    assert short_variants([NEW, other]) == {NEW: "gfp-unmapped@v2", other: "other@v2"}
    newer = "debian-6.12+gfp-unmapped@v2"
    assert short_variants([NEW, newer]) == {NEW: NEW, newer: newer}


def test_two_columns_keep_their_full_names(results: Results) -> None:
    heads, explained = column_heads(results.cells[:2], 60)
    assert list(heads.values()) == [BASE, NEW]
    assert explained == []


def test_a_table_of_six_cells_fits_and_names_every_profile(results: Results) -> None:
    out = io.StringIO()
    print_tables(results, Path("/runs/x"), Console(file=out, width=300, color_system=None))
    text = out.getvalue()
    rows = text.splitlines()
    # The last lines are never broken: they hold paths.
    assert max(len(row) for row in rows[:-4]) <= WIDTH
    for word in ("fast", "debug", "numa,", "fault,", "hwpoison,", "hibernate", "v2"):
        assert word in text
    assert f"v2: {NEW}" in text
    row = next(row for row in rows if row.strip().startswith("U7-node"))
    assert row.split()[1:] == ["skip"] * 4 + ["pass"] * 2
    assert text.count(NUMA) == 1


def test_the_slowest_come_first_and_only_of_many(results: Results) -> None:
    assert slowest(results) == slowest(results, 10)
    first = slowest(results, 3)
    assert [slow.test for slow in first] == [IDS[1], IDS[1], IDS[2]]
    assert slowest(results, 14) == []
