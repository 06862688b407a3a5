# SPDX-License-Identifier: GPL-2.0-or-later
"""What a variant costs those who do not use its series: size, and lines changed in other files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from harness.kernel.artifact import Kernel

_SYMBOL = re.compile(r"^([0-9a-f]+) \S (\S+)$", re.MULTILINE)
_FILE = re.compile(r"^--- (\S+)", re.MULTILINE)


def kernel_sizes(kernel: Kernel) -> dict[str, int]:
    """Return the bytes of the kernel's text and of its bzImage; empty where it is not known."""
    sizes: dict[str, int] = {}
    try:
        text = kernel.system_map.read_text(encoding="utf-8")
        symbols = {name: int(value, 16) for value, name in _SYMBOL.findall(text)}
        sizes["text_bytes"] = symbols["_etext"] - symbols["_text"]
        sizes["bzImage_bytes"] = kernel.bzimage.stat().st_size
    except (OSError, KeyError):
        return sizes
    return sizes


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
