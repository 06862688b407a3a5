# SPDX-License-Identifier: GPL-2.0-or-later
"""A series on top of another one that changes one file more, as a developer does."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

from harness.kernel.apply import apply_patches
from harness.kernel.cache import Cache
from harness.kernel.gitstore import Git, init_scratch
from harness.kernel.request import Request

_MAIL = """\
From {zeros} Mon Sep 17 00:00:00 2001
From: patchbed <patchbed@localhost>
Date: Sat, 1 Jan 2000 00:00:00 +0000
Subject: [PATCH] Change {file}

---
{diff}"""


def write_edited(
    request: Request, cache: Cache, target: Path, file: str, old: str, new: str
) -> None:
    """Write the version of a series at the folder `target`: that of `request`, and a patch which
    makes `new` of the first `old` in `file`.

    Raises:
        ValueError: the request has no series, or `file` has no `old`.
    """
    series = request.series
    if series is None:
        raise ValueError(f"{request.variant} has no series")
    aside = target.with_name(f".{target.name}-git")
    git = init_scratch(aside / "git", aside / "linux", Git(cache.store), request.base.commit)
    try:
        commit = apply_patches(git, series.patches, str(request.variant), lambda _: None)
        before = git.run("show", f"{commit}:{file}")
    finally:
        shutil.rmtree(aside)
    if old not in before:
        raise ValueError(f"{file} of {request.variant} has no {old!r}")
    patches = target / request.base.series_version
    patches.mkdir(parents=True)
    shutil.copy(series.folder / "series.toml", target)
    for number, patch in enumerate(series.patches, start=1):
        shutil.copy(patch, patches / f"{number:04}.patch")
    text = one_patch(file, before, before.replace(old, new, 1))
    (patches / f"{len(series.patches) + 1:04}.patch").write_text(text, encoding="utf-8")


def one_patch(file: str, before: str, after: str) -> str:
    """Return a mail with a patch that makes `after` of `file`, which is `before`."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"a/{file}",
        f"b/{file}",
    )
    diff = f"diff --git a/{file} b/{file}\n" + "".join(lines)
    return _MAIL.format(zeros="0" * 40, file=file, diff=diff)
