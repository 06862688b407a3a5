# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InfrastructureError
from harness.files import replace_bytes
from harness.outcomes import Outcome

_READABLE = 0o644


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, for everybody to read, as `replace_bytes` does.

    Raises:
        InfrastructureError: the disk does not take it; what was at `path` is as before.
    """
    try:
        replace_bytes(path, text.encode(), _READABLE)
    except OSError as error:
        raise InfrastructureError(
            Outcome.INFRA_DISK,
            f"{path}: can't be written: {error.strerror}",
            hint="free some space, or make the folder writable",
        ) from error
