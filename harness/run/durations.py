# SPDX-License-Identifier: GPL-2.0-or-later
"""How long testcases took in earlier runs, so that the longest can begin first."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from harness import paths
from harness.errors import InfrastructureError
from harness.results.files import write_atomically


def durations_file(variant: str, profile: str, machine: str) -> Path:
    """Return the cache's file about the testcases of one cell."""
    name = hashlib.sha256("\0".join((variant, profile, machine)).encode()).hexdigest()[:16]
    return paths.cache() / "durations" / f"{name}.json"


def load_durations(file: Path) -> dict[str, float]:
    """Return seconds by testcase, {} where nothing usable is known."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return {str(test): float(seconds) for test, seconds in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember_durations(file: Path, seconds: Mapping[str, float]) -> None:
    """Add what testcases took now; a disk that does not take it costs order, no results."""
    with contextlib.suppress(OSError, InfrastructureError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps({**load_durations(file), **seconds}, indent=1))
