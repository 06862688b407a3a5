# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels in small that are built already: a bzImage's header, a few files, Debian's packages."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.kernel.boot_modules import NEEDED

RELEASE = "6.1.0-9-amd64"
VMLINUX = b"\x7fELF" + b"a kernel, not packed " * 100
CONFIG = "".join(f"CONFIG_{name}=y\n" for name in NEEDED if not NEEDED[name])
CONFIG += "".join(f"CONFIG_{name}=m\n" for name in NEEDED if NEEDED[name])
CONFIG += 'CONFIG_CC_VERSION_TEXT="gcc-12 12.2.0"\n'
DEPENDENCIES = """\
kernel/net/core/failover.ko:
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko
kernel/drivers/virtio/virtio_pci.ko:
kernel/drivers/firmware/qemu_fw_cfg.ko.xz:
kernel/drivers/other.ko:
"""


def bzimage(payload: bytes, release: str = RELEASE) -> bytes:
    """Return a bzImage that holds `payload`, as packed by the kernel's build."""
    head = bytearray(2 * 512)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<H", head, 0x20E, 0x300 - 0x200)
    text = f"{release} (a tester) #1 SMP\0".encode()
    head[0x300 : 0x300 + len(text)] = text
    struct.pack_into("<II", head, 0x248, 16, len(payload))
    return bytes(head) + bytes(16) + payload


def packed(how: str, data: bytes = VMLINUX) -> bytes:
    """Return `data` packed, with its size behind it as the kernel's build appends it."""
    ways = {"gzip": gzip.compress, "xz": lzma.compress, "plain": bytes}
    size = b"" if how == "plain" else struct.pack("<I", len(data))
    return ways[how](data) + size


def write_image(root: Path, *, config: str = CONFIG, release: str = RELEASE) -> Path:
    """Write a kernel with modules and headers below `root`, laid out as Debian's packages are."""
    files: dict[str, bytes | str] = {
        f"boot/vmlinuz-{release}": bzimage(packed("xz"), release),
        f"boot/config-{release}": config,
        f"boot/System.map-{release}": "The real one is elsewhere\n",
        **write_modules(release),
        **headers(release),
    }
    write_files(root, files)
    for name in (f"{release}", "9-common"):
        (root / f"usr/src/linux-headers-{name}/scripts").symlink_to("../../lib/kbuild-6.1/scripts")
    return root


def write_modules(release: str) -> dict[str, bytes | str]:
    """Return modules as files: what they hold by path."""
    folder = f"lib/modules/{release}"
    paths = [line.partition(":")[0] for line in DEPENDENCIES.splitlines()]
    files: dict[str, bytes | str] = {f"{folder}/modules.dep": DEPENDENCIES}
    for path in paths:
        data = f"module {path}".encode()
        files[f"{folder}/{path}"] = lzma.compress(data) if path.endswith(".xz") else data
    return files


def headers(release: str) -> dict[str, bytes | str]:
    """Return Debian's headers as files: what they hold by path."""
    return {
        f"usr/src/linux-headers-{release}/Makefile": (
            "include /usr/src/linux-headers-9-common/Makefile\n"
        ),
        f"usr/src/linux-headers-{release}/Module.symvers": "",
        f"usr/src/linux-headers-{release}/vmlinux": "types\n",
        "usr/src/linux-headers-9-common/Makefile": "all:\n\t@echo common $(CURDIR)\n",
        "usr/lib/kbuild-6.1/scripts/tool": "a tool\n",
    }


def write_files(root: Path, files: Mapping[str, bytes | str]) -> None:
    """Write `files`: what they hold by path below `root`."""
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data.encode() if isinstance(data, str) else data)


def write_package(folder: Path, name: str, version: str, root: Path, paths: Sequence[str]) -> None:
    """Write Debian's package `name` to `folder`: with what is at `paths` below `root`."""
    tree = folder / f"tree-{name}"
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
    control += "Maintainer: A Tester <tester@example.org>\nDescription: for tests\n"
    write_files(tree, {"DEBIAN/control": control})
    for path in paths:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(root / path), str(tree / path)], check=True)
    archive = folder / f"{name}_{version}_amd64.deb"
    argv = ["dpkg-deb", "--build", "--root-owner-group", "-Znone", str(tree), str(archive)]
    subprocess.run(argv, check=True, capture_output=True)
