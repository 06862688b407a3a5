# SPDX-License-Identifier: GPL-2.0-or-later
"""Private folders for boots that keep nothing, cleared up even after whoever was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import InfrastructureError
from harness.outcomes import Outcome

PREFIX = "patchbed-boot-"
_OWNER = ".owner"
# A folder gets its real name once it is locked, so that no sweep finds one that seems unowned.
_UNOWNED = ".patchbed-boot-"
# One that is still called so after this was left by somebody who was killed just then.
_YOUNG = 60.0


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Give a folder that is ours alone (mode 0700), gone at the end.

    Folders whose owners are dead, which could not clear up, are removed first.

    Raises:
        InfrastructureError: there is no room for it.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = _make(stack)
        except OSError as error:
            raise InfrastructureError(
                Outcome.INFRA_DISK,
                f"can't make a folder for the boot: {error}",
                hint="make room there, or set TMPDIR to a folder that has some",
            ) from error
        yield folder


def _make(stack: contextlib.ExitStack) -> Path:
    root = Path(tempfile.gettempdir())
    sweep(root)
    made = Path(tempfile.mkdtemp(dir=root, prefix=_UNOWNED))
    folder = made.with_name(made.name.removeprefix("."))
    for name in (made, folder):
        stack.callback(shutil.rmtree, name, ignore_errors=True)
    # The kernel gives the lock up when we die, however we die.
    stack.enter_context(FileLock(made / _OWNER, thread_local=False))
    made.rename(folder)
    return folder


def sweep(root: Path) -> list[Path]:
    """Remove what dead owners of ours left under `root`; return it."""
    left: list[Path] = []
    for folder in (*root.glob(f"{PREFIX}*"), *root.glob(f"{_UNOWNED}*")):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.geteuid() and not folder.is_symlink() and _dead(folder):
                shutil.rmtree(folder)
                left.append(folder)
    return left


def _dead(folder: Path) -> bool:
    if folder.name.startswith(_UNOWNED) or not (folder / _OWNER).exists():
        # Somebody makes it, or takes it down, at this moment; or was killed while at it.
        return time.time() - folder.stat().st_mtime > _YOUNG
    try:
        with FileLock(folder / _OWNER, blocking=False):
            return True
    except Timeout:
        return False
