# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiler and the binutils: what they are, as a part of a kernel's identity."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from harness.errors import InfrastructureError
from harness.outcomes import Outcome

_TOOLS = ("make", "flex", "bison", "bc", "perl")


@dataclass(frozen=True)
class Compiler:
    """The compiler `command`; `identity` is the first line of each tool's --version."""

    command: str
    identity: str


def find_compiler(command: str = "gcc") -> Compiler:
    """Return the compiler called `command`, with the assembler and the linker it uses.

    Raises:
        InfrastructureError: one of them is not installed.
    """
    return Compiler(command, "; ".join(_version(tool) for tool in (command, "as", "ld")))


def check_tools() -> None:
    """Raise infra.worker unless the host has the tools that a kernel's build starts."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise InfrastructureError(
            Outcome.INFRA_WORKER,
            f"building a kernel takes {', '.join(missing)}, not installed here",
            hint="apt-get install build-essential flex bison bc libelf-dev libssl-dev",
        )


def ccache() -> bool:
    """Whether ccache is there; it makes builds faster, and changes none of their bytes."""
    return shutil.which("ccache") is not None


def _version(tool: str) -> str:
    try:
        done = subprocess.run(
            [tool, "--version"],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise InfrastructureError(
            Outcome.INFRA_WORKER,
            f"{tool} can't be run: {error}",
            hint="apt-get install build-essential",
        ) from error
    return done.stdout.splitlines()[0] if done.stdout else tool
