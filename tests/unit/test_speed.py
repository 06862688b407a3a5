# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from harness.guest import speed
from harness.guest.speed import ORDINARY, factor, remember, scaled


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("seconds", "by"),
    [
        ([], 1.0),
        ([ORDINARY / 4], 1.0),
        ([ORDINARY * 3], 3.0),
        # One that was disturbed says nothing.
        ([ORDINARY, ORDINARY, ORDINARY * 90], 1.0),
        ([ORDINARY * 1000], 20.0),
    ],
)
def test_how_much_slower(seconds: list[float], by: float) -> None:
    assert factor(seconds) == pytest.approx(by)


def test_limits_follow_what_was_measured() -> None:
    assert scaled(60.0) == 60.0
    for seconds in (9.6, 4.8, 4.8, 4.8, 4.8, 4.8):
        remember(seconds, "tcg")
    assert scaled(60.0) == pytest.approx(180.0)
    assert scaled(60.0, "kvm") == 60.0


def test_what_was_measured_elsewhere_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    remember(16.0, "tcg")
    monkeypatch.setattr(speed, "host", lambda: "another")
    assert scaled(60.0) == 60.0


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"a": ["b"]}', "{"])
def test_a_damaged_store_is_no_trouble(tmp_path: Path, text: str) -> None:
    (tmp_path / "patchbed").mkdir()
    (tmp_path / "patchbed" / "speed.json").write_text(text)
    assert scaled(60.0) == 60.0
    remember(ORDINARY * 2, "tcg")
    assert scaled(60.0) == 120.0
