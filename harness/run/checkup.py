# SPDX-License-Identifier: GPL-2.0-or-later
"""What patchbed needs of its host, and whether it is there."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import paths
from harness.outcomes import ExitCode

PACKAGES = paths.PROJECT / "scripts" / "packages.txt"
OLDEST_QEMU = (7, 2)
OLDEST_PYTHON = (3, 11)
# A build's objects, its ccache and its kernel; two guests of 4 GiB that fill their memory.
_DISK_GIB = 8
_MEMORY_GIB = 4
_GIB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and what to do where it is not `ok`.

    Without a thing that is not `needed` patchbed works, if slower.
    """

    name: str
    ok: bool
    found: str
    next: str = ""
    needed: bool = True


def examine() -> list[Finding]:
    """Look at everything; this may boot a kernel with KVM, once per host and QEMU."""
    return [
        _python(),
        _packages(),
        _qemu(),
        _accelerator(),
        _cores(os.cpu_count() or 1),
        _memory(),
        _disk(paths.cache()),
    ]


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 if all that is needed is there, else 3."""
    missing = any(finding.needed and not finding.ok for finding in findings)
    return ExitCode.INFRASTRUCTURE if missing else ExitCode.OK


def show(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print what was found to standard output; return the exit code."""
    code = exit_code(findings)
    if as_json:
        facts = [dataclasses.asdict(finding) for finding in findings]
        sys.stdout.write(json.dumps({"exit_code": code, "findings": facts}, indent=1) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(findings))
    return code


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return what was found as lines of text."""
    width = max(len(finding.name) for finding in findings)
    result = []
    for finding in findings:
        mark = "ok" if finding.ok else "MISSING" if finding.needed else "slow"
        result.append(f"{finding.name:{width}}  {mark:7}  {finding.found}")
        if finding.next and not finding.ok:
            result.append(f"{'':{width}}  next:    {finding.next}")
    return result


def qemu_version(text: str) -> tuple[int, int] | None:
    """Return major and minor from what `qemu --version` prints."""
    found = re.search(r"version (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def missing_packages(wanted: Sequence[str], status: str) -> list[str]:
    """Return which of `wanted` are not installed by dpkg-query's `status` ("name state" lines).

    Of names with | between them one will do, and the first is missing if there is none.
    """
    installed = {line.split()[0] for line in status.splitlines() if line.endswith(" installed")}
    choices = [[name.strip() for name in line.split("|")] for line in wanted]
    return [names[0] for names in choices if not installed.intersection(names)]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(
        "python",
        sys.version_info >= OLDEST_PYTHON,
        version,
        f"install Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or later",
    )


def _packages() -> Finding:
    text = PACKAGES.read_text(encoding="utf-8") if PACKAGES.is_file() else ""
    wanted = [line.strip() for line in text.splitlines() if line and not line.startswith("#")]
    if shutil.which("dpkg-query") is None:
        return Finding("packages", True, "no Debian: not looked at", needed=False)
    names = [name.strip() for line in wanted for name in line.split("|")]
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names]
    status = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    missing = missing_packages(wanted, status)
    found = f"not installed: {' '.join(missing)}" if missing else f"all {len(wanted)} installed"
    return Finding("packages", not missing, found, f"apt-get install {' '.join(missing)}")


def _qemu() -> Finding:
    from harness.guest.qemu import PROGRAM

    oldest = ".".join(str(part) for part in OLDEST_QEMU)
    todo = f"install qemu-system-x86, {oldest} or later"
    try:
        said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        return Finding("qemu", False, f"{PROGRAM}: {error.strerror}", todo)
    version = qemu_version(said.stdout)
    first = (said.stdout or said.stderr).strip().partition("\n")[0]
    return Finding("qemu", version is not None and version >= OLDEST_QEMU, first, todo)


def _accelerator() -> Finding:
    from harness.guest.accelerator import choose_accelerator

    choice = choose_accelerator("auto", None)
    return Finding(
        "accelerator",
        choice.name == "kvm",
        f"{choice.name}: {choice.reason}",
        "nothing, if slower guests will do; else give this user a /dev/kvm that works",
        needed=False,
    )


def _cores(count: int) -> Finding:
    return Finding("cores", count >= 2, str(count), "two or more build faster", needed=False)


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / _GIB
    return Finding(
        "memory",
        free >= _MEMORY_GIB,
        f"{free:.1f} GiB available",
        f"a guest and a build want {_MEMORY_GIB} GiB: end something, or use --machine q35-1g",
    )


def _disk(cache: Path) -> Finding:
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free / _GIB
    return Finding(
        "disk",
        free >= _DISK_GIB and os.access(there, os.W_OK),
        f"{free:.1f} GiB free for {cache}",
        f"make {_DISK_GIB} GiB free (`patchbed kernel prune`), or set XDG_CACHE_HOME elsewhere",
    )
