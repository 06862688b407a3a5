# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's packages on this host: what is installed, what apt offers, and getting their files."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness import paths
from harness.errors import InfrastructureError, UserError
from harness.files import replace_text
from harness.outcomes import Outcome

FLAVOURS = ("amd64", "cloud", "rt")
# Seconds without an answer after which apt gives a server up.
_PATIENCE = 30
_LEFT_OUT = ("/usr/share/", "/etc/")
_OFFERED = re.compile(r"linux-image-(\d+\.\d+)\..*amd64(?:-unsigned)?")
_RELEASE = r"linux-image-({version}\.[^-]+(?:-\d+)?-{flavour})(-unsigned)?"
_WATCHED = tuple(
    Path(path)
    for path in (
        "/var/lib/dpkg/status",
        "/var/lib/apt/lists",
        "/etc/apt",
        "/etc/apt/sources.list.d",
        "/etc/apt/preferences.d",
    )
)
_ELSE = "use image:DIR, git:REPO@REF or tarball:FILE"


@dataclass(frozen=True)
class Package:
    """A package at a version; `depends` are the names of those it depends on."""

    name: str
    version: str
    depends: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}={self.version}"


@dataclass(frozen=True)
class KernelPackages:
    """A kernel's packages: the kernel with its modules, then what modules are built against."""

    release: str
    packages: tuple[Package, ...]

    @property
    def identity(self) -> str:
        return " ".join(str(package) for package in self.packages)


def installed_version(package: str) -> str:
    """Return the version of an installed package, "" where it is not (or there is no dpkg)."""
    found = installed(package)
    return found[0].version if found else ""


def installed(*patterns: str) -> list[Package]:
    """Return the installed packages whose names match `patterns` (dpkg's: * is any text)."""
    form = "${db:Status-Status}\t${Package}\t${Version}\t${Depends}\n"
    rows = (line.split("\t") for line in _ask("dpkg-query", "-W", f"-f={form}", *patterns))
    return [
        Package(row[1], row[2], _names(row[3]))
        for row in rows
        if len(row) == 4 and row[0] == "installed"
    ]


def offered(names: Sequence[str]) -> list[Package]:
    """Return what apt offers of the packages called `names`: the version it would install."""
    if not names:
        return []
    return parse_records(_ask("apt-cache", "--no-all-versions", "show", *names))


def parse_records(lines: Iterable[str]) -> list[Package]:
    """Return the packages that the lines of `apt-cache show` describe."""
    found: list[Package] = []
    fields: dict[str, str] = {}
    for line in (*lines, ""):
        if not line:
            if {"Package", "Version"} <= fields.keys():
                depends = _names(fields.get("Depends", ""))
                found.append(Package(fields["Package"], fields["Version"], depends))
            fields = {}
        elif not line[0].isspace():
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    return found


def find_kernel(version: str, flavour: str = "amd64") -> KernelPackages:
    """Return the newest kernel of `version` (major.minor) that is installed, or else offered.

    An installed one counts where its headers are there too. Asks dpkg and apt's lists, no network,
    and remembers the answer for as long as neither changes: apt takes seconds.

    Raises:
        UserError: there is none; the message tells what there is.
    """
    name, state = f"{version} {flavour}", _state()
    memory = paths.cache() / "sources" / "debian.json"
    known = _remembered(memory, state)
    if name not in known:
        known[name] = _look_for_kernel(version, flavour)
        kernels = {key: asdict(kernel) for key, kernel in known.items()}
        replace_text(memory, json.dumps({"state": state, "kernels": kernels}))
    return known[name]


def _state() -> list[str]:
    """Return what changes whenever dpkg or apt may answer differently."""
    times = [path.stat().st_mtime_ns if path.exists() else 0 for path in _WATCHED]
    return [os.environ.get("PATH", ""), *map(str, times)]


