# SPDX-License-Identifier: GPL-2.0-or-later
"""How a kernel is built: the environment and the arguments of make, and nothing of the host's."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

# Part of every key: count it up when a change here or in headers.py changes what comes out.
VERSION = 1
ARCHITECTURE = "x86"
TARGETS = ("vmlinux", "bzImage", "modules")
# A work tree with its objects and the entry made of it; what a build of `fast` takes, and half.
DISK_NEEDED = 3 << 30
# Objects of a `fast` kernel, until a build of the profile has been counted.
USUAL_STEPS = 1650
_CCACHE_SIZE = "10G"
# Expanded by make for each object. In depend mode ccache learns from the compiler's own -MMD which
# headers an object was made from, and runs no preprocessor first, which takes 0.4 times as long
# as to compile. That list lacks what .incbin takes in, and the sources in assembler may do so by a
# macro: it is for C sources alone, and only those without the word. The host's programs use system
# headers, which -MMD leaves out.
_DEPEND = "$(if $(filter %.c,$<),$(if $(findstring incbin,$(file <$<)),,CCACHE_DEPEND=1 ))"


def build_environment(
    ccache: Path | None, tree: Path, stats: Path | None = None, *, direct: bool = True
) -> dict[str, str]:
    """Return all of the environment for make.

    The dates and names that a kernel carries are fixed: the same source gives the same bytes.
    `ccache` is the compiler cache's folder, None for none; paths below `tree` are hashed as
    relative, so that one tree hits what another has left. ccache tells in the file `stats`, if
    any, how each call went. Unless `direct`, it runs the preprocessor before it believes that it
    knows an object.
    """
    fixed = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C",
        "TZ": "UTC",
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 2023",
        "KBUILD_BUILD_USER": "patchbed",
        "KBUILD_BUILD_HOST": "patchbed",
        "KBUILD_BUILD_VERSION": "1",
        # Set, if empty: unset, a kernel from a git work tree gets a "+" to its release.
        "LOCALVERSION": "",
    }
    if "TMPDIR" in os.environ:
        fixed["TMPDIR"] = os.environ["TMPDIR"]
    if ccache is None:
        return fixed
    if stats is not None:
        fixed["CCACHE_STATSLOG"] = str(stats)
    if not direct:
        fixed["CCACHE_NODIRECT"] = "1"
    return fixed | {
        "CCACHE_DIR": str(ccache),
        "CCACHE_CONFIGPATH": "/dev/null",
        "CCACHE_BASEDIR": str(tree),
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_MAXSIZE": _CCACHE_SIZE,
        "CCACHE_COMPRESSLEVEL": "1",
    }


def make_argv(
    build: Path, targets: Sequence[str], *, compiler: str, ccache: bool, jobs: int, niceness: int
) -> list[str]:
    """Return the argv that makes `targets` into `build`, a direct child of the source tree.

    As a direct child, because kbuild keeps its paths relative only there.
    """
    prefix = "ccache " if ccache else ""
    depend = _DEPEND if ccache else ""
    # Debug information tells where the compiler ran: this name is the same in every work tree.
    anywhere = "env PWD=/proc/self/cwd "
    nice = ["nice", "-n", str(niceness)] if niceness else []
    return [
        *nice,
        "make",
        "-C",
        str(build.parent),
        f"O={build.name}",
        f"ARCH={ARCHITECTURE}",
        f"CC={anywhere}{depend}{prefix}{compiler}",
        f"HOSTCC={prefix}{compiler}",
        f"-j{jobs}",
        *targets,
    ]


def reproducing_line(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the shell command that does the same; every build log opens with it."""
    settings = [f"{name}={value}" for name, value in sorted(environment.items())]
    return shlex.join(["env", "-i", *settings, *argv])


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0))
