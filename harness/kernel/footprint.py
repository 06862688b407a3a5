# SPDX-License-Identifier: GPL-2.0-or-later
"""What a variant costs those who do not use its series: size, flags, lines changed elsewhere."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from harness.kernel.artifact import Kernel

# LINUXINCLUDE of a kernel's Makefile.
_FOLDERS = (
    "arch/x86/include",
    "arch/x86/include/generated",
    "include",
    "arch/x86/include/uapi",
    "arch/x86/include/generated/uapi",
    "include/uapi",
    "include/generated/uapi",
)
_INCLUDED = ("-include", "linux/kconfig.h", "-include", "linux/gfp.h")
_GFP = re.compile(r"^#define (___GFP_\w+) (.+)$", re.MULTILINE)
_WORD = re.compile(r"\w+")
_ZERO = re.compile(r"0(?:x0+)?[uUlL]*")
_PAGE_FLAGS = re.compile(r"^#define NR_PAGEFLAGS ([0-9]+)\b", re.MULTILINE)
_FILE = re.compile(r"^--- (\S+)", re.MULTILINE)


def kernel_sizes(kernel: Kernel) -> dict[str, int]:
    """Return what there is of a kernel by vmlinux, and the flags that it takes by its headers.

    The first are the bytes of its text (with read-only data), data and bss: what it is aligned to
    hides small differences in the image's own size. The flags are those of `parse_flags`. Left
    out is what `size`, of the binutils, or gcc does not tell.
    """
    argv = ["size", "--format=berkeley", str(kernel.vmlinux)]
    return parse_size(_printed(argv)) | parse_flags(_macros(kernel.headers))


def parse_size(output: str) -> dict[str, int]:
    """Return the columns text, data and bss that `size` printed; empty where it did not."""
    lines = [line.split() for line in output.splitlines()]
    if len(lines) != 2 or lines[0][:3] != ["text", "data", "bss"]:
        return {}
    return {f"{name}_bytes": int(lines[1][place]) for place, name in enumerate(lines[0][:3])}


def parse_flags(macros: str) -> dict[str, int]:
    """Return how many gfp bits and page flags a kernel takes, by what `gcc -dM` printed.

    They are few: the former are of the 32 of gfp_t, the latter of what zone, node and others
    leave of an unsigned long. A gfp flag that the configuration leaves out is defined as 0
    (include/linux/gfp_types.h); __GFP_BITS_SHIFT is no measure, as it covers places that are kept
    for such flags. NR_PAGEFLAGS is of include/generated/bounds.h. Empty where they are not there.
    """
    gfp = dict(_GFP.findall(macros))
    # One that is made of others takes no bit of its own.
    bits = [
        value
        for value in gfp.values()
        if not _ZERO.fullmatch(value) and gfp.keys().isdisjoint(_WORD.findall(value))
    ]
    page = _PAGE_FLAGS.search(macros)
    return ({"gfp_bits": len(set(bits))} if bits else {}) | (
        {"page_flags": int(page[1])} if page else {}
    )


def _macros(headers: Path) -> str:
    """Return all macros that a kernel has where pages are allocated; "" where it does not tell.

    `headers` is what modules are built against: all that the configuration decides is decided.
    """
    # Debian's are in two packages, of which the one has what is common to its flavours.
    roots = [headers, *headers.resolve().parent.glob("linux-headers-*-common")]
    folders = [f"-I{root / folder}" for root in roots for folder in _FOLDERS]
    argv = ["gcc", "-E", "-dM", "-nostdinc", "-D__KERNEL__", *folders, *_INCLUDED, "-xc", "-"]
    return _printed(argv)


def _printed(argv: list[str]) -> str:
    """Return what a command that came through printed, "" for one that did not."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def patch_sizes(patches: Iterable[Path]) -> dict[str, int]:
    """Return how many lines patches add to new files, and change in files that are there.

    A line that is replaced counts once as added and once as taken away.
    """
    new, changed, files = 0, 0, set()
    for patch in patches:
        text = patch.read_text(encoding="utf-8", errors="replace")
        for part in re.split(r"^diff --git ", text, flags=re.MULTILINE)[1:]:
            body = part.partition("\n@@")[2]
            lines = sum(
                line.startswith(("+", "-")) and not line.startswith("-- ")
                for line in body.split("\n")
            )
            found = _FILE.search(part)
            if found is not None and found[1] == "/dev/null":
                new += lines
            else:
                changed += lines
                files.add(part.split(" ", 1)[0])
    return {"new_lines": new, "changed_lines": changed, "changed_files": len(files)}
