# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import paths

KBUILD = paths.TESTCASES / "shared" / "kernel" / "Kbuild"


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        ("extern struct workqueue_struct *system_wq;", ""),
        ("extern struct workqueue_struct *system_percpu_wq;", "-DHAVE_SYSTEM_PERCPU_WQ"),
        (None, ""),
    ],
)
def test_the_oracle_settles_on_the_queue_of_schedule_work(
    tmp_path: Path, header: str | None, flags: str
) -> None:
    folder = tmp_path / "include" / "linux"
    folder.mkdir(parents=True)
    if header is not None:
        (folder / "workqueue.h").write_text(f"{header}\n", encoding="utf-8")
    makefile = f"include {KBUILD}\nall: ; @echo '$(CFLAGS_patchbed_oracle.o)'\n"
    told = subprocess.run(
        ["make", "--silent", "-f", "-", f"srctree={tmp_path}", "all"],
        input=makefile,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.strip() == flags
