# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.guest import tsc
from harness.guest.tsc import agreed, frequency, tsc_khz


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tsc_khz.cache_clear()


def kept(tmp_path: Path) -> dict[str, object]:
    return dict(json.loads((tmp_path / "patchbed" / "tsc.json").read_text()))


def test_ticks_over_time() -> None:
    assert frequency((1_000_000, 7_000_000), (26_000_000, 72_000_000)) == pytest.approx(2_600_000)


def test_two_that_agree_are_believed() -> None:
    assert agreed([2_596_146.2]) == 0
    assert agreed([2_596_146.2, 2_596_120.9]) == 2_596_100
    assert agreed([2_596_146.2, 2_600_000.0]) == 0
    assert agreed([94_010.0, 2_596_146.2, 2_596_120.9]) == 2_596_100


def test_this_host_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsc, "_constant", lambda: True)
    khz = tsc_khz()
    assert khz % 100 == 0 and 100_000 < khz < 10_000_000
    assert kept(tmp_path)["khz"] == khz
    tsc_khz.cache_clear()
    monkeypatch.setattr(tsc, "_measure", lambda: pytest.fail("measured again"))
    assert tsc_khz() == khz


def test_another_start_of_the_host_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tsc, "_constant", lambda: True)
    monkeypatch.setattr(tsc, "_measure", lambda: 1_000_000)
    assert tsc_khz() == 1_000_000
    tsc_khz.cache_clear()
    monkeypatch.setattr(tsc, "_boot_id", lambda: "another")
    monkeypatch.setattr(tsc, "_measure", lambda: 2_000_000)
    assert tsc_khz() == 2_000_000
    assert kept(tmp_path) == {"boot": "another", "khz": 2_000_000}


def test_a_measurement_that_was_disturbed_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsc, "_constant", lambda: True)
    monkeypatch.setattr(tsc, "_measure", lambda: 0)
    assert tsc_khz() == 0
    tsc_khz.cache_clear()
    monkeypatch.setattr(tsc, "_measure", lambda: 2_000_000)
    assert tsc_khz() == 2_000_000


def test_a_counter_that_changes_its_pace_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsc, "_constant", lambda: False)
    assert tsc_khz() == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"boot": 1', '{"boot": null, "khz": "x"}'])
def test_a_broken_note_is_measured_anew(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tsc, "_constant", lambda: True)
    monkeypatch.setattr(tsc, "_measure", lambda: 3_000_000)
    (tmp_path / "patchbed").mkdir()
    (tmp_path / "patchbed" / "tsc.json").write_text(text)
    assert tsc_khz() == 3_000_000
