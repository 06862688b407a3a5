# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed compare` on a machine with several CPUs and the real clock: blocks, not worlds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from harness.kernel.builder import obtain
from harness.kernel.variant import parse
from harness.outcomes import ExitCode, Outcome
from harness.results.measurements import (
    BootRecord,
    CompareFolder,
    StoredPlan,
    find_folder,
    read_plan,
    read_records,
)
from harness.run.compare_plan import boots_of
from tests.guest.command import patchbed

VARIANTS = ("debian-6.1", "debian-6.1+gfp-unmapped@v2")
# With this seed the second block's order is not that of the first.
SEED = 4
LATENCIES = {"fault_cold", "fault_median", "fault_total", "release_total"}


@dataclass(frozen=True)
class Blocks:
    """A comparison in two blocks: its exit code, what it said, and what it left."""

    status: int
    report: str
    errors: str
    folder: CompareFolder
    plan: StoredPlan
    records: list[BootRecord]
    results: dict[str, Any]

    def findings(self) -> list[dict[str, Any]]:
        """What was found about declared metrics."""
        return [one for one in self.results["findings"] if one["declared"]]


@pytest.fixture(scope="module")
def blocks(kernel: object, tmp_path_factory: pytest.TempPathFactory) -> Blocks:
    for variant in VARIANTS:
        obtain(parse(variant), "fast", listen=lambda _event: None)
    runs = tmp_path_factory.mktemp("runs")
    how = ["--machine", "smp-4", "--blocks", "2", "-w", "secretmem-idle", "-j", "1"]
    more = ["--placebo", "none", "--accel", "tcg", "--seed", str(SEED), "--runs", str(runs)]
    done = patchbed("compare", *VARIANTS, *how, *more)
    folder = find_folder(runs, "last")
    results = json.loads((folder.path / "results.json").read_text(encoding="utf-8"))
    plan, records = read_plan(folder), read_records(folder)
    return Blocks(done.returncode, done.stdout, done.stderr, folder, plan, records, results)


def test_all_guests_come_through(blocks: Blocks) -> None:
    assert blocks.status in (ExitCode.OK, ExitCode.INFRASTRUCTURE), blocks.errors
    assert [record.outcome for record in blocks.records] == [Outcome.PASS] * 4, blocks.errors
    assert blocks.results["exit_code"] == blocks.status


def test_each_block_holds_each_variant_once_in_an_order_of_its_own(blocks: Blocks) -> None:
    done = [record.boot for record in blocks.records]
    assert done == boots_of(blocks.plan)
    first, second = ([boot.variant for boot in done if boot.block == number] for number in (1, 2))
    assert sorted(first) == sorted(second) == sorted(VARIANTS)
    assert first != second


def test_it_speaks_of_blocks(blocks: Blocks) -> None:
    assert "machine smp-4, 2 blocks each, 4 of 4 boots" in blocks.report
    said = [line for line in blocks.report.splitlines() if "patchbed compare" not in line]
    assert [line for line in said if "world" in line] == []


def test_no_boot_is_done_again_to_see_whether_it_is_the_same(blocks: Blocks) -> None:
    assert blocks.results["self_check"] is None
    assert "Self-check" not in blocks.report
    assert not any(record.boot.repetition for record in blocks.records)


def test_latencies_are_time(blocks: Blocks) -> None:
    latencies = [one for one in blocks.findings() if one["class"] == "latency"]
    assert {one["metric"] for one in latencies} == LATENCIES
    assert {one["unit"] for one in latencies} == {"ns"}
    # So many nanoseconds are never the same twice; a median may be, by the clock's ticks.
    for source in ("out.fault_total", "end:out.release_total"):
        assert len({record.values[source] for record in blocks.records}) == 4, source
    argvs = [path.read_text() for path in blocks.folder.path.glob("boots/**/argv")]
    assert len(argvs) == 4
    assert all("-smp 4" in argv and "icount" not in argv for argv in argvs)