def _remembered(memory: Path, state: Sequence[str]) -> dict[str, KernelPackages]:
    try:
        facts = json.loads(memory.read_text(encoding="utf-8"))
        kernels = facts["kernels"] if facts["state"] == state else {}
        return {
            name: KernelPackages(
                kernel["release"],
                tuple(
                    Package(package["name"], package["version"], tuple(package["depends"]))
                    for package in kernel["packages"]
                ),
            )
            for name, kernel in kernels.items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _look_for_kernel(version: str, flavour: str) -> KernelPackages:
    wanted = "amd64" if flavour == "amd64" else f"{flavour}-amd64"
    pattern = re.compile(_RELEASE.format(version=re.escape(version), flavour=wanted))
    here = installed("linux-*")
    kernel = _newest_kernel(here, pattern)
    if kernel is not None:
        return kernel
    names = _ask("apt-cache", "pkgnames", f"linux-image-{version}.")
    images = offered([name for name in names if pattern.fullmatch(name)])
    headers = offered([f"linux-headers-{_release(image, pattern)}" for image in images])
    needed = {name for package in (*images, *headers) for name in package.depends}
    others = offered(sorted(name for name in needed if _belongs(name)))
    kernel = _newest_kernel([*images, *headers, *others], pattern)
    if kernel is None:
        raise _no_kernel(version, wanted)
    return kernel


def _newest_kernel(packages: Sequence[Package], pattern: re.Pattern[str]) -> KernelPackages | None:
    """Return the newest of the kernels in `packages` whose headers are whole among them."""
    known = {package.name: package for package in packages}
    # Signed and unsigned are the same kernel; the signed one comes last, and is taken.
    images = [package for package in packages if pattern.fullmatch(package.name)]
    images.sort(key=lambda package: package.name, reverse=True)
    images.sort(key=functools.cmp_to_key(lambda a, b: _compare(a.version, b.version)))
    for image in reversed(images):
        release = _release(image, pattern)
        headers = known.get(f"linux-headers-{release}")
        # Where a kernel's modules are a package of their own, it depends on that.
        needed = [name for name in image.depends if _belongs(name) and release in name]
        needed += [name for name in headers.depends if _builds(name)] if headers else []
        if headers and needed and all(name in known for name in needed):
            return KernelPackages(release, (image, headers, *(known[name] for name in needed)))
    return None


def _belongs(name: str) -> bool:
    return name.startswith("linux-")


def _builds(name: str) -> bool:
    return name.startswith("linux-kbuild-") or (
        name.startswith("linux-headers-") and "-common" in name
    )


def _release(image: Package, pattern: re.Pattern[str]) -> str:
    match = pattern.fullmatch(image.name)
    return match.group(1) if match else ""


def _names(depends: str) -> tuple[str, ...]:
    """Return the first alternative of each part of a Depends field, without its version."""
    return tuple(part.split("|")[0].split()[0] for part in depends.split(",") if part.strip())


def _compare(left: str, right: str) -> int:
    if left == right:
        return 0
    return -1 if _run("dpkg", "--compare-versions", left, "lt", right).returncode == 0 else 1


def _no_kernel(version: str, flavour: str) -> UserError:
    base = f"base image:debian-{version}"
    if shutil.which("apt-cache") is None:
        return UserError(f"{base}: this host has no apt to get Debian's kernels by", hint=_ELSE)
    matches = (_OFFERED.fullmatch(name) for name in _ask("apt-cache", "pkgnames", "linux-image-"))
    versions = sorted({match.group(1) for match in matches if match}, key=_numbers)
    there = ", ".join(f"image:debian-{known}" for known in versions) or "none"
    return UserError(
        f"{base}: apt has no linux-image-{version}.*-{flavour} with its headers"
        f" (kernels it has: {there})",
        hint=f"apt-get update if its lists are old; else {_ELSE}",
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def fetch(packages: Sequence[Package], scratch: Path, root: Path) -> None:
    """Put the files of `packages` below `root`, as they would be below /; installs nothing.

    What is installed at that version is copied, the rest is downloaded into `scratch`.

    Raises:
        InfrastructureError: infra.worker: apt can't get a package.
        OSError: the disk is full.
    """
    scratch.mkdir(parents=True)
    root.mkdir(parents=True)
    for package in packages:
        if installed_version(package.name) == package.version:
            _copy_installed(package, root)
    here = {package for package in packages if installed_version(package.name) == package.version}
    missing = [package for package in packages if package not in here]
    if missing:
        _download(missing, scratch)
    for archive in sorted(scratch.glob("*.deb")):
        done = _run("dpkg-deb", "-x", str(archive), str(root))
        if done.returncode != 0:
            raise _failed(f"{archive.name} can't be unpacked", done.stderr)
        archive.unlink()


def _copy_installed(package: Package, root: Path) -> None:
    for line in _ask("dpkg-query", "-L", package.name):
        path = Path(line)
        target = root / line.lstrip("/")
        if line.startswith(_LEFT_OUT) or not line.startswith("/"):
            continue
        if path.is_dir() and not path.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
        elif path.is_symlink() or path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)


def _download(packages: Sequence[Package], scratch: Path) -> None:
    options = [
        "-q",
        # Otherwise root's apt complains that its own user can't write to our folder.
        *(("-o", "APT::Sandbox::User=root") if os.getuid() == 0 else ()),
        *("-o", "Acquire::Retries=2"),
        *("-o", f"Acquire::http::Timeout={_PATIENCE}"),
    ]
    wanted = [str(package) for package in packages]
    done = _run("apt-get", *options, "download", *wanted, folder=scratch)
    if done.returncode != 0:
        raise _failed(f"apt can't get {' '.join(wanted)}", done.stderr)


def _failed(what: str, words: str) -> InfrastructureError:
    errors = [line for line in words.splitlines() if line.startswith(("E:", "dpkg-deb:"))]
    why = (errors or words.strip().splitlines() or ["it said nothing"])[0]
    old = "404" in words or "was not found" in words
    return InfrastructureError(
        Outcome.INFRA_WORKER,
        f"{what}: {why.removeprefix('E: ')}",
        hint="apt-get update: apt's lists are older than the archive"
        if old
        else "check the network and apt's sources, or use image:DIR with a kernel that you have",
    )


def _ask(*argv: str) -> list[str]:
    """Return the lines that a query prints; none where it fails or there is no such program."""
    try:
        return _run(*argv).stdout.splitlines()
    except FileNotFoundError:
        return []


def _run(*argv: str, folder: Path = Path("/")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
