# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildError
from harness.kernel.architecture import other_architecture, refuse_other_architecture
from harness.kernel.boot_modules import (
    NEEDED,
    lacking,
    load_order,
    module_name,
    write_boot_modules,
)
from harness.kernel.fragment import parse_fragment
from tests.unit.kernel.prebuilt import DEPENDENCIES, write_files, write_modules


def test_each_comes_after_what_it_needs() -> None:
    order = [module_name(path) for path in load_order(DEPENDENCIES, ["virtio_net", "nosuch"])]
    assert order == ["failover", "net_failover", "virtio_net"]


@given(st.permutations(["virtio_net", "virtio_pci", "qemu_fw_cfg", "other", "net_failover"]))
def test_the_order_holds_for_any_wish(wanted: list[str]) -> None:
    order = load_order(DEPENDENCIES, wanted)
    assert len(order) == len(set(order))
    for line in DEPENDENCIES.splitlines():
        path, _, needed = line.partition(":")
        if path in order:
            assert all(order.index(other) < order.index(path) for other in needed.split())


def test_they_are_written_unpacked_and_in_order(tmp_path: Path) -> None:
    write_files(tmp_path, write_modules("1"))
    target = tmp_path / "boot"
    names = write_boot_modules(tmp_path / "lib/modules/1", target)
    assert names == ["qemu_fw_cfg", "virtio_pci", "failover", "net_failover", "virtio_net"]
    written = sorted(path.name for path in target.iterdir())
    assert written == [f"{number:02}-{name}.ko" for number, name in enumerate(names)]
    first = (target / "00-qemu_fw_cfg.ko").read_bytes()
    assert first == b"module kernel/drivers/firmware/qemu_fw_cfg.ko.xz"


def test_what_a_kernel_lacks() -> None:
    whole = dict.fromkeys(NEEDED, "y")
    assert lacking(whole, has_modules=False) == []
    modular = whole | {"VIRTIO_NET": "m"}
    assert lacking(modular, has_modules=True) == []
    assert lacking(modular, has_modules=False) == ["VIRTIO_NET"]
    assert lacking(whole | {"DEVTMPFS": "n", "INET": "m"}, has_modules=True) == ["DEVTMPFS", "INET"]


def test_configurations_for_another_architecture(tmp_path: Path) -> None:
    assert other_architecture({"ARM64": "y"}) == "ARM64"
    assert other_architecture({"X86_64": "y", "UML": "n"}) == ""
    assert other_architecture({}) == ""
    lines = parse_fragment("CONFIG_X=y\nCONFIG_ARM64=y\n", "arm.config", tmp_path / "arm.config")
    with pytest.raises(BuildError, match=r"v: arm.config:2 asks for CONFIG_ARM64=y") as caught:
        refuse_other_architecture(lines, "v")
    assert caught.value.exit_code == 2
    refuse_other_architecture(lines[:1], "v")
