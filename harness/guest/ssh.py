# SPDX-License-Identifier: GPL-2.0-or-later
"""paramiko, loaded without what nobody here uses."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["Channel", "ECDSAKey", "SSHException", "Transport"]


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Let an import of `module` fail meanwhile."""
    modules: dict[str, Any] = sys.modules
    before = modules.get(module)
    modules[module] = None
    try:
        yield
    finally:
        if before is None:
            del modules[module]
        else:
            modules[module] = before


# paramiko takes invoke for `Match exec` in a person's ssh_config, where it is installed: two fifths
# of the whole import, and it can do without.
with _without("invoke"):
    from paramiko import Channel, ECDSAKey, SSHException, Transport
