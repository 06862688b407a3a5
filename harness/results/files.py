# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InfrastructureError
from harness.outcomes import Outcome


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8: aside first, then into its place.

    Raises:
        InfrastructureError: the disk does not take it; what was at `path` is as before.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_text(text, encoding="utf-8", newline="\n")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise InfrastructureError(
            Outcome.INFRA_DISK,
            f"{path}: can't be written: {error.strerror}",
            hint="free some space, or make the folder writable",
        ) from error
