# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that are built already (`image:`): Debian's own packages, or a folder."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UserError
from harness.kernel.architecture import other_architecture
from harness.kernel.artifact import FORMAT, META, Kernel, load_kernel
from harness.kernel.boot_modules import lacking, write_boot_modules
from harness.kernel.bzimage import embedded_config, extract_vmlinux, is_bzimage
from harness.kernel.cache import (
    Cache,
    check_space,
    command_name,
    digest_file,
    digest_json,
    disk_full,
    publish,
)
from harness.kernel.debian import KernelPackages, fetch, find_kernel
from harness.kernel.filestate import state_of
from harness.kernel.fragment import parse_config
from harness.kernel.image_folder import Parts, copy_headers, find_parts
from harness.kernel.interrupt import terminable
from harness.kernel.source import find_source
from harness.kernel.teller import Teller
from harness.kernel.variant import Variant

DEFAULT_PROFILE = "fast"
# Part of every key: count it up when what is made of the same image changes.
VERSION = 2
_DEBIAN = re.compile(r"debian-(\d+\.\d+)(?:-(cloud|rt))?")
# Debian's modules and headers, unpacked beside their packages.
_DISK_NEEDED = 1 << 30
_CHECKED = ("bzImage", "vmlinux", "config")
_FOLDERS = ("modules", "boot", "headers", "debian")


@dataclass(frozen=True)
class Prebuilt:
    """An `image:` base: of Debian's packages, or where `folder` is given, of what is in there."""

    base: str
    version: str = ""
    flavour: str = "amd64"
    folder: Path | None = None

    def packages(self) -> KernelPackages:
        """Return Debian's packages of it; raises what debian.find_kernel raises."""
        return find_kernel(self.version, self.flavour)

    def identity(self) -> str:
        """Return words that change whenever the image does.

        Raises:
            UserError: it is not there, or holds no kernel.
        """
        if self.folder is None:
            return f"image:{self.packages().identity}"
        return f"image:{find_parts(self.folder, self.base).identity()}"


def find_prebuilt(variant: Variant, aliases: Mapping[str, str] | None = None) -> Prebuilt | None:
    """Return the image that `variant` is of, None where its base is a source.

    `aliases` are the short names of `[bases]` in patchbed.toml.

    Raises:
        UserError: the image has a series on top, or no name.
    """
    base = (aliases or {}).get(variant.base, variant.base)
    scheme, _, rest = base.partition(":")
    if scheme != "image":
        return None
    if variant.patched:
        raise UserError(
            f"{variant}: {base} is built already: no series can be applied to it",
            hint=f"use a source: debian-6.1+{variant.series}@{variant.version}",
        )
    debian = _DEBIAN.fullmatch(rest)
    if debian:
        return Prebuilt(base, debian.group(1), debian.group(2) or "amd64")
    if not rest:
        raise UserError(f"base {base!r} names no image", hint="image:debian-6.1 or image:DIR")
    return Prebuilt(base, folder=Path(rest).expanduser().resolve())


def check_base(variant: Variant, aliases: Mapping[str, str] | None = None) -> None:
    """Find the base of `variant`, whatever its kind; cheap: nothing is made.

    Raises:
        UserError: it is not there, or it is an image with a series on top.
    """
    prebuilt = find_prebuilt(variant, aliases)
    if prebuilt is not None:
        prebuilt.identity()
    else:
        find_source(variant.base, aliases).check()


def obtain_prebuilt(
    prebuilt: Prebuilt, variant: Variant, profile: str, teller: Teller, cache: Cache
) -> Kernel:
    """Return the kernel of an image, brought into the cache unless it is there.

    Raises:
        UserError: there is no such image, it is no x86-64 kernel, or lacks what booting takes;
            the message names the symbols.
        InfrastructureError: the disk is full, or Debian's packages can't be had.
    """
    if profile != DEFAULT_PROFILE:
        text = f"{variant} has its own configuration: profile {profile!r} does not apply to it"
        teller.say("warning", text)
    with terminable():
        identity = prebuilt.identity()
        key = _key(identity)
        kernel = _load(cache, key, variant, profile)
        if kernel is not None:
            return kernel
        with cache.hold(f"key-{key[:32]}", f"{command_name()}: {variant}", teller.waiting):
            kernel = _load(cache, key, variant, profile)
            if kernel is None:
                check_space(cache.root, _DISK_NEEDED)
                with disk_full(cache.root):
                    _Import(prebuilt, identity, key, variant, teller, cache).run()
                kernel = load_kernel(cache.kernels / key, variant=str(variant), profile=profile)
                if kernel is None:
                    raise RuntimeError(
                        f"the entry just written to {cache.kernels / key} is damaged"
                    )
                return replace(kernel, cached=False)
            return kernel


def find_imported(variant: Variant, cache: Cache) -> Kernel | None:
    """Return the kernel of an image that is in the cache already, or None; fetches nothing.

    Raises:
        UserError: there is no such image.
    """
    prebuilt = find_prebuilt(variant)
    return _load(cache, _key(prebuilt.identity()), variant, DEFAULT_PROFILE) if prebuilt else None


