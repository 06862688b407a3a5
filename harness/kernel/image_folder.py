# SPDX-License-Identifier: GPL-2.0-or-later
"""A folder with a built kernel: where its parts are."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.kernel.bzimage import is_bzimage, kernel_release
from harness.kernel.cache import digest_file

KERNELS = ("bzImage", "vmlinuz", "arch/x86/boot/bzImage", "boot/vmlinuz-*", "boot/bzImage-*")
VMLINUX = ("vmlinux", "boot/vmlinux-*")
CONFIGS = ("config", ".config", "boot/config-{release}")
_MAPS = ("System.map", "boot/System.map-{release}")
MODULES = (
    "modules/lib/modules/{release}",
    "lib/modules/{release}",
    "usr/lib/modules/{release}",
)
HEADERS = ("headers", "usr/src/linux-headers-{release}", "lib/modules/{release}/build")
# The kernel's types, for BTF in modules: it takes pahole, and a test module needs none.
_NO_TYPES = shutil.ignore_patterns("vmlinux")
# What Debian has in the place of a System.map.
_STUB = 4096
_INCLUDE = re.compile(r"^include\s+(/usr/src/(\S+))/Makefile\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Parts:
    """The parts of an image in `folder`; those that it lacks are None.

    `kernel` is a bzImage, or the vmlinux where there is no other.
    """

    folder: Path
    release: str
    kernel: Path
    vmlinux: Path | None
    config: Path | None
    system_map: Path | None
    modules: Path | None
    headers: Path | None

    def lacks(self) -> list[str]:
        """Return words for what is missing that testcases can use."""
        parts = {"modules": self.modules, "headers": self.headers}
        return [name for name, path in parts.items() if path is None]

    def identity(self) -> str:
        """Return a digest of it all: kernel and configuration by content, the rest by its files."""
        digest = hashlib.sha256()
        for file in (self.kernel, self.vmlinux, self.config, self.system_map):
            digest.update(f"{digest_file(file) if file else ''}\n".encode())
        for folder in (self.modules, self.headers):
            for line in _listing(folder) if folder else ():
                digest.update(os.fsencode(line))
        return f"{self.release}:{digest.hexdigest()}"


def find_parts(folder: Path, base: str, release: str = "") -> Parts:
    """Return the parts of the image in `folder`; `release` is what is wanted of several.

    Raises:
        UserError: there is no kernel, or more than one; `base` names the image in the message.
    """
    if not folder.is_dir():
        raise UserError(f"base {base}: {folder} is no folder", hint="check the path")
    kernels = [path for path in _files(folder, KERNELS) if _is_kernel(path, release)]
    images = [path for path in _files(folder, VMLINUX) if _is_kernel(path, release)]
    if not kernels and not images:
        raise UserError(
            f"base {base}: {folder} holds no kernel: none of"
            f" {', '.join((*KERNELS, *VMLINUX))} is one for x86",
            hint="give the folder with a bzImage, vmlinuz or vmlinux: see docs/bases.md",
        )
    if len(kernels) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in kernels)
        raise UserError(
            f"base {base}: {folder} holds several kernels: {names}",
            hint="give a folder that holds one",
        )
    kernel = kernels[0] if kernels else images[0]
    release = kernel_release(kernel.read_bytes())
    headers = _first(folder, HEADERS, release, Path.is_dir)
    stub = _first(folder, _MAPS, release, Path.is_file)
    return Parts(
        folder=folder,
        release=release,
        kernel=kernel,
        vmlinux=images[0] if images else None,
        config=_first(folder, CONFIGS, release, Path.is_file),
        system_map=stub if stub and stub.stat().st_size > _STUB else None,
        modules=_first(folder, MODULES, release, Path.is_dir),
        headers=headers.resolve() if headers and (headers / "Makefile").is_file() else None,
    )


def _is_kernel(path: Path, release: str) -> bool:
    data = path.read_bytes()
    known = kernel_release(data)
    return bool(known) and (is_bzimage(data) or data[:4] == b"\x7fELF") and release in ("", known)


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    # A vmlinuz is often a link to another of them.
    real = {path.resolve(): path for path in reversed(found) if path.is_file()}
    return list(reversed(real.values()))


def _first(
    folder: Path, patterns: Iterable[str], release: str, kind: Callable[[Path], bool]
) -> Path | None:
    paths = (folder / pattern.format(release=release) for pattern in patterns)
    return next((path for path in paths if kind(path)), None)


def _listing(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        yield f"{path.relative_to(folder)}\0{state.st_size}\0{state.st_mtime_ns}\n"


def copy_headers(parts: Parts, entry: Path) -> None:
    """Copy an image's headers to the cache's `entry`, as its `headers`.

    Debian's are three packages that name each other by absolute paths; those become relative.

    Raises:
        UserError: a part of Debian's headers is not there.
    """
    headers = parts.headers
    if headers is None:
        return
    makefile = (headers / "Makefile").read_text(encoding="utf-8", errors="replace")
    include = _INCLUDE.search(makefile)
    if include is None:
        shutil.copytree(headers, entry / "headers", symlinks=True, ignore=_NO_TYPES)
        return
    common = headers.parent / include.group(2)
    target = entry / "debian" / "usr" / "src"
    for folder in (headers, common):
        if not folder.is_dir():
            raise UserError(
                f"{parts.folder}: {headers.name} needs {include.group(1)}, which is not there",
                hint="unpack linux-headers-...-common and linux-kbuild-... there too",
            )
        shutil.copytree(folder, target / folder.name, symlinks=True, ignore=_NO_TYPES)
    for link in ("scripts", "tools"):
        source = headers / link
        if source.is_symlink():
            _copy_kbuild(source, target / headers.name / link, entry / "debian")
    relative = f"include $(dir $(lastword $(MAKEFILE_LIST)))../{common.name}/Makefile"
    text = makefile.replace(include.group(0).strip(), relative)
    (target / headers.name / "Makefile").write_text(text, encoding="utf-8")
    (entry / "headers").symlink_to(Path("debian/usr/src") / headers.name)


def _copy_kbuild(source: Path, link: Path, root: Path) -> None:
    """Copy what Debian's link `source` points to, so that its copy `link` points to the copy."""
    where = str(source.readlink())
    if where.startswith("/"):
        where = f"../..{where.removeprefix('/usr')}"
        link.unlink()
        link.symlink_to(where)
    copied = Path(os.path.normpath(link.parent / where))
    if copied.is_relative_to(root) and not copied.exists() and source.exists():
        shutil.copytree(source.resolve(), copied, symlinks=True)
