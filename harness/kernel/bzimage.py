# SPDX-License-Identifier: GPL-2.0-or-later
"""The format of a bzImage: the kernel's release, and the vmlinux that is packed in it.

The header is described in the kernel's Documentation/x86/boot.rst.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import struct
import subprocess
import zlib

_SETUP_SECTORS = 0x1F1
_MAGIC = 0x202
_PROTOCOL = 0x206
_VERSION = 0x20E
_PAYLOAD = 0x248
_SECTOR = 512
_ELF = b"\x7fELF"
_XZ, _GZIP, _ZSTD = b"\xfd7zXZ\x00", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_LIMIT = 1 << 30
_IKCONFIG = re.compile(rb"IKCFG_ST(\x1f\x8b\x08.*?)IKCFG_ED", re.DOTALL)
_BANNER = re.compile(rb"Linux version (\S+) \(")


def is_bzimage(data: bytes) -> bool:
    """Whether `data` begins as a bzImage with a payload (boot protocol 2.08 or later) does."""
    return (
        len(data) > _PAYLOAD + 8
        and data[_MAGIC : _MAGIC + 4] == b"HdrS"
        and int.from_bytes(data[_PROTOCOL : _PROTOCOL + 2], "little") >= 0x208
    )


def kernel_release(data: bytes) -> str:
    """Return `uname -r`'s words for a bzImage or a vmlinux; "" where it does not tell."""
    if data.startswith(_ELF):
        banner = _BANNER.search(data)
        return banner.group(1).decode(errors="replace") if banner else ""
    if not is_bzimage(data):
        return ""
    start = int.from_bytes(data[_VERSION : _VERSION + 2], "little") + _SECTOR
    words = data[start : start + 128].partition(b"\0")[0].decode(errors="replace").split()
    return words[0] if words else ""


def extract_vmlinux(data: bytes) -> bytes | None:
    """Return the vmlinux in a bzImage, without the symbols that it never had; None if it can't be.

    Packed with gzip, xz, zstd (where the program is there), or not at all.
    """
    if not is_bzimage(data):
        return None
    offset, length = struct.unpack_from("<II", data, _PAYLOAD)
    start = ((data[_SETUP_SECTORS] or 4) + 1) * _SECTOR + offset
    try:
        found = _unpack(data[start : start + length])
    except (lzma.LZMAError, zlib.error, OSError, EOFError):
        return None
    return found if found.startswith(_ELF) else None


def _unpack(payload: bytes) -> bytes:
    if payload.startswith(_XZ):
        return lzma.LZMADecompressor().decompress(payload, _LIMIT)
    if payload.startswith(_GZIP):
        return zlib.decompressobj(wbits=31).decompress(payload, _LIMIT)
    if payload.startswith(_ZSTD) and shutil.which("zstd"):
        # The size that the kernel's build appends is no zstd frame, which zstd complains about.
        argv = ["zstd", "-dcq"]
        return subprocess.run(argv, input=payload, capture_output=True, check=False).stdout
    return payload


def embedded_config(vmlinux: bytes) -> str:
    """Return the configuration that CONFIG_IKCONFIG put into a vmlinux, or ""."""
    found = _IKCONFIG.search(vmlinux)
    if found is None:
        return ""
    try:
        return gzip.decompress(found.group(1)).decode("utf-8", errors="replace")
    except (OSError, EOFError, zlib.error):
        return ""
