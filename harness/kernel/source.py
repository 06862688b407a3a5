# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a base's source comes from: Debian's packages, tarballs, git, folders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files import replace_text
from harness.kernel.base import (
    Base,
    Progress,
    Source,
    known_base,
    obtain_base,
    parse_makefile_version,
)
from harness.kernel.cache import Cache, digest_file, digest_json
from harness.kernel.debian import installed, installed_version, offered
from harness.kernel.gitsource import GitSource, choose_reference
from harness.kernel.gitstore import Git
from harness.kernel.tarball import import_tarball
from harness.kernel.worksource import WorkSource

__all__ = [
    "Base",
    "DebianSource",
    "GitSource",
    "Progress",
    "Source",
    "TarballSource",
    "WorkSource",
    "choose_reference",
    "debian_hint",
    "find_source",
    "installed_debian",
    "known_base",
    "obtain_base",
    "parse_makefile_version",
]

_DEBIAN_FOLDER = Path("/usr/src")
_DEBIAN = re.compile(r"debian-(\d+\.\d+)")
_PACKAGE = re.compile(r"linux-source-(\d+\.\d+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ELSE = "git:REPO@REF, tree:PATH, tarball:FILE or image:DIR"


@dataclass(frozen=True)
class DebianSource(Source):
    """Debian's source package of a kernel; `version` is major.minor."""

    version: str
    folder: Path = _DEBIAN_FOLDER

    @property
    def package(self) -> str:
        return f"linux-source-{self.version}"

    @property
    def tarball(self) -> Path:
        return self.folder / f"{self.package}.tar.xz"

    def check(self) -> None:
        self._identity()

    def identity(self, cache: Cache) -> str:
        return self._identity()

    def bring(self, store: Git, ref: str, cache: Cache) -> str:
        return import_tarball(self.tarball, store, ref, self._identity())

    def _identity(self) -> str:
        version = installed_version(self.package)
        if not version or not self.tarball.is_file():
            raise self._missing()
        return f"debian:{self.package}={version}"

    def _missing(self) -> UserError:
        there = ", ".join(f"debian-{version}" for version in installed_debian()) or "none"
        return UserError(
            f"base debian-{self.version}: package {self.package} is not installed"
            f" (Debian bases that are: {there})",
            hint=debian_hint([self.version]),
        )


@dataclass(frozen=True)
class TarballSource(Source):
    """A tarball of a kernel's source; `sha256` is checked where it is given."""

    file: Path
    sha256: str = ""

    def check(self) -> None:
        if not self.file.is_file():
            raise UserError(
                f"base tarball:{self.file}: there is no such file", hint="check the path"
            )

    def identity(self, cache: Cache) -> str:
        self.check()
        found = self._digest(cache)
        if self.sha256 and found != self.sha256:
            raise UserError(
                f"base tarball:{self.file}: its SHA-256 is {found}, not {self.sha256}",
                hint="get the file again, or correct the hash after #sha256=",
            )
        return f"tarball:{found}"

    def bring(self, store: Git, ref: str, cache: Cache) -> str:
        return import_tarball(self.file, store, ref, self.identity(cache))

    def _digest(self, cache: Cache) -> str:
        """Return the file's hash, which is remembered for as long as nobody writes to the file."""
        state = self.file.stat()
        now = [str(self.file), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        memory = cache.root / "sources" / "tarballs" / f"{digest_json(str(self.file))[:32]}.json"
        try:
            then, digest = json.loads(memory.read_text(encoding="utf-8"))
            if then == now:
                return str(digest)
        except (OSError, ValueError):
            pass
        digest = digest_file(self.file)
        replace_text(memory, json.dumps([now, digest]))
        return digest


def find_source(base: str, aliases: Mapping[str, str] | None = None) -> Source:
    """Return the source of a base as a variant names it.

    `aliases` are the short names of `[bases]` in patchbed.toml.

    Raises:
        UserError: nothing is known by that name, or it has the wrong form.
    """
    base = (aliases or {}).get(base, base)
    debian = _DEBIAN.fullmatch(base)
    if debian:
        return DebianSource(debian.group(1))
    scheme, colon, rest = base.partition(":")
    if colon and scheme == "git":
        repository, at, reference = rest.rpartition("@")
        if not at or not repository or not reference:
            raise UserError(f"base {base!r} has no reference", hint="write git:REPO@REF")
        return GitSource(repository, reference)
    if colon and scheme == "tree" and rest:
        return WorkSource(Path(rest).expanduser().resolve())
    if colon and scheme == "tarball" and rest:
        return _tarball(base, rest)
    if colon and scheme == "image":
        raise UserError(
            f"base {base!r} is built already: it has no source",
            hint="use a source: debian-6.1, git:REPO@REF, tree:PATH or tarball:FILE",
        )
    names = ", ".join(["debian-6.1", "debian-6.12", *(aliases or {})])
    raise UserError(
        f"no base is called {base!r}",
        hint=f"use one of {names}, git:REPO@REF, tree:PATH, tarball:FILE[#sha256=HASH],"
        " image:debian-6.1 or image:DIR",
    )


def _tarball(base: str, rest: str) -> TarballSource:
    file, sign, digest = rest.partition("#sha256=")
    if sign and not _SHA256.fullmatch(digest.lower()):
        raise UserError(
            f"base {base!r}: {digest!r} is no SHA-256", hint="write its 64 digits after #sha256="
        )
    return TarballSource(Path(file).expanduser().resolve(), digest.lower())


def installed_debian() -> list[str]:
    """Return the versions (major.minor) of Debian's source packages that are installed, sorted."""
    names = (_PACKAGE.fullmatch(package.name) for package in installed("linux-source-*"))
    versions = {match.group(1) for match in names if match}
    return sorted(versions, key=lambda version: [int(part) for part in version.split(".")])


def debian_hint(versions: Sequence[str]) -> str:
    """Return what to do where Debian's sources of `versions` (major.minor) are not installed."""
    names = [f"linux-source-{version}" for version in versions]
    known = [package.name for package in offered(names)]
    if known:
        return f"apt-get install {known[-1]}, or use {_ELSE}"
    return f"apt does not know {' or '.join(names) or 'any'} here: use {_ELSE}"
