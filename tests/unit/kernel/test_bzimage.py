# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.bzimage import (
    embedded_config,
    extract_vmlinux,
    is_bzimage,
    kernel_release,
)
from tests.unit.kernel.prebuilt import RELEASE, VMLINUX, bzimage, packed


@pytest.mark.parametrize("how", ["gzip", "xz", "plain"])
def test_the_vmlinux_in_a_bzimage(how: str) -> None:
    image = bzimage(packed(how))
    assert is_bzimage(image)
    assert kernel_release(image) == RELEASE
    assert extract_vmlinux(image) == VMLINUX


def test_what_can_not_be_unpacked() -> None:
    assert extract_vmlinux(bzimage(b"\xfd7zXZ\x00nonsense")) is None
    assert extract_vmlinux(bzimage(packed("xz", b"no ELF"))) is None
    assert extract_vmlinux(VMLINUX) is None


def test_a_vmlinux_tells_its_release() -> None:
    banner = b"Linux version 6.1.0-9-amd64 (debian-kernel@lists.debian.org) (gcc-12 ...)"
    assert kernel_release(VMLINUX + banner) == RELEASE
    assert kernel_release(VMLINUX) == ""


def test_the_configuration_in_a_kernel() -> None:
    inside = b"IKCFG_ST" + gzip.compress(b"CONFIG_X=y\n") + b"IKCFG_ED"
    assert embedded_config(VMLINUX + inside + VMLINUX) == "CONFIG_X=y\n"
    assert embedded_config(VMLINUX) == ""
    assert embedded_config(b"IKCFG_ST\x1f\x8b\x08nonsenseIKCFG_ED") == ""


@given(st.binary(max_size=2000), st.integers(0, 1500), st.integers(0, 1500))
def test_no_file_breaks_it(data: bytes, start: int, cut: int) -> None:
    whole = bzimage(packed("gzip"))
    for image in (data, whole[:start] + data + whole[start + len(data) :], whole[:cut]):
        extract_vmlinux(image)
        assert isinstance(kernel_release(image), str)
