# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder on a real kernel: proofs, kills, compilers. Each build here forks a kept tree."""

from __future__ import annotations

import contextlib
import json
import os
import random
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.edited import write_edited
from harness.kernel.artifact import load_kernel, read_meta
from harness.kernel.builder import obtain, plan_build
from harness.kernel.cache import Cache, default_cache, discard
from harness.kernel.reuse import read_reuse
from harness.kernel.trees import remove_tree
from harness.kernel.variant import parse
from harness.kernel.verify import differing
from harness.paths import PROJECT
from tests.guest.command import patchbed

PATCHED = "debian-6.1+gfp-unmapped@v1"
CHANGED = "debian-6.1+gfp-unmapped@changed"
SEED = 20230308
MOMENTS = 10
# Long enough to be in each phase of a fork's build at times, short enough for ten of them.
LATEST = 15.0


@pytest.mark.timeout(2400)  # It builds a kernel from nothing.
def test_a_kernel_has_the_bytes_of_a_clean_build() -> None:
    """The proof is kept beside the kernel: only the first time costs a build."""
    done = patchbed("kernel", "build", PATCHED, "--verify", "--json")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["verified"]["files"] >= 5
    assert row["reuse"]["how"] in ("forked", "clean")
    began = time.monotonic()
    assert patchbed("kernel", "build", PATCHED, "--verify").returncode == 0
    assert time.monotonic() - began < 60


@pytest.fixture
def series(tmp_path: Path) -> Iterator[Path]:
    """A folder with the series as it is and one file of mm/ changed on top; no kernel of it
    stays in the cache."""
    cache = default_cache()
    request, _ = plan_build(parse(PATCHED), "fast", listen=lambda _: None)
    write_edited(
        request,
        cache,
        tmp_path / "gfp-unmapped" / "changed",
        "mm/page_alloc.c",
        'pr_info("Built %u zonelists',
        'pr_info("Built  %u zonelists',
    )
    yield tmp_path
    for entry in entries(cache):
        meta = read_meta(cache.kernels / entry)
        if meta is not None and meta["variant"] == CHANGED:
            remove_tree(cache, cache.trees / entry)
            discard(cache.kernels / entry)


def entries(cache: Cache) -> set[str]:
    return {entry.name for entry in cache.kernels.iterdir() if entry.name[0] != "."}


def script(series: Path) -> list[str]:
    code = f"""
    from pathlib import Path
    from harness.kernel.builder import obtain
    from harness.kernel.variant import parse
    obtain(parse({CHANGED!r}), "fast", listen=print, series_folder=Path({str(series)!r}))
    """
    return [sys.executable, "-c", textwrap.dedent(code)]


def working_in(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = [process.cwd(), *process.cmdline()]
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and any(word.startswith(str(folder)) for word in words):
                found.append(process.name())
    return found


def test_builds_killed_at_any_moment_leave_whole_entries(series: Path) -> None:
    cache = default_cache()
    chance = random.Random(SEED)  # noqa: S311
    for _ in range(MOMENTS):
        before = set(cache.work.glob("[!.]*"))
        moment = chance.uniform(0.5, LATEST)
        print(f"seed {SEED}: killed after {moment:.2f} s")
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        with subprocess.Popen(
            script(series), stdout=subprocess.DEVNULL, env=environment
        ) as process:
            time.sleep(moment)
            process.kill()
        ours = [path for path in set(cache.work.glob("[!.]*")) - before if path.is_dir()]
        deadline = time.monotonic() + 60
        while any(working_in(path) for path in ours):
            assert time.monotonic() < deadline, "a process of a killed build lives on"
            time.sleep(0.1)
        assert all(load_kernel(cache.kernels / name) for name in entries(cache))
    kernel = obtain(parse(CHANGED), "fast", listen=lambda _: None, series_folder=series)
    assert load_kernel(kernel.folder) is not None
    reuse = read_reuse(kernel.meta)
    assert reuse is not None and reuse.steps > 0
    assert not [path for path in ours if path.exists()]
    clean = obtain(parse(PATCHED), "fast", listen=lambda _: None)
    changed = differing(kernel.meta["checksums"], clean.meta["checksums"])
    assert "vmlinux" in changed and "config" not in changed


def test_a_compiler_too_old_for_a_kernel(tmp_path: Path) -> None:
    """It is today's gcc that says it is an old one: no distribution has those any more."""
    old = tmp_path / "gcc-old"
    options = "-U__GNUC__ -D__GNUC__=4 -U__GNUC_MINOR__ -D__GNUC_MINOR__=8"
    # Only to who asks for the version, as scripts/cc-version.sh does: it compiles host tools too.
    asked = f'case "$*" in *-E*-x\\ c\\ -*) exec gcc {options} "$@" ;; esac'
    old.write_text(f'#!/bin/sh\n{asked}\nexec gcc "$@"\n')
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    done = patchbed("kernel", "build", "debian-6.1", "--compiler", str(old))
    assert done.returncode == 2, done.stderr
    assert "C compiler is too old" in done.stderr
    assert f"next: this kernel can't be built with {old}: use another" in done.stderr
