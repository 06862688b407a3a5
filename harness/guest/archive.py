# SPDX-License-Identifier: GPL-2.0-or-later
"""Archives in the form that the kernel unpacks as its first file system."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """A file, folder or link of an archive: its mode with the type bits, and what it holds."""

    mode: int
    data: bytes = b""


def regular(data: bytes, *, executable: bool = False) -> Entry:
    """Return a regular file that holds `data`."""
    return Entry(stat.S_IFREG | (0o755 if executable else 0o644), data)


def folder(mode: int = 0o755) -> Entry:
    """Return a folder."""
    return Entry(stat.S_IFDIR | mode)


def link(target: str) -> Entry:
    """Return a symbolic link to `target`."""
    return Entry(stat.S_IFLNK | 0o777, target.encode())


def pack(entries: Mapping[str, Entry]) -> bytes:
    """Return `entries`, by path relative to the root, as a cpio archive of the "newc" form.

    Folders that the paths need are added. The bytes depend on nothing but the entries: they are
    sorted, owned by root, dated at the epoch and numbered from 1.
    Form: Documentation/driver-api/early-userspace/buffer-format.rst in the kernel.
    """
    whole = {parent: folder() for path in entries for parent in _parents(path)} | dict(entries)
    parts: list[bytes] = []
    for number, path in enumerate(sorted(whole), start=1):
        parts.extend(_record(path, whole[path], number))
    parts.extend(_record(_TRAILER, Entry(0), 0))
    return b"".join(parts)


def _parents(path: str) -> Iterable[str]:
    return (str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")


def _record(path: str, entry: Entry, number: int) -> Iterable[bytes]:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    yield head
    yield bytes(-len(head) % 4)
    yield entry.data
    yield bytes(-len(entry.data) % 4)
