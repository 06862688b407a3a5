# SPDX-License-Identifier: GPL-2.0-or-later
"""A built kernel in the cache."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.kernel.cache import digest_file
from harness.kernel.elf import strip_debug
from harness.kernel.filestate import state_of
from harness.kernel.fragment import parse_config
from harness.kernel.headers import write_headers
from harness.kernel.worktree import WorkTree
from harness.outcomes import Outcome

META = "meta.json"
FORMAT = 1
DEBUG = "vmlinux.debug"
# Thousands of files: their names, sizes and dates are checked each time that an entry is used.
_FOLDERS = ("headers", "modules")
_INSTRUMENTED = (b"KASAN", b"KCSAN")
# What an entry must hold: their contents are checked.
_MADE = {
    "bzImage": "arch/x86/boot/bzImage",
    "vmlinux": "vmlinux",
    "config": ".config",
    "System.map": "System.map",
    "Module.symvers": "Module.symvers",
}


@dataclass(frozen=True)
class Kernel:
    """A kernel of the cache: `folder` holds it, `key` says what went into it.

    `release` is `uname -r`'s, `tree` the git hash of the (patched) source, `compiler` the
    compiler's and the binutils' versions; `cached` tells whether it was there already.
    """

    key: str
    variant: str
    profile: str
    release: str
    tree: str
    compiler: str
    folder: Path
    cached: bool = field(default=True, compare=False)
    meta: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def bzimage(self) -> Path:
        return self.folder / "bzImage"

    @property
    def vmlinux(self) -> Path:
        return self.folder / "vmlinux"

    @property
    def debug_vmlinux(self) -> Path:
        """The vmlinux with the debug information, where the kernel has some."""
        debug = self.folder / DEBUG
        return debug if debug.is_file() else self.vmlinux

    @property
    def config_file(self) -> Path:
        return self.folder / "config"

    @property
    def system_map(self) -> Path:
        return self.folder / "System.map"

    @property
    def headers(self) -> Path:
        """The KDIR to build external modules against."""
        return self.folder / "headers"

    @property
    def modules(self) -> Path:
        """The tree to install as the guest's root for /lib/modules; empty without modules."""
        return self.folder / "modules"

    @property
    def log(self) -> Path:
        return self.folder / "build.log"

    @property
    def lacks(self) -> tuple[str, ...]:
        """What an image that was built elsewhere has not: "modules", "headers"."""
        meta = self.meta or read_meta(self.folder) or {}
        return tuple(meta.get("lacks", ()))

    @property
    def enters_through_pvh(self) -> bool:
        """Whether the kernel survives QEMU's way past its unpacking stage.

        A sanitizer's does not: `xen_prepare_pvh()` (arch/x86/platform/pvh/enlighten.c of 6.1) is
        instrumented, and runs before `kasan_early_init()` has made the shadow that it looks at.
        """
        config = self.config_file.read_bytes()
        return not any(b"\nCONFIG_%s=y\n" % symbol in config for symbol in _INSTRUMENTED)

    def boot_modules(self) -> list[Path]:
        """Return the modules that must be loaded to boot, in order; a kernel of ours has none."""
        return sorted((self.folder / "boot").glob("*.ko"))

    def config(self) -> dict[str, str]:
        """Return the symbols that are set, without CONFIG_: {"SECRETMEM": "y", ...}."""
        return parse_config(self.config_file.read_text(encoding="utf-8"))


def load_kernel(folder: Path, *, variant: str = "", profile: str = "") -> Kernel | None:
    """Return the kernel in `folder`, or None where there is no whole and undamaged one.

    `variant` and `profile` are what it was asked for as: two variants whose sources are the
    same share an entry.
    """
    meta = read_meta(folder)
    if meta is None or damage(folder):
        return None
    return kernel_of(folder, meta, variant=variant, profile=profile)


def kernel_of(
    folder: Path, meta: dict[str, Any], *, variant: str = "", profile: str = ""
) -> Kernel:
    """Return the kernel in `folder`, of whose meta.json `meta` is; see `load_kernel`."""
    return Kernel(
        key=meta["key"],
        variant=variant or meta["variant"],
        profile=profile or meta["profile"],
        release=meta["release"],
        tree=meta["tree"],
        compiler=meta["compiler"],
        folder=folder,
        meta=meta,
    )


def write_entry(tree: WorkTree, aside: Path) -> str:
    """Fill the folder `aside` with what a finished build in `tree` gave; return its release."""
    build = tree.build
    aside.mkdir()
    for name, made in _MADE.items():
        shutil.copy2(build / made, aside / name)
    symbols = parse_config((aside / "config").read_text(encoding="utf-8"))
    if symbols.get("DEBUG_INFO") == "y":
        split_debug_info(aside / "vmlinux", aside / DEBUG)
    write_headers(tree.source, build, aside / "headers")
    release = (build / "include/config/kernel.release").read_text(encoding="utf-8").strip()
    if "m" in symbols.values():
        target = f"INSTALL_MOD_PATH={aside / 'modules'}"
        tree.make(
            "modules_install",
            target,
            "INSTALL_MOD_STRIP=1",
            outcome=Outcome.BUILD_COMPILE,
            what="make modules_install failed",
        )
        for link in ("build", "source"):
            (aside / "modules" / "lib" / "modules" / release / link).unlink(missing_ok=True)
    shutil.copy2(tree.log, aside / "build.log")
    return release


def split_debug_info(vmlinux: Path, debug: Path) -> None:
    """Move `vmlinux` to `debug`, and leave it without debug information where it was.

    What boots is read and checked each time, the debug information only after a crash.
    """
    vmlinux.rename(debug)
    strip_debug(debug, vmlinux)


def write_meta(aside: Path, facts: dict[str, Any]) -> None:
    """Write an entry's meta.json: `facts`, and what is found when the entry is checked."""
    folders = {name: state_of(aside / name) for name in _FOLDERS if (aside / name).is_dir()}
    meta = {"format": FORMAT, **facts, "checksums": checksums(aside), "folders": folders}
    (aside / META).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def read_meta(folder: Path) -> dict[str, Any] | None:
    """Return an entry's meta.json, or None where it is missing or of another format."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return meta if isinstance(meta, dict) and meta.get("format") == FORMAT else None


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files that are checked each time."""
    return {name: digest_file(folder / name) for name in _MADE}


def damage(folder: Path) -> str:
    """Return what is wrong with an entry, "" where nothing is."""
    meta = read_meta(folder)
    if meta is None:
        return f"{META} is missing, or of another version"
    for name, digest in meta["checksums"].items():
        try:
            if digest_file(folder / name) != digest:
                return f"{name} is not what was built"
        except OSError:
            return f"{name} is missing"
    return _damaged_folder(folder, meta)


def _damaged_folder(folder: Path, meta: dict[str, Any]) -> str:
    for name, state in meta.get("folders", {}).items():
        try:
            if state_of(folder / name) != state:
                return f"{name} is not what was built"
        except OSError:
            return f"{name} is missing"
    # An image that was built elsewhere may have none.
    lacks = meta.get("lacks", ())
    if "headers" not in lacks and not (folder / "headers" / "Makefile").is_file():
        return "headers is not whole"
    return ""
