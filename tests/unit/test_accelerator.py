# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InfrastructureError, UserError
from harness.guest import accelerator
from harness.guest.accelerator import choose_accelerator


@pytest.fixture(autouse=True)
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev/kvm that can be opened, and a cache of its own."""
    file = tmp_path / "kvm"
    file.touch()
    monkeypatch.setattr(accelerator, "KVM", file)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return file


def no_probe() -> str:
    pytest.fail("probed again")


def test_kvm_is_used_where_a_kernel_booted_and_that_is_remembered() -> None:
    assert choose_accelerator("auto", lambda: "").name == "kvm"
    again = choose_accelerator("auto", no_probe)
    assert again.name == "kvm"
    assert "seen to boot" in again.reason


def test_a_device_that_opens_proves_nothing() -> None:
    choice = choose_accelerator("auto", lambda: "not a word")
    assert choice.name == "tcg"
    assert "not a word" in choice.reason
    assert choose_accelerator("auto", no_probe) == choice


def test_without_a_device_nothing_is_probed(device: Path) -> None:
    device.unlink()
    assert choose_accelerator("auto", no_probe).name == "tcg"
    with pytest.raises(InfrastructureError, match="can't be opened"):
        choose_accelerator("kvm", None)


def test_without_a_probe_nothing_is_remembered() -> None:
    assert "tried" in choose_accelerator("auto", None).reason
    assert choose_accelerator("auto", lambda: "").name == "kvm"


def test_another_qemu_is_probed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_accelerator("auto", lambda: "broken").name == "tcg"
    monkeypatch.setattr(accelerator, "PROGRAM", "sh")
    assert choose_accelerator("auto", lambda: "").name == "kvm"


def test_what_is_asked_for_is_used() -> None:
    assert choose_accelerator("tcg", no_probe).name == "tcg"
    assert choose_accelerator("kvm", no_probe).name == "kvm"
    with pytest.raises(UserError, match="auto, kvm, tcg"):
        choose_accelerator("hvf", None)


def test_a_damaged_memory_is_no_trouble(tmp_path: Path) -> None:
    choose_accelerator("auto", lambda: "")
    (tmp_path / "cache/patchbed/accelerator.json").write_text("{")
    assert choose_accelerator("auto", lambda: "broken").name == "tcg"
