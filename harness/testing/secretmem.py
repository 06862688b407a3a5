# SPDX-License-Identifier: GPL-2.0-or-later
"""Holding pages of secretmem in a guest while the host looks."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.testing.oracle import ONE_CPU, CommandFailed

if TYPE_CHECKING:
    from harness.guest.guest import Guest


@dataclass(frozen=True, slots=True)
class SecretPage:
    """A page of secretmem: its frame, and whether it was all zero when it was handed out."""

    pfn: int
    zero: bool


@contextmanager
def secret_pages(
    guest: Guest, count: int, word: int = 0, *, first: str = ""
) -> Iterator[list[SecretPage]]:
    """Hold `count` pages of secretmem, full of the 64-bit `word` unless that is 0.

    The shell command `first` comes right before, in the holder's own shell and on its CPU. On
    leaving the pages are closed and the holder is gone.

    Raises:
        CommandFailed: the holder says something else than it should.
    """
    holder = f"exec /patchbed/bin/secretmem_hold {count} {word:#x}"
    script = f"{first} && {holder}" if first else holder
    command = f"{ONE_CPU} sh -c {shlex.quote(script)}"
    with guest.start(command) as process:
        pages = []
        while (line := process.readline(30).decode().split()) and line[0] == "page":
            pages.append(SecretPage(int(line[1], 16), line[2] == "zero"))
        if line != ["held"] or not all(page.pfn for page in pages):
            process.close_stdin()
            said = process.wait(30).stderr.decode(errors="replace").strip()
            raise CommandFailed(f"secretmem_hold: {said or line}")
        yield pages
        process.close_stdin()
        status = process.wait(30).status
        if status != 0:
            raise CommandFailed(f"secretmem_hold: status {status}")
