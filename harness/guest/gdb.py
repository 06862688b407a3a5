# SPDX-License-Identifier: GPL-2.0-or-later
"""A debugger on a guest: QEMU's stub on a socket of ours, and the gdb command that fits."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

from harness.errors import InfrastructureError
from harness.guest.decode import Decoder
from harness.outcomes import Outcome

SOCKET = "gdb"


def listen(path: Path) -> socket.socket:
    """Return a Unix socket that listens at `path`, in a folder that is ours alone.

    QEMU gets it by descriptor, so that it may run as somebody who can't make one there.

    Raises:
        InfrastructureError: it can't be made.
    """
    stub = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stub.bind(str(path))
        stub.listen(1)
    except OSError as error:
        stub.close()
        raise InfrastructureError(
            Outcome.INFRA_DISK,
            f"can't make the debugger's socket {path}: {error}",
            hint="set TMPDIR to a folder with a short name and some room",
        ) from error
    return stub


def gdb_argv(
    vmlinux: Path, stub: Path, *, sources: Path | None = None, built_in: str = ""
) -> list[str]:
    """Return the gdb command that debugs the kernel `vmlinux` through the socket `stub`.

    `sources` is its patched source tree, `built_in` where that was when it was built ("" if the
    kernel does not tell).
    """
    argv = ["gdb", "-q", str(vmlinux)]
    if sources is not None:
        argv += ["-ex", f"directory {sources}"]
        if built_in:
            argv += ["-ex", f"set substitute-path {built_in.rstrip('/')} {sources}"]
    return [*argv, "-ex", f"target remote {stub}"]


def describe(vmlinux: Path, decoder: Decoder, stub: Path, sources: Path, *, waits: bool) -> str:
    """Return what to tell a person who wants to debug: the command, and what it lacks."""
    there = sources if sources.is_dir() else None
    lines = [shlex.join(gdb_argv(vmlinux, stub, sources=there, built_in=decoder.source_root()))]
    if not decoder.has_lines:
        lines.append("(functions only: the kernel was built without debug information)")
    elif there is None:
        lines.append("(its sources are not kept; make them again with `patchbed series apply`)")
    if waits:
        lines.append("(the guest waits for `continue`)")
    return "\n".join(lines)
