# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run does when something in it goes wrong: each time the rest goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from harness.paths import PROJECT, TESTCASES, cache
from tests.guest.command import argv, run_json

BASE = "debian-6.1"

PATCH = """\
From 1111111111111111111111111111111111111111 Mon Sep 17 00:00:00 2001
From: A Developer <developer@example.org>
Date: Sun, 1 Jan 2023 00:00:00 +0000
Subject: [PATCH 1/1] init: change something

For a test.

Signed-off-by: A Developer <developer@example.org>
---
 init/calibrate.c | 1 +
 1 file changed, 1 insertion(+)

{diff}
--
2.39.2
"""
DOES_NOT_APPLY = """\
diff --git a/mm/secretmem.c b/mm/secretmem.c
--- a/mm/secretmem.c
+++ b/mm/secretmem.c
@@ -1,3 +1,4 @@
 /* this line was never there */
 /* nor was this */
+#define X 1
 /* nor this */
"""
DOES_NOT_COMPILE = """\
diff --git a/init/calibrate.c b/init/calibrate.c
--- a/init/calibrate.c
+++ b/init/calibrate.c
@@ -1,2 +1,3 @@
 // SPDX-License-Identifier: GPL-2.0
+int broken(void) { return no_such_thing; }
 /* calibrate.c: default delay calibration
"""


def project(folder: Path, diff: str, config: str = "") -> Path:
    """Make a folder with a plan and a series `broken@v1` of one patch; return it."""
    series = folder / "kernel-patches" / "broken" / "v1"
    (series / "6.1").mkdir(parents=True)
    (series / "series.toml").write_text(f'title = "Broken"\nconfig = [{config}]\n')
    (series / "6.1" / "0001-broken.patch").write_text(PATCH.format(diff=diff.rstrip("\n")))
    (folder / "patchbed.toml").write_text(
        f'[plan]\nvariants = ["{BASE}+broken@v1", "{BASE}"]\n'
        f'testcases = "U0"\n[paths]\nkernel_patches = "kernel-patches"\n'
    )
    return folder


def cached() -> set[str]:
    """Return what the cache holds of kernels, and of anything half-made."""
    kernels = {path.name for path in (cache() / "kernels").iterdir()}
    return kernels | {path.name for path in cache().glob("tmp/*")}


@pytest.fixture(autouse=True)
def _a_base_to_go_on_with(tmp_path: Path) -> None:
    assert run_json("--runs", str(tmp_path / "first"), "--variant", BASE, "-k", "U0").status == 0


def test_a_patch_that_does_not_apply(tmp_path: Path) -> None:
    before = cached()
    ran = run_json(cwd=project(tmp_path, DOES_NOT_APPLY))
    broken = ran.builds()[f"{BASE}+broken@v1"]
    told = "\n".join([broken["message"], *broken["lines"]])
    assert ran.status == 1
    assert broken["outcome"] == "build.apply"
    for word in ("0001-broken.patch", "mm/secretmem.c", "@@ -1,3 +1,4 @@"):
        assert word in told
    assert ran.outcomes(BASE) == {"gfp_unmapped/U0-controls": "pass"}
    assert cached() == before


def test_a_symbol_that_does_not_stick(tmp_path: Path) -> None:
    before = cached()
    folder = project(tmp_path, DOES_NOT_COMPILE, config='"CONFIG_KASAN_VMALLOC=y"')
    ran = run_json(cwd=folder)
    broken = ran.builds()[f"{BASE}+broken@v1"]
    told = "\n".join([broken["message"], *broken["lines"]])
    assert ran.status == 1
    assert broken["outcome"] == "build.config"
    for word in ("KASAN_VMALLOC", "wanted", "y", "got", "depends on", "KASAN"):
        assert word in told
    assert cached() == before


def test_a_compile_error(tmp_path: Path) -> None:
    before = cached()
    ran = run_json(cwd=project(tmp_path, DOES_NOT_COMPILE))
    broken = ran.builds()[f"{BASE}+broken@v1"]
    assert ran.status == 1
    assert broken["outcome"] == "build.compile"
    assert any("no_such_thing" in line and "init/calibrate.c:2" in line for line in broken["lines"])
    assert "no_such_thing" in Path(broken["log"]).read_text(encoding="utf-8")
    assert cached() == before