def _key(identity: str) -> str:
    return digest_json({"image": identity, "version": VERSION})


def _load(cache: Cache, key: str, variant: Variant, profile: str) -> Kernel | None:
    kernel = load_kernel(cache.kernels / key, variant=str(variant), profile=profile)
    if kernel is not None:
        (kernel.folder / "last-used").touch()
    return kernel


class _Import:
    """The making of one entry."""

    def __init__(
        self,
        prebuilt: Prebuilt,
        identity: str,
        key: str,
        variant: Variant,
        teller: Teller,
        cache: Cache,
    ) -> None:
        self._prebuilt = prebuilt
        self._identity = identity
        self._key = key
        self._variant = variant
        self._teller = teller
        self._cache = cache
        self._began = time.monotonic()

    def run(self) -> None:
        """Make the entry of the image, aside, and put it into the cache."""
        with self._cache.scratch() as folder:
            ours = self._prebuilt.folder is None
            parts = self._fetched(folder) if ours else self._given()
            self._teller.phase("store")
            entry = folder / "entry"
            entry.mkdir()
            config = self._write_kernel(parts, entry)
            self._check(parts, config)
            if parts.modules is not None:
                self._write_modules(parts, entry, move=ours)
            if parts.headers is not None:
                copy_headers(parts, entry)
            self._write_meta(parts, entry)
            publish(entry, self._cache.kernels / self._key)

    def _fetched(self, folder: Path) -> Parts:
        packages = self._prebuilt.packages()
        self._teller.phase("fetch")
        fetch(packages.packages, folder / "packages", folder / "root")
        return find_parts(folder / "root", self._prebuilt.base, packages.release)

    def _given(self) -> Parts:
        folder = self._prebuilt.folder
        if folder is None:
            raise RuntimeError("Debian's packages are no folder")
        return find_parts(folder, self._prebuilt.base)

    def _write_kernel(self, parts: Parts, entry: Path) -> dict[str, str]:
        """Write bzImage, vmlinux and config; return the configuration."""
        data = parts.kernel.read_bytes()
        vmlinux = parts.vmlinux.read_bytes() if parts.vmlinux else None
        if is_bzimage(data):
            (entry / "bzImage").write_bytes(data)
            vmlinux = vmlinux or extract_vmlinux(data)
        if vmlinux:
            (entry / "vmlinux").write_bytes(vmlinux)
        config = (
            parts.config.read_text(encoding="utf-8", errors="replace")
            if parts.config
            else embedded_config(vmlinux or b"")
        )
        if not config:
            raise UserError(
                f"base {self._prebuilt.base}: {parts.folder} has no configuration: no config,"
                " .config or boot/config-*, and none in the kernel (CONFIG_IKCONFIG)",
                hint="put the kernel's .config there, as `config`",
            )
        (entry / "config").write_text(config, encoding="utf-8")
        if parts.system_map is not None:
            shutil.copyfile(parts.system_map, entry / "System.map")
        return parse_config(config)

    def _check(self, parts: Parts, config: dict[str, str]) -> None:
        base = f"base {self._prebuilt.base}"
        other = other_architecture(config)
        if other:
            raise UserError(
                f"{base}: its configuration is for another architecture: CONFIG_{other}=y",
                hint="patchbed boots x86-64 kernels",
            )
        missing = lacking(config, parts.modules is not None)
        if missing:
            names = ", ".join(f"CONFIG_{symbol}" for symbol in missing)
            where = "" if parts.modules else f" ({parts.folder} has no modules)"
            raise UserError(
                f"{base}: it can't boot our machines: it has not set {names}{where}",
                hint="configure them in, or give the modules too: see docs/bases.md",
            )

    def _write_modules(self, parts: Parts, entry: Path, *, move: bool) -> None:
        if parts.modules is None:
            return
        target = entry / "modules" / "lib" / "modules" / parts.release
        target.parent.mkdir(parents=True)
        if move:
            parts.modules.rename(target)
        else:
            shutil.copytree(parts.modules, target, symlinks=True)
        for link in ("build", "source"):
            if (target / link).is_symlink():
                (target / link).unlink()
        write_boot_modules(target, entry / "boot")

    def _write_meta(self, parts: Parts, entry: Path) -> None:
        (entry / "build.log").write_text(f"$ patchbed kernel build {self._variant}\n")
        compiler = parse_config((entry / "config").read_text(encoding="utf-8")).get(
            "CC_VERSION_TEXT", ""
        )
        folders = [entry / name for name in _FOLDERS]
        meta = {
            "format": FORMAT,
            "key": self._key,
            "variant": str(self._variant),
            "profile": "",
            "release": parts.release,
            "image": self._identity,
            "lacks": parts.lacks(),
            "tree": "",
            "compiler": compiler.strip('"'),
            "built": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._began, 1),
            "checksums": {
                name: digest_file(entry / name) for name in _CHECKED if (entry / name).is_file()
            },
            "folders": {
                folder.name: state_of(folder)
                for folder in folders
                if folder.is_dir() and not folder.is_symlink()
            },
        }
        (entry / META).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
