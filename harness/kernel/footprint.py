# SPDX-License-Identifier: GPL-2.0-or-later
"""What a variant costs those who do not use its series: size, and lines changed in other files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from harness.kernel.artifact import Kernel

_FILE = re.compile(r"^--- (\S+)", re.MULTILINE)


def kernel_sizes(kernel: Kernel) -> dict[str, int]:
    """Return the bytes of the kernel's text (with read-only data), data and bss, by vmlinux.

    What it is aligned to hides small differences in the image's own size. Empty where `size`, of
    the binutils, does not tell.
    """
    try:
        argv = ["size", "--format=berkeley", str(kernel.vmlinux)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return {}
    return parse_size(done.stdout)


def parse_size(output: str) -> dict[str, int]:
    """Return the columns text, data and bss that `size` printed; empty where it did not."""
    lines = [line.split() for line in output.splitlines()]
    if len(lines) != 2 or lines[0][:3] != ["text", "data", "bss"]:
        return {}
    return {f"{name}_bytes": int(lines[1][place]) for place, name in enumerate(lines[0][:3])}


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
