# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernel, which patchbed did not build, as a user tests it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.kernel.cache import default_cache
from harness.kernel.prebuilt import find_imported
from harness.kernel.variant import parse
from tests.guest.command import Ran, patchbed, run_json

VARIANT = "image:debian-6.1"
FETCH = f"patchbed kernel build {VARIANT}"


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Skip where the kernel is not in the cache: a test fetches nothing."""
    try:
        kernel = find_imported(parse(VARIANT), default_cache())
    except UserError as error:
        pytest.skip(error.message)
    if kernel is None:
        pytest.skip(f"{VARIANT} is not in the cache: `{FETCH}` fetches it")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    runs: Path = tmp_path_factory.mktemp("runs")
    # Now and then Debian's 6.1 warns in reuse_unused_kprobe(), and refuses, where probes are set
    # again on a module that was unloaded and loaded anew.
    return run_json("--variant", VARIANT, "--runs", str(runs), "-k", "not kprobes")


def test_it_passes_all_that_it_is_configured_for(run: Ran) -> None:
    assert run.status == 0, run.stderr
    outcomes = run.outcomes(VARIANT)
    assert set(outcomes.values()) == {"pass", "skip"}
    passed = {test.split("-")[0] for test, outcome in outcomes.items() if outcome == "pass"}
    # The oracle module is built against Debian's headers, and loads; secretmem is there.
    assert passed >= {"gfp_unmapped/U0", "module_alloc/M1", "module_alloc/M3", "secretmem/S6"}


def test_what_it_is_not_configured_for_is_named(run: Ran) -> None:
    reasons = {
        test["test"].split("-")[0]: test["reason"]
        for cell in run.results["cells"]
        for test in cell["tests"]
        if test["outcome"] == "skip"
    }
    assert "CONFIG_KUNIT" in reasons["gfp_unmapped/U1"]
    assert "CONFIG_PTDUMP_DEBUGFS" in reasons["counters/V"]
    known = ("CONFIG_", "no series is applied", "was built elsewhere")
    assert all(any(word in reason for word in known) for reason in reasons.values())


def test_a_command_on_it() -> None:
    done = patchbed("boot", VARIANT, "--machine", "q35-1g", "--", "uname -r; cat /proc/modules")
    assert done.returncode == 0, done.stderr
    release, *modules = done.stdout.splitlines()
    assert release.startswith("6.1.") and release.endswith("-amd64")
    assert {"virtio_net", "qemu_fw_cfg"} <= {line.split()[0] for line in modules}
