# SPDX-License-Identifier: GPL-2.0-or-later
"""The short names of bases, for the commands that take variants."""

from __future__ import annotations

from pathlib import Path


def base_aliases() -> dict[str, str]:
    """Return `[bases]` of the patchbed.toml in use."""
    from harness.config import find_settings, load_settings

    return load_settings(find_settings(Path.cwd())).bases
