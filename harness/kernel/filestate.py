# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the files of a folder are still those that were put there, without reading them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path


class State:
    """A digest of files' names, sizes and dates: another one once any of them changes."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, name: str, status: os.stat_result) -> None:
        """Take in a file; the order matters, and `walk` has a fixed one."""
        text = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
        self._digest.update(text.encode(errors="surrogateescape"))

    def hex(self) -> str:
        """Return the digest of what was taken in so far."""
        return self._digest.hexdigest()


def state_of(folder: Path) -> str:
    """Return the digest of all files and links below `folder`.

    Raises:
        OSError: a folder can't be read, or is not there.
    """
    state = State()
    for name, entry in walk(folder):
        state.add(name, entry.stat(follow_symlinks=False))
    return state.hex()


def file_states(path: Path) -> list[list[int | str]]:
    """Return the stamps, with their names, of the file `path` or of all files below the folder.

    Of compiled Python files there are none: to import a module writes one.

    Raises:
        OSError: there is no such file.
    """
    if not path.is_dir():
        return [[str(path), *stamp(path)]]
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.name != "__pycache__")
    return [state for name in names for state in file_states(path / name)]


def stamp(path: Path) -> list[int]:
    """Return what changes when a file is written: as git's index does, without reading it.

    The inode's own date, which nobody sets back, is among it.

    Raises:
        OSError: there is no such file.
    """
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def walk(folder: Path, *, folders: bool = False) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield each file and link below `folder` with its name there, in an order that is fixed.

    With `folders`, these too, each before what is in it.
    """
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(folder / below) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = f"{below}{entry.name}"
                inner = entry.is_dir(follow_symlinks=False)
                if inner:
                    pending.append(f"{name}/")
                if folders or not inner:
                    yield name, entry
