# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: the project's own folders and the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

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
