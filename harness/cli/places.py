# SPDX-License-Identifier: GPL-2.0-or-later
"""Where series and bases are, by the patchbed.toml in use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.kernel.request import Where


def find_places() -> Where:
    """Return `[paths] kernel_patches` and `[bases]` of the patchbed.toml in use."""
    from harness.config import load_settings
    from harness.kernel.request import Where
    from harness.paths import find_settings

    file = find_settings(Path.cwd())
    settings = load_settings(file)
    folder = file.resolve().parent / settings.paths.kernel_patches
    return Where(series=folder, bases=settings.bases)
