# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels that are built already: Debian's packages, folders, and what is wrong with them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import InfrastructureError, UserError
from harness.events import Event, Message
from harness.kernel.artifact import Kernel
from harness.kernel.builder import obtain
from harness.kernel.cache import Cache
from harness.kernel.debian import find_kernel, parse_records
from harness.kernel.variant import parse
from tests.unit.kernel.prebuilt import (
    CONFIG,
    RELEASE,
    VMLINUX,
    bzimage,
    packed,
    write_files,
    write_image,
    write_package,
)

VERSION = "6.1.99-2"
IMAGE, HEADERS = f"linux-image-{RELEASE}", f"linux-headers-{RELEASE}"
COMMON, KBUILD = "linux-headers-6.1.0-9-common", "linux-kbuild-6.1"
# What the stand-ins for Debian's tools look up: apt's records, dpkg's rows, apt's refusal.
APT_CACHE = """#!/bin/sh
cd {folder}
case "$*" in
*pkgnames*) sed -n 's/^Package: //p' records | grep "^$2" ;;
*) shift 2
   for name; do awk -v RS= -v name="$name" '$2 == name {{ print $0 "\\n" }}' records; done ;;
esac
"""
DPKG_QUERY = """#!/bin/sh
cd {folder}
[ "$1" = -L ] && exec cat "list-$2"
shift 2
for pattern; do
  while IFS= read -r row; do
    name=$(echo "$row" | cut -f2)
    case $name in $pattern) printf '%s\\n' "$row" ;; esac
  done < installed
done
"""
APT_GET = """#!/bin/sh
[ -e {folder}/refusal ] && {{ cat {folder}/refusal >&2; exit 100; }}
while [ "$1" != download ]; do shift; done
shift
for wanted; do cp {folder}/"${{wanted%%=*}}"_*.deb . ; done
echo "$*" >> {folder}/downloads
"""


