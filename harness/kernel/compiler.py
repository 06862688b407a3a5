# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiler and the binutils: what they are, as a part of a kernel's identity."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfrastructureError, UserError
from harness.kernel.cache import digest_file, digest_json
from harness.outcomes import Outcome

DEFAULT = "gcc"
_INSTALL = "apt-get install build-essential"
_HINT = "give the name or the path of a gcc or clang: --compiler gcc-12"
_LIMIT = 30.0
_TOOLS = ("make", "flex", "bison", "bc", "perl")


@dataclass(frozen=True)
class Compiler:
    """The compiler `command`; `identity` is what it and the binutils say of themselves."""

    command: str
    identity: str


def find_compiler(command: str = DEFAULT) -> Compiler:
    """Return the compiler called `command` (a name or a path), with the binutils it uses.

    A compiler by name is known by its version, one by path by its bytes too: two that say the
    same of themselves need not be the same.

    Raises:
        UserError: `command` is not there, or is no C compiler.
        InfrastructureError: the default compiler or the binutils are not installed.
    """
    check_command(command)
    identity = _version(command)
    if "/" in command:
        # make runs it elsewhere.
        command = str(Path(command).absolute())
        identity += f" ({_digest_compiler(command)})"
    return Compiler(command, "; ".join((identity, *(_version(tool) for tool in ("as", "ld")))))


def check_command(command: str) -> None:
    """Raise unless `command` runs and is a C compiler that kbuild can tell apart (gcc, clang)."""
    if not command or any(character.isspace() for character in command):
        raise UserError(f"compiler {command!r} is no command", hint=_HINT)
    if shutil.which(command) is None:
        if command == DEFAULT:
            raise InfrastructureError(
                Outcome.INFRA_WORKER, f"{command} is not installed here", hint=_INSTALL
            )
        raise UserError(f"there is no compiler {command!r} here", hint=_HINT)
    done = _run(command, "-dM", "-E", "-x", "c", os.devnull)
    if done.returncode != 0 or "__GNUC__" not in done.stdout:
        raise UserError(f"{command!r} is no C compiler that can build a kernel", hint=_HINT)


def _digest_compiler(command: str) -> str:
    """Return the beginning of the digest of a compiler's programs: its driver, and gcc's cc1."""
    found = [Path(shutil.which(command) or command).resolve()]
    proper = Path(_run(command, "-print-prog-name=cc1").stdout.strip())
    if proper.is_absolute() and proper.is_file():
        found.append(proper)
    return digest_json([digest_file(path) for path in found])[:16]


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
        done = _run(tool, "--version", check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise InfrastructureError(
            Outcome.INFRA_WORKER, f"{tool} can't be run: {error}", hint=_INSTALL
        ) from error
    return done.stdout.splitlines()[0] if done.stdout else tool


def _run(*argv: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            check=check,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        if check:
            raise
        return subprocess.CompletedProcess(argv, 127, "", str(error))
