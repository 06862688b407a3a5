# SPDX-License-Identifier: GPL-2.0-or-later
"""The short names of bases, for the commands that take variants."""

from __future__ import annotations

from pathlib import Path


def base_aliases() -> dict[str, str]:
    """Return `[bases]` of the patchbed.toml in use."""
    from harness.config import Settings, find_settings, load_toml

    return load_toml(find_settings(Path.cwd()), Settings).bases
