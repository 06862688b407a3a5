# SPDX-License-Identifier: GPL-2.0-or-later
"""A variant's source in a folder of its own, to look at."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError
from harness.events import Listener
from harness.kernel.apply import apply_patches
from harness.kernel.cache import Cache, default_cache, disk_full, remove
from harness.kernel.gitstore import Git, check_out, init_scratch
from harness.kernel.request import Where
from harness.kernel.series import load_series
from harness.kernel.source import find_source, obtain_base
from harness.kernel.teller import Teller
from harness.kernel.variant import Variant


def export_variant(
    variant: Variant,
    folder: Path,
    *,
    listen: Listener,
    where: Where | None = None,
    cache: Cache | None = None,
) -> tuple[str, str]:
    """Write the source of `variant` to the new `folder`, a git work tree with a commit a patch.

    Its repository borrows the base's objects from the cache. Returns the ids of its commit and
    its tree.

    Raises:
        UserError: `folder` is there already, or there is no such base, series or version.
        BuildError: build.apply: a patch does not apply; `folder` is not left behind.
    """
    if folder.exists():
        raise UserError(f"{folder} is there already", hint="name a folder that is not")
    cache, where = cache or default_cache(), where or Where()
    teller = Teller(variant, "", listen)
    base = obtain_base(find_source(variant.base, where.bases), cache, teller.phase, teller.waiting)
    try:
        with disk_full(folder):
            git = init_scratch(
                folder.resolve() / ".git", folder.resolve(), Git(cache.store), base.commit
            )
            commit = base.commit
            if variant.patched:
                series = load_series(
                    variant.series, variant.version, base.series_version, where.series
                ).upto(variant.upto)
                commit = apply_patches(
                    git, series.patches, variant.base, lambda done: teller.phase("apply", done)
                )
            check_out(git, commit)
    except BaseException:
        remove(folder)
        raise
    return commit, git.run("rev-parse", f"{commit}^{{tree}}").strip()