class Debian:
    """Stand-ins for apt and dpkg, which can't offer what a test wants; dpkg-deb is the real one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.root = write_image(folder / "root")
        tools = folder / "tools"
        tools.mkdir()
        for name, text in (
            ("apt-cache", APT_CACHE),
            ("apt-get", APT_GET),
            ("dpkg-query", DPKG_QUERY),
        ):
            (tools / name).write_text(text.format(folder=folder))
            (tools / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        # What was remembered of the real ones must not count.
        (folder / "installed").touch()
        self._offer()

    def _offer(self) -> None:
        parts = {
            IMAGE: ["boot", "lib"],
            HEADERS: [f"usr/src/linux-headers-{RELEASE}"],
            COMMON: ["usr/src/linux-headers-9-common"],
            KBUILD: ["usr/lib"],
        }
        depends = {HEADERS: f"{COMMON} (= {VERSION}), {KBUILD} (>= 6.1), gcc-12 | gcc"}
        records = []
        for name, paths in parts.items():
            write_package(self.folder, name, VERSION, self.root, paths)
            records.append(f"Package: {name}\nVersion: {VERSION}\nDepends: {depends.get(name, '')}")
        older = IMAGE.replace("0-9", "0-8")
        records += [
            f"Package: {older}\nVersion: 6.1.90-1\nDepends:",
            f"Package: {older.replace('image', 'headers')}\nVersion: 6.1.90-1\nDepends: {COMMON}",
            f"Package: {IMAGE}-dbg\nVersion: {VERSION}\nDepends:",
            f"Package: {IMAGE.replace('amd64', 'cloud-amd64')}\nVersion: 6.1.199-9\nDepends:",
            "Package: linux-image-6.1-amd64\nVersion: 6.1.199-9\nDepends:",
        ]
        (self.folder / "records").write_text("\n\n".join(records) + "\n")

    def refuse(self, words: str) -> None:
        (self.folder / "refusal").write_text(words)

    def downloads(self) -> list[str]:
        file = self.folder / "downloads"
        return file.read_text().split() if file.is_file() else []

    def install(self) -> None:
        """Let everything be installed, below `root` instead of /."""
        rows = {IMAGE: "", HEADERS: f"{COMMON}, {KBUILD}", COMMON: "", KBUILD: ""}
        lines = [f"installed\t{name}\t{VERSION}\t{depends}" for name, depends in rows.items()]
        (self.folder / "installed").write_text("\n".join(lines) + "\n")


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Debian:
    return Debian(tmp_path, monkeypatch)


@pytest.fixture
def events() -> list[Event]:
    return []


Obtain = Callable[..., Kernel]


@pytest.fixture
def get(tmp_path: Path, events: list[Event]) -> Obtain:
    """Obtain an image."""

    def get(variant: str, profile: str = "fast", **options: object) -> Kernel:
        cache = Cache(tmp_path / "cache" / "patchbed")
        return obtain(parse(variant), profile, listen=events.append, cache=cache, **options)  # type: ignore[arg-type]

    return get


def test_debians_kernel_is_fetched_once(debian: Debian, get: Obtain) -> None:
    kernel = get("image:debian-6.1")
    assert not kernel.cached
    assert kernel.release == RELEASE
    assert kernel.compiler == "gcc-12 12.2.0"
    assert kernel.vmlinux.read_bytes() == VMLINUX
    assert kernel.bzimage.read_bytes() == bzimage(packed("xz"))
    assert kernel.config()["VIRTIO_NET"] == "m"
    assert [path.name for path in kernel.boot_modules()][-1] == "04-virtio_net.ko"
    assert (kernel.modules / "lib/modules" / RELEASE / "kernel/drivers/other.ko").is_file()
    assert debian.downloads() == [f"{name}={VERSION}" for name in (IMAGE, HEADERS, COMMON, KBUILD)]
    assert get("image:debian-6.1") == kernel
    assert get("image:debian-6.1").cached
    assert len(debian.downloads()) == 4
    cache = debian.folder / "cache" / "patchbed"
    assert list((cache / "work").glob("[!.]*")) == []


@pytest.mark.parametrize("part", ["vmlinux", "boot/04-virtio_net.ko", "debian/usr/lib"])
def test_an_entry_that_is_damaged_is_made_again(debian: Debian, get: Obtain, part: str) -> None:
    kernel = get("image:debian-6.1")
    file = kernel.folder / part
    if file.is_dir():
        shutil.rmtree(file)
    else:
        file.write_bytes(b"damaged")
    again = get("image:debian-6.1")
    assert not again.cached
    assert again.vmlinux.read_bytes() == VMLINUX
    assert (again.headers / "scripts/tool").is_file()


def test_its_headers_work_where_they_are(debian: Debian, get: Obtain) -> None:
    kernel = get("image:debian-6.1")
    shutil.rmtree(debian.root)
    made = subprocess.run(
        ["make", "-s", "-C", str(kernel.headers)], capture_output=True, text=True, check=False
    )
    assert made.stdout.startswith("common "), made.stderr
    assert (kernel.headers / "scripts/tool").read_text() == "a tool\n"
    assert kernel.headers.resolve().is_relative_to(kernel.folder)
    # With the kernel's types there, kbuild would want pahole for every module.
    assert not (kernel.headers / "vmlinux").exists()


def test_what_is_installed_is_not_downloaded(debian: Debian, get: Obtain) -> None:
    debian.install()
    debian.refuse("E: no network here")
    for name in (IMAGE, HEADERS, COMMON, KBUILD):
        (debian.folder / f"list-{name}").write_text("/.\n")
    # The lists of what is installed name files of this host; the kernel's are not there.
    with pytest.raises(UserError, match="holds no kernel"):
        get("image:debian-6.1")
    assert debian.downloads() == []


def test_the_version_is_the_identity(debian: Debian, get: Obtain) -> None:
    first = get("image:debian-6.1")
    records = debian.folder / "records"
    records.write_text(records.read_text().replace(VERSION, "6.1.99-3"))
    (debian.folder / "cache/patchbed/sources/debian.json").unlink()
    second = get("image:debian-6.1")
    assert not second.cached
    assert second.key != first.key


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("E: Failed to fetch http://x/y.deb  404  Not Found", "apt-get update"),
        ("E: Version '6.1.99-2' for 'x' was not found", "apt-get update"),
        ("E: Failed to fetch http://x/y.deb  Temporary failure resolving 'x'", "check the network"),
    ],
)
def test_packages_that_can_not_be_had(debian: Debian, get: Obtain, words: str, hint: str) -> None:
    debian.refuse(words)
    with pytest.raises(InfrastructureError) as caught:
        get("image:debian-6.1")
    assert words.removeprefix("E: ") in caught.value.message
    assert hint in caught.value.hint
    assert list((debian.folder / "cache/patchbed").glob("kernels/*")) == []


def test_kernels_that_apt_has_not(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError) as caught:
        find_kernel("6.12")
    assert "apt has no linux-image-6.12.*-amd64 with its headers" in caught.value.message
    assert "(kernels it has: image:debian-6.1)" in caught.value.message
    with pytest.raises(UserError, match=r"linux-image-6\.1\.\*-cloud-amd64 with its headers"):
        find_kernel("6.1", "cloud")
    monkeypatch.setenv("PATH", str(debian.folder))
    with pytest.raises(UserError, match="this host has no apt"):
        find_kernel("6.1")


def test_modules_in_a_package_of_their_own(debian: Debian) -> None:
    records = debian.folder / "records"
    modules = IMAGE.replace("image", "modules")
    text = records.read_text().replace(
        f"Package: {IMAGE}\nVersion: {VERSION}\nDepends: ",
        f"Package: {IMAGE}\nVersion: {VERSION}\nDepends: {modules}, linux-base, kmod",
    )
    records.write_text(f"{text}\nPackage: {modules}\nVersion: {VERSION}\nDepends:\n")
    names = [package.name for package in find_kernel("6.1").packages]
    assert names == [IMAGE, HEADERS, modules, COMMON, KBUILD]


def test_records_of_apt() -> None:
    text = """\
