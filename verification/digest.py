# SPDX-License-Identifier: GPL-2.0-or-later
"""Digests of folders: whether what was found still stands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from harness import paths
from harness.kernel.cache import digest_json

_LEFT_OUT = ("__pycache__",)
# What decides how a testcase is run and judged, beside the testcase.
HARNESS = (paths.PROJECT / "harness", paths.PROJECT / "guest-config")


def list_files(folder: Path) -> list[Path]:
    """Return all files in `folder` that are not made by Python itself, relative to it, sorted."""
    return [
        path.relative_to(folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part in _LEFT_OUT for part in path.parts)
    ]


def digest_folders(folders: Iterable[Path]) -> str:
    """Return the SHA-256 over the names and contents of all files in `folders`, in hex."""
    return digest_json(
        {
            f"{number}/{path}": hashlib.sha256((folder / path).read_bytes()).hexdigest()
            for number, folder in enumerate(folders)
            for path in list_files(folder)
        }
    )
