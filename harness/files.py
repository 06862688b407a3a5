# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are replaced whole or not at all, for who reads them meanwhile."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_bytes(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write `data` to `path`, whole or not at all, with these permissions.

    Raises:
        OSError: it can't be written; what was at `path` is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(aside).chmod(mode)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def replace_text(path: Path, text: str) -> None:
    """Write `text` to `path` in UTF-8. Raises as `replace_bytes` does."""
    replace_bytes(path, text.encode())
