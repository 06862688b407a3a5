# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that is pulled out of a guest before and after a testcase, in one command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from harness.errors import ParseError

# By the name of the raw file that each becomes. Those that a kernel lacks are left out.
FILES: Mapping[str, str] = {
    "vmstat": "/proc/vmstat",
    "meminfo": "/proc/meminfo",
    "buddyinfo": "/proc/buddyinfo",
    "pagetypeinfo": "/proc/pagetypeinfo",
    "interrupts": "/proc/interrupts",
    "page_tables": "/sys/kernel/debug/page_tables/kernel",
    "unmapped_alloc": "/sys/kernel/debug/unmapped_alloc",
    "cpa_stats": "/sys/kernel/debug/x86/cpa_stats",
}
_WHAT = "what the guest pulled"
_HEADER = re.compile(rb"@@ ([a-z_]+) ([0-9]+)\n")
_END = b"@@ end\n"


def pull_command(files: Mapping[str, str] = FILES) -> str:
    """Return one shell command that prints `files` (guest paths by name), each with its length.

    A file of /proc says its length only once it is read, so each goes through a variable; the
    "." keeps the newlines at its end. All are read first, and printed then: printing moves
    counters.
    """
    reads = [
        f'{name}= {name}_=; [ -r {path} ] && {name}_=1 {name}="$(cat {path} 2>/dev/null; echo .)";'
        for name, path in files.items()
    ]
    prints = [
        f'[ "${name}_" ] && {{ {name}="${{{name}%.}}"; '
        f'printf "@@ {name} %d\\n" "${{#{name}}}"; printf %s "${name}"; }};'
        for name in files
    ]
    return " ".join(["LC_ALL=C;", *reads, *prints, "echo '@@ end'"])


PULL_COMMAND = pull_command()


def split_pull(stdout: bytes) -> dict[str, bytes]:
    """Return the files that `PULL_COMMAND` printed, by name.

    Raises:
        ParseError: the frames don't fit: the output was cut, or something else spoke in between.
    """
    parts: dict[str, bytes] = {}
    rest = 0
    while not stdout.startswith(_END, rest):
        header = _HEADER.match(stdout, rest)
        if header is None:
            raise ParseError(_WHAT, 0, f"no frame at byte {rest}: {stdout[rest : rest + 40]!r}")
        size = int(header[2]) if len(header[2]) < 12 else len(stdout) + 1
        rest = header.end() + size
        if rest > len(stdout):
            raise ParseError(_WHAT, 0, f"{header[1].decode()} is cut: {size} bytes promised")
        parts[header[1].decode()] = stdout[header.end() : rest]
    if len(stdout) != rest + len(_END):
        raise ParseError(_WHAT, 0, f"something after the end: {stdout[rest : rest + 40]!r}")
    return parts


def write_pull(parts: Mapping[str, bytes], folder: Path) -> None:
    """Write each of `parts` to a file of its name in `folder`, which is made where needed.

    Raises:
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in parts.items():
        aside = folder / f".{name}.part"
        aside.write_bytes(content)
        aside.replace(folder / name)
