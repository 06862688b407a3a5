# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: the project's own folders and the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UserError

SETTINGS = "patchbed.toml"
PROJECT = Path(__file__).resolve().parent.parent
KERNEL_PATCHES = PROJECT / "kernel-patches"
KERNEL_CONFIG = PROJECT / "guest-config" / "kernel"
MACHINES = PROJECT / "guest-config" / "machines"
INIT = PROJECT / "guest-config" / "init"
TESTCASES = PROJECT / "testcases"


def cache() -> Path:
    """Return patchbed's cache folder, `$XDG_CACHE_HOME/patchbed`; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "patchbed"


def find_settings(start: Path) -> Path:
    """Return the nearest `patchbed.toml` at or above `start`, else the project's own.

    Raises:
        UserError: there is none at all.
    """
    for folder in (start, *start.parents, PROJECT):
        candidate = folder / SETTINGS
        if candidate.is_file():
            return candidate
    raise UserError(
        f"no {SETTINGS} here or above {start}", hint="make one: see docs/patchbed-toml.md"
    )
