# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup in the guest, for what the kernel charges to a group or confines it to."""

from __future__ import annotations

import shlex
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.testing.oracle import FOLDER, ONE_CPU, must

if TYPE_CHECKING:
    from harness.guest.guest import Guest

_ROOT = "/dev/patchbed-cgroup"
_GROUP = f"{_ROOT}/patchbed"


class Cgroup:
    """A cgroup (version 2) with some `controllers`; a context manager that makes and removes it.

    Files are those of Documentation/admin-guide/cgroup-v2.rst: "memory.max", "cpuset.mems".
    """

    def __init__(self, guest: Guest, *controllers: str) -> None:
        self._guest = guest
        self._controllers = " ".join(f"+{one}" for one in controllers)

    def __enter__(self) -> Self:
        """Mount the hierarchy and make the group.

        Raises:
            CommandFailed: the kernel lacks a controller.
        """
        must(
            self._guest,
            f"mkdir -p {_ROOT} && mount -t cgroup2 none {_ROOT} && "
            f"echo {self._controllers} > {_ROOT}/cgroup.subtree_control && mkdir {_GROUP}",
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._guest.death is None:
            must(self._guest, f"rmdir {_GROUP}; umount {_ROOT}")

    def write(self, file: str, value: str) -> None:
        """Write `value` to one of the group's files.

        Raises:
            CommandFailed: the kernel refuses it.
        """
        must(self._guest, f"echo {value} > {_GROUP}/{file}")

    def read(self, file: str) -> str:
        """Return what is in one of the group's files.

        Raises:
            CommandFailed: there is none.
        """
        return must(self._guest, f"cat {_GROUP}/{file}")

    def ask(self, command: str) -> int:
        """Give the oracle module `command` from within the group; return the status."""
        script = f"echo $$ > {_GROUP}/cgroup.procs && echo {command} > {FOLDER}/control"
        return self._guest.run(f"{ONE_CPU} sh -c {shlex.quote(script)}").status
