# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.measure.workload import load_workload
from harness.paths import KERNEL_CONFIG
from harness.run.compare_needs import check_needs, profiles_with

BASE, V1 = "debian-6.1", "debian-6.1+gfp-unmapped@v1"
WORKLOAD = """
description = "BPF"
version = 1
config = ["BPF_SYSCALL", "BPF_JIT", "DEBUG_FS"]
"""
HAVE = {"BPF_SYSCALL": "y", "BPF_JIT": "y", "DEBUG_FS": "m"}


@pytest.fixture
def testcases(tmp_path: Path) -> Path:
    folder = tmp_path / "workloads" / "bpf"
    folder.mkdir(parents=True)
    (folder / "workload.toml").write_text(WORKLOAD)
    return tmp_path


def test_a_kernel_that_has_it_all_is_taken(testcases: Path) -> None:
    check_needs([load_workload("bpf", testcases)], {BASE: HAVE}, "wide")


def test_one_that_lacks_something_is_refused_before_it_boots(testcases: Path) -> None:
    """If it were booted, each boot would fail, and the series be blamed for it."""
    workload = load_workload("bpf", testcases)
    without = {"DEBUG_FS": "y", "BPF_JIT": '"y"'}
    with pytest.raises(UserError) as caught:
        check_needs([workload], {BASE: without, V1: without}, "fast")
    said = str(caught.value)
    assert f"bpf needs CONFIG_BPF_SYSCALL, CONFIG_BPF_JIT, not set in {BASE}, {V1}" in said
    assert "another profile than fast with -p: measure, trace, wide" in str(caught.value.hint)


def test_only_what_is_lacking_is_named(testcases: Path) -> None:
    workload = load_workload("bpf", testcases)
    configs = {BASE: HAVE, V1: {"BPF_SYSCALL": "y", "DEBUG_FS": "y"}}
    with pytest.raises(UserError, match=r"needs CONFIG_BPF_JIT, not set in \S+@v1\n"):
        check_needs([workload], configs, "x")


def test_what_no_profile_has_is_said_so_too(testcases: Path, tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text('[one]\ndescription = "x"\nfragments = ["a"]\n')
    (tmp_path / "a.config").write_text("CONFIG_BPF_SYSCALL=y\n# CONFIG_BPF_JIT is not set\n")
    with pytest.raises(UserError) as caught:
        check_needs([load_workload("bpf", testcases)], {BASE: {}}, "one", tmp_path)
    assert "another workload" in str(caught.value.hint)
    assert profiles_with(["BPF_SYSCALL"], tmp_path) == ["one"]


def test_profiles_are_those_of_the_fragments() -> None:
    assert "fast" not in profiles_with(["BPF_JIT"], KERNEL_CONFIG)
    assert {"measure", "wide"} <= set(profiles_with(["BPF_JIT"], KERNEL_CONFIG))
