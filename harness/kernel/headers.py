# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of a source tree and its build that external modules are built against."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

# As Debian's linux-headers packages: sources and build merged into one folder, which kbuild then
# takes for a tree that was built in place.
_SOURCES = ("Makefile", "Kbuild", "include", "arch/x86/include", "scripts")
_MAKEFILES = ("arch/x86",)
_BUILT = (
    ".config",
    "Module.symvers",
    "include",
    "arch/x86/include",
    "scripts",
    "tools/objtool/objtool",
)
_LEFT_OUT = (".o", ".cmd", ".d", ".a")


def write_headers(source: Path, build: Path, target: Path) -> None:
    """Write to `target` what `make -C target M=... modules` needs of a finished build.

    `source` is the kernel's source tree and `build` the folder it was built into.
    """
    for name in _SOURCES:
        _copy(source / name, target / name)
    for folder in _MAKEFILES:
        for file in _makefiles(source / folder):
            _copy(file, target / file.relative_to(source))
    for name in _BUILT:
        _copy(build / name, target / name)


def _makefiles(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.glob("Makefile*") if path.is_file())


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=_ignore, dirs_exist_ok=True)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _ignore(folder: str, names: Iterable[str]) -> set[str]:
    left_out = {name for name in names if name.endswith(_LEFT_OUT)}
    if os.path.basename(folder) == "include":  # noqa: PTH119
        left_out.add("dt-bindings")
    return left_out
