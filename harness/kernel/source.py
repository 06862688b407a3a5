# SPDX-License-Identifier: GPL-2.0-or-later
"""Bases: where a kernel's source comes from, and how it gets into the store."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import UserError
from harness.kernel.cache import Cache, Waiting, digest_file, disk_full, replace_text
from harness.kernel.gitstore import Git, GitError, init_bare, run_git
from harness.kernel.tarball import import_tarball

_DEBIAN_FOLDER = Path("/usr/src")
_DEBIAN = re.compile(r"debian-(\d+\.\d+)")
_FORMAT = 1
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Base:
    """A base in the store: `identity` says what it was made from, `tree` is what it holds.

    `series_version` is the Makefile's major.minor, `release` also its sublevel.
    """

    identity: str
    commit: str
    tree: str
    series_version: str
    release: str


class Source(ABC):
    """Somewhere a kernel's source can be had from."""

    @abstractmethod
    def identity(self) -> str:
        """Return words that change whenever the source does; cheap: nothing is unpacked.

        Raises:
            UserError: the source is not there.
        """

    @abstractmethod
    def bring(self, store: Git, ref: str) -> str:
        """Bring the source into `store`, kept by `ref`; return its commit's id."""


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

    def identity(self) -> str:
        version = self._package_version()
        if not version or not self.tarball.is_file():
            raise self._missing()
        return f"debian:{self.package}={version}"

    def bring(self, store: Git, ref: str) -> str:
        return import_tarball(self.tarball, store, ref, self.identity())

    def _package_version(self) -> str:
        try:
            done = subprocess.run(
                ["dpkg-query", "-W", "-f=${db:Status-Status} ${Version}", self.package],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            return ""
        status, _, version = done.stdout.partition(" ")
        return version if status == "installed" else ""

    def _missing(self) -> UserError:
        found = sorted(
            path.name.removeprefix("linux-source-").removesuffix(".tar.xz")
            for path in self.folder.glob("linux-source-*.tar.xz")
        )
        there = ", ".join(f"debian-{version}" for version in found) or "none"
        return UserError(
            f"base debian-{self.version}: package {self.package} is not installed"
            f" (Debian bases that are: {there})",
            hint=f"apt-get install {self.package}, or use git:REPO@REF or tarball:FILE",
        )


@dataclass(frozen=True)
class GitSource(Source):
    """A commit, tag or branch of a repository, given by path or address."""

    repository: str
    reference: str

    def identity(self) -> str:
        return f"git:{self._commit()}"

    def bring(self, store: Git, ref: str) -> str:
        commit = self._commit()
        try:
            store.run("fetch", "--quiet", "--depth=1", "--no-tags", self._address(), commit)
            store.run("update-ref", ref, commit)
        except GitError as error:
            raise UserError(
                f"base git:{self.repository}@{self.reference}: can't be fetched:"
                f" {error.stderr.strip()}",
                hint="check the address and the network",
            ) from error
        return commit

    def _address(self) -> str:
        local = Path(self.repository).expanduser()
        return str(local.resolve()) if local.exists() else self.repository

    def _commit(self) -> str:
        if re.fullmatch(r"[0-9a-f]{40}", self.reference):
            return self.reference
        local = Path(self.repository).expanduser()
        if local.exists():
            return self._local_commit(local)
        try:
            peeled = f"{self.reference}^{{}}"
            listed = run_git("ls-remote", self.repository, self.reference, peeled)
        except GitError as error:
            raise UserError(
                f"base git:{self.repository}@{self.reference}: {error.stderr.strip()}",
                hint="give a path or an address of a git repository that can be reached",
            ) from error
        commit = choose_reference(listed, self.reference)
        if not commit:
            raise self._no_reference()
        return commit

    def _local_commit(self, local: Path) -> str:
        try:
            wanted = f"{self.reference}^{{commit}}"
            argv = ("-C", str(local), "rev-parse", "--verify", "--quiet", wanted)
            return run_git(*argv).strip()
        except GitError as error:
            if error.stderr.strip():
                raise UserError(
                    f"base git:{self.repository}: {error.stderr.strip()}",
                    hint="give the path of a git repository",
                ) from error
            raise self._no_reference() from error

    def _no_reference(self) -> UserError:
        return UserError(
            f"base git:{self.repository}@{self.reference}: there is no {self.reference!r}",
            hint=f"git ls-remote {self.repository} lists what there is",
        )


@dataclass(frozen=True)
class TarballSource(Source):
    """A tarball of a kernel's source; `sha256` is checked where it is given."""

    file: Path
    sha256: str = ""

    def identity(self) -> str:
        if not self.file.is_file():
            raise UserError(
                f"base tarball:{self.file}: there is no such file", hint="check the path"
            )
        found = digest_file(self.file)
        if self.sha256 and found != self.sha256:
            raise UserError(
                f"base tarball:{self.file}: its SHA-256 is {found}, not {self.sha256}",
                hint="get the file again, or correct the hash after #sha256=",
            )
        return f"tarball:{found}"

    def bring(self, store: Git, ref: str) -> str:
        return import_tarball(self.file, store, ref, self.identity())


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
    if colon and scheme == "tarball":
        file, _, digest = rest.partition("#sha256=")
        return TarballSource(Path(file).expanduser().resolve(), digest.lower())
    if colon and scheme == "image":
        raise UserError(
            f"base {base!r} is built already: it has no source",
            hint="use a source: debian-6.1, git:REPO@REF, tree:PATH or tarball:FILE",
        )
    names = ", ".join(["debian-6.1", "debian-6.12", *(aliases or {})])
    raise UserError(
        f"no base is called {base!r}",
        hint=f"use one of {names}, git:REPO@REF or tarball:FILE[#sha256=HASH]",
    )


def choose_reference(listed: str, reference: str) -> str:
    """Return the id of the commit that git ls-remote's lines have for `reference`, or ""."""
    found = {name: commit for commit, name in (line.split() for line in listed.splitlines())}
    # A tag's own object is no commit; what it points to is listed with ^{}.
    forms = ("refs/tags/{}^{{}}", "{}^{{}}", "refs/tags/{}", "refs/heads/{}", "{}")
    return next(
        (found[form.format(reference)] for form in forms if form.format(reference) in found), ""
    )


def obtain_base(source: Source, cache: Cache, progress: Progress, waiting: Waiting) -> Base:
    """Return the base of `source`, brought into the cache's store if it is not there yet.

    Raises:
        UserError: the source is not there, or holds no kernel that we can build.
        InfrastructureError: the disk is full.
    """
    identity = source.identity()
    base = known_base(cache, identity)
    if base is not None:
        return base
    with cache.hold("sources", f"imports {identity}", waiting):
        base = known_base(cache, identity)
        if base is not None:
            return base
        progress("import source")
        with disk_full(cache.store):
            store = init_bare(cache.store)
            ref = f"refs/bases/{_digest(identity)}"
            commit = source.bring(store, ref)
            base = _describe(store, identity, commit)
            replace_text(_record(cache, identity), json.dumps({"format": _FORMAT, **asdict(base)}))
    return base


def known_base(cache: Cache, identity: str) -> Base | None:
    """Return what the store holds of `identity`, or None; reads one file."""
    try:
        record = json.loads(_record(cache, identity).read_text(encoding="utf-8"))
        return Base(**record) if record.pop("format") == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(cache: Cache, identity: str) -> Path:
    # Inside the repository: who removes the store removes what we know about it.
    return cache.store / "bases" / f"{_digest(identity)}.json"


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _describe(store: Git, identity: str, commit: str) -> Base:
    try:
        makefile = store.run("cat-file", "blob", f"{commit}:Makefile")
    except GitError:
        makefile = ""
    version = parse_makefile_version(makefile)
    if version is None or not store.find(f"{commit}:arch/x86/Kconfig"):
        raise UserError(
            f"{identity} holds no kernel source: it has no Makefile with a VERSION and a"
            " PATCHLEVEL, or no arch/x86/Kconfig",
            hint="give the top of a kernel's source tree",
        )
    major, minor, sublevel = version
    tree = store.run("rev-parse", f"{commit}^{{tree}}").strip()
    return Base(identity, commit, tree, f"{major}.{minor}", f"{major}.{minor}.{sublevel}")


def parse_makefile_version(makefile: str) -> tuple[int, int, int] | None:
    """Return VERSION, PATCHLEVEL and SUBLEVEL of a kernel's top Makefile, or None."""
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL)\s*=\s*(\d+)\s*$", makefile, re.M))
    if "VERSION" not in found or "PATCHLEVEL" not in found:
        return None
    return int(found["VERSION"]), int(found["PATCHLEVEL"]), int(found.get("SUBLEVEL", "0"))
