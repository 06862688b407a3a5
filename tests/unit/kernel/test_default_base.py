# SPDX-License-Identifier: GPL-2.0-or-later
"""The base `debian`; dpkg's answer is a stand-in: one host has only one set of packages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.config import PlanTable, Settings, load_settings
from harness.errors import UserError
from harness.kernel.default_base import settle
from harness.kernel.variant import parse
from harness.run.plan import make_plan

Host = Callable[..., None]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Let dpkg say that the sources of these kernels are installed, and apt that it has others."""

    def set_up(*installed: str, offered: tuple[str, ...] = ()) -> None:
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        rows = [
            f"installed\\tlinux-source-{version}\\t{version}.9-1\\t\\n" for version in installed
        ]
        answer = "".join(rows)
        (tools / "dpkg-query").write_text(f"#!/bin/sh\nprintf '{answer}'\n")
        records = [f"Package: linux-source-{version}\\nVersion: 1\\n\\n" for version in offered]
        (tools / "apt-cache").write_text(f"#!/bin/sh\nprintf '{''.join(records)}'\n")
        for tool in tools.iterdir():
            tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")

    return set_up


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    for version, kernels in (("v1", ["6.1"]), ("v2", ["6.1", "6.12"])):
        for kernel in kernels:
            (tmp_path / "patches/fix" / version / kernel).mkdir(parents=True)
    return tmp_path / "patches"


def settled(patches: Path, *texts: str, bases: Mapping[str, str] | None = None) -> list[str]:
    chosen = settle([parse(text) for text in texts], bases or {}, patches)
    return [str(variant) for variant in chosen]


def test_the_oldest_that_the_series_has_patches_for(host: Host, patches: Path) -> None:
    host("6.12", "6.1", "5.10")
    assert settled(patches, "debian", "debian+fix@v2") == ["debian-6.1", "debian-6.1+fix@v2"]
    assert settled(patches, "debian", "debian+fix@v1") == ["debian-6.1", "debian-6.1+fix@v1"]
    both = settled(patches, "debian", "debian+fix@v1", "debian+fix@v2")
    assert both == ["debian-6.1", "debian-6.1+fix@v1", "debian-6.1+fix@v2"]
    host("6.12", "6.18")
    assert settled(patches, "debian", "debian+fix@v2") == ["debian-6.12", "debian-6.12+fix@v2"]


def test_without_a_series_any_serieses_kernels_count(host: Host, patches: Path) -> None:
    host("6.18", "6.12", "6.1", "5.10")
    assert settled(patches, "debian") == ["debian-6.1"]
    host("6.18")
    assert settled(patches, "debian") == ["debian-6.18"]


def test_what_is_named_stays(host: Host, patches: Path) -> None:
    host()
    assert settled(patches, "debian-6.1+fix@v1", "git:/x@v1") == ["debian-6.1+fix@v1", "git:/x@v1"]
    assert settled(patches, "debian", bases={"debian": "git:/x@v1"}) == ["debian"]


def test_a_host_that_has_none(host: Host, patches: Path) -> None:
    host("6.12", offered=("6.1",))
    with pytest.raises(UserError) as caught:
        settled(patches, "debian", "debian+fix@v1")
    assert "that fix@v1 has patches for (6.1); installed: debian-6.12" in caught.value.message
    assert caught.value.hint.startswith("apt-get install linux-source-6.1, or use git:REPO@REF")
    host()
    with pytest.raises(UserError, match="none of Debian's kernel sources is installed; ") as caught:
        settled(patches, "debian")
    assert "apt does not know" in caught.value.hint
    assert "tarball:FILE" in caught.value.hint


def test_the_default_plan_takes_what_is_there(host: Host, patches: Path, tmp_path: Path) -> None:
    host("6.1")
    settings = Settings.model_validate({"paths": {"kernel_patches": str(patches)}})
    assert settings.plan == PlanTable(variants=["debian"])
    plan = make_plan(settings, tmp_path)
    assert [str(variant) for variant in plan.variants] == ["debian-6.1"]
    assert str(plan.reference) == "debian-6.1"
    named = make_plan(settings, tmp_path, variants=["debian+fix@v2", "debian"], reference="debian")
    assert str(named.reference) == "debian-6.1"


def test_a_path_that_leads_upwards_names_no_folder_outside(tmp_path: Path) -> None:
    plan = make_plan(Settings(), tmp_path, variants=["tree:../../x"])
    assert plan.cell(plan.reference, "fast") == "tree:../__/x/fast/q35-4g"
    cells = tmp_path / "cells"
    assert (cells / plan.cell(plan.reference, "fast")).resolve().is_relative_to(cells)


def test_short_names_begin_beside_their_file(tmp_path: Path) -> None:
    file = tmp_path / "patchbed.toml"
    file.write_text(
        "[bases]\n"
        'a = "tree:linux"\nb = "tarball:../x.tar.xz#sha256=00"\nc = "git:./linux@v1"\n'
        'd = "git:host:linux@v1"\ne = "image:debian-6.1"\nf = "image:../kernel"\n'
        'g = "tree:~/linux"\nh = "tree:/linux"\ni = "debian-6.12"\n'
    )
    bases = load_settings(file).bases
    assert bases == {
        "a": f"tree:{tmp_path}/linux",
        "b": f"tarball:{tmp_path}/../x.tar.xz#sha256=00",
        "c": f"git:{tmp_path}/linux@v1",
        "d": "git:host:linux@v1",
        "e": "image:debian-6.1",
        "f": f"image:{tmp_path}/../kernel",
        "g": "tree:~/linux",
        "h": "tree:/linux",
        "i": "debian-6.12",
    }