CRASH_MODULE = """\
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>
static int __init crash_init(void)
{
	pr_info("    # Subtest: crash\\n    1..2\\n");
	pr_info("    ok 1 before\\n");
	*(volatile int *)8 = 1;
	return 0;
}
module_init(crash_init);
MODULE_LICENSE("GPL");
"""
CRASH_TEST = '''\
from harness.testing.testcase import testcase


@testcase("X1-crash")
def test_crash(checks):
    """A module that writes where nothing is."""
    checks.module("crash")


@testcase("X2-after")
def test_after(guest, checks):
    """The guest that comes after."""
    checks.check("fresh", guest.run("dmesg | grep -c Oops").stdout.strip() == b"0")
'''


def test_a_test_module_that_crashes_the_kernel(tmp_path: Path) -> None:
    testcases = tmp_path / "testcases"
    (testcases / "own" / "kernel").mkdir(parents=True)
    (testcases / "Kbuild").write_text("obj-m += own/kernel/\n")
    (testcases / "own" / "kernel" / "Kbuild").write_text("obj-m += crash.o\n")
    (testcases / "own" / "kernel" / "crash.c").write_text(CRASH_MODULE)
    (testcases / "own" / "test_crash.py").write_text(CRASH_TEST)
    (tmp_path / "patchbed.toml").write_text(
        f'[plan]\nvariants = ["{BASE}"]\n[paths]\ntestcases = "testcases"\n'
    )
    ran = run_json(cwd=tmp_path)
    assert ran.status == 1
    assert ran.outcomes(BASE) == {"own/X1-crash": "kernel.oops", "own/X2-after": "pass"}
    (cell,) = ran.results["cells"]
    crashed = cell["tests"][0]
    assert "NULL pointer dereference" in crashed["reason"]
    assert any("crash_init" in line for line in cell["boots"][0]["lines"])
    assert crashed["check_count"] == 2
    assert [boot["boot"] for boot in cell["boots"]] == [1, 2]


def descendants(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def interrupt_at(seconds: float, runs: Path, folder: Path, number: int) -> int:
    """Start a run, send it a signal, and return its exit code; nothing of it may be left."""
    process = psutil.Popen(
        argv("run", "--runs", str(runs), "--json"),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    known: set[psutil.Process] = set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        known.update(descendants(process))
        time.sleep(0.02)
    known.update(descendants(process))
    process.send_signal(number)
    _, alive = psutil.wait_procs(known, timeout=60)
    left = [(one.status(), " ".join(one.cmdline()[:6])) for one in alive if one.is_running()]
    assert left == []
    return int(process.wait(timeout=1))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cancelling_a_run_leaves_nothing_of_it(tmp_path: Path, number: int) -> None:
    (tmp_path / "patchbed.toml").write_text(f'[plan]\nvariants = ["{BASE}"]\n')
    moments = random.Random(number)  # noqa: S311
    for attempt in range(4):
        runs = tmp_path / f"runs-{attempt}"
        status = interrupt_at(moments.uniform(0.3, 8.0), runs, tmp_path, number)
        assert status in (3, -number)
        for events in runs.glob("*/events.jsonl"):
            lines = events.read_text(encoding="utf-8").splitlines()
            assert all(json.loads(line) for line in lines)


def test_cancelling_a_build_leaves_nothing_and_the_next_goes_on(tmp_path: Path) -> None:
    folder = project(tmp_path, DOES_NOT_COMPILE)
    before = cached()
    status = interrupt_at(12.0, tmp_path / "runs", folder, signal.SIGINT)
    assert status == 3
    assert cached() == before
    ran = run_json(cwd=folder)
    assert ran.builds()[BASE]["cached"]
    assert ran.builds()[f"{BASE}+broken@v1"]["outcome"] == "build.compile"


def test_the_projects_testcases_stay_as_they_are() -> None:
    made = [path for path in TESTCASES.rglob("*") if path.suffix in (".o", ".ko", ".mod")]
    assert made == []