Package: linux-headers-6.1.0-56-amd64
Source: linux (6.1.192-2)
Version: 6.1.192-2
Depends: linux-headers-6.1.0-56-common (= 6.1.192-2), linux-kbuild-6.1 (>= 6.1.192-2), a | b
Description: Header files
 Depends: not this

Package: no-version
"""
    (package,) = parse_records(text.splitlines())
    assert str(package) == "linux-headers-6.1.0-56-amd64=6.1.192-2"
    assert package.depends == ("linux-headers-6.1.0-56-common", "linux-kbuild-6.1", "a")


def test_no_series_and_no_profile_apply(
    debian: Debian, get: Obtain, events: list[Event], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="built already: no series can be applied"):
        get("image:debian-6.1+fix@v1")
    with pytest.raises(UserError, match=r"image:debian-6\.1 is built already: no series"):
        get("mine+fix@v1", aliases={"mine": "image:debian-6.1"})
    get("mine", "debug", aliases={"mine": "image:debian-6.1"})
    words = [event.text for event in events if isinstance(event, Message)]
    assert words == ["mine has its own configuration: profile 'debug' does not apply to it"]


def test_a_folder_as_debians_packages_have_it(tmp_path: Path, get: Obtain) -> None:
    root = write_image(tmp_path / "root")
    kernel = get(f"image:{root}")
    assert kernel.release == RELEASE
    assert kernel.lacks == ()
    assert not kernel.system_map.exists()
    assert (kernel.headers / "scripts/tool").is_file()
    assert (root / f"lib/modules/{RELEASE}/modules.dep").is_file()
    assert get(f"image:{root}").cached
    (root / f"boot/config-{RELEASE}").write_text(CONFIG + "CONFIG_MORE=y\n")
    assert not get(f"image:{root}").cached


def test_a_folder_as_the_cache_has_it(tmp_path: Path, get: Obtain, debian: Debian) -> None:
    kernel = get("image:debian-6.1")
    copy = tmp_path / "copy"
    shutil.copytree(kernel.folder, copy, symlinks=True)
    again = get(f"image:{copy}")
    assert again.lacks == ()
    assert again.vmlinux.read_bytes() == VMLINUX
    assert len(again.boot_modules()) == len(kernel.boot_modules())


def test_what_a_folder_lacks_is_named(tmp_path: Path, get: Obtain) -> None:
    root = tmp_path / "root"
    builtin = CONFIG.replace("=m", "=y")
    write_files(root, {"bzImage": bzimage(packed("gzip")), "config": builtin})
    kernel = get(f"image:{root}")
    assert kernel.lacks == ("modules", "headers")
    assert kernel.boot_modules() == []
    (root / "config").write_text(CONFIG)
    with pytest.raises(UserError) as caught:
        get(f"image:{root}")
    for symbol in ("CONFIG_FW_CFG_SYSFS", "CONFIG_VIRTIO_PCI", "CONFIG_VIRTIO_NET"):
        assert symbol in caught.value.message
    assert "has no modules" in caught.value.message
    (root / "config").write_text(builtin.replace("CONFIG_DEVTMPFS=y\n", ""))
    with pytest.raises(UserError, match="it has not set CONFIG_DEVTMPFS"):
        get(f"image:{root}")


def test_folders_that_are_no_image(tmp_path: Path, get: Obtain) -> None:
    with pytest.raises(UserError, match="is no folder"):
        get(f"image:{tmp_path}/nosuch")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no kernel"):
        get(f"image:{tmp_path}/empty")
    write_files(tmp_path / "text", {"bzImage": "no kernel"})
    with pytest.raises(UserError, match="holds no kernel"):
        get(f"image:{tmp_path}/text")
    two = write_image(tmp_path / "two")
    write_files(two, {"boot/vmlinuz-6.1.0-10-amd64": bzimage(packed("xz"), "6.1.0-10-amd64")})
    with pytest.raises(UserError, match=r"holds several kernels: boot/vmlinuz-6\.1\.0-10-amd64, "):
        get(f"image:{two}")
    write_files(tmp_path / "bare", {"bzImage": bzimage(packed("gzip"))})
    with pytest.raises(UserError, match="has no configuration"):
        get(f"image:{tmp_path}/bare")


def test_a_folder_for_another_architecture(tmp_path: Path, get: Obtain) -> None:
    write_files(
        tmp_path / "arm", {"bzImage": bzimage(packed("gzip")), "config": "CONFIG_ARM64=y\n"}
    )
    with pytest.raises(UserError, match="for another architecture: CONFIG_ARM64=y"):
        get(f"image:{tmp_path}/arm")


def test_headers_that_are_not_whole(tmp_path: Path, get: Obtain) -> None:
    root = write_image(tmp_path / "root")
    shutil.rmtree(root / "usr/src/linux-headers-9-common")
    with pytest.raises(UserError, match="needs /usr/src/linux-headers-9-common") as caught:
        get(f"image:{root}")
    assert "-common" in caught.value.hint
    assert list((tmp_path / "cache/patchbed").glob("kernels/*")) == []
