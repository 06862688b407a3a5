# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast this host boots guests, measured, and the time limits that follow from it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from harness import paths
from harness.files import replace_text
from harness.guest.accelerator import host

# What a boot to the first command takes where a limit is taken as it is written, in seconds.
ORDINARY = 1.6
_KEPT = 5
_MOST = 20.0
# A boot says something of the host only with a kernel whose own cost is known.
KNOWN_PROFILE = "fast"


def scaled(limit: float, accelerator: str = "tcg") -> float:
    """Return the `limit` in seconds that does on this host what `limit` does on an ordinary one.

    It is never shorter; a host that has not booted anything yet counts as ordinary.
    """
    return limit * factor(_read(_store()).get(_key(accelerator), []))


def factor(seconds: list[float]) -> float:
    """Return by how much a host is slower that took so long for its last boots: 1 to 20."""
    if not seconds:
        return 1.0
    # The median, without the module for it: its import is a hundredth of a boot.
    return min(_MOST, max(1.0, sorted(seconds)[len(seconds) // 2] / ORDINARY))


def remember(seconds: float, accelerator: str) -> None:
    """Take into account that a boot of a known kernel took so long."""
    store = _store()
    facts = _read(store)
    facts[_key(accelerator)] = [*facts.get(_key(accelerator), []), round(seconds, 3)][-_KEPT:]
    # Two at once: the later stays. A disk that is full is no reason to fail.
    with contextlib.suppress(OSError):
        replace_text(store, json.dumps(facts))


def _store() -> Path:
    return paths.cache() / "speed.json"


def _key(accelerator: str) -> str:
    return f"{accelerator} {host()}"


def _read(store: Path) -> dict[str, list[float]]:
    try:
        facts = json.loads(store.read_text(encoding="utf-8"))
        return {str(key): [float(each) for each in values] for key, values in facts.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
