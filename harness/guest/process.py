# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's process: started with as little power as can be, and never left behind."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import InfrastructureError
from harness.outcomes import Outcome

# Sooner the guest than whoever watches it, when memory runs out.
_OOM_SCORE = "700"
_ERRORS = 4000
_GRACE = 1.0


class QemuProcess:
    """A running QEMU: its console on `stdout`, dead with us at the latest.

    It has a session of its own, so that Ctrl-C on the terminal is ours alone, and is killed by
    the kernel when the thread that started it ends: start it from one that lives as long. Under
    root it runs as nobody; `inherit` are descriptors it keeps, and may open again by path.
    """

    def __init__(self, argv: Sequence[str], *, inherit: Sequence[int] = ()) -> None:
        self._argv = list(argv)
        self._inherit = tuple(inherit)
        self._errors = os.fdopen(os.memfd_create("patchbed-qemu-errors"), "w+b")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [*_drop_privileges(), *self._argv]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=self._inherit,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._errors.close()
            raise InfrastructureError(
                Outcome.INFRA_QEMU,
                f"can't start {error.filename or self._argv[0]}: {error.strerror}",
                hint="install qemu-system-x86 and util-linux, or see `patchbed doctor`",
            ) from error
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text(_OOM_SCORE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it: at once if it still runs."""
        process = self.popen
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._errors.close()

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("QEMU was not started")
        return self._process

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def console(self) -> int:
        """The descriptor that everything the serial console says comes from."""
        stream = self.popen.stdout
        assert stream is not None  # noqa: S101
        return stream.fileno()

    def type(self, data: bytes) -> None:
        """Type `data` on the serial console."""
        stream = self.popen.stdin
        assert stream is not None  # noqa: S101
        stream.write(data)

    def kill(self) -> None:
        """End it now; its console comes to an end by that."""
        if self.popen.poll() is None:
            self.popen.kill()

    def ended(self, within: float = _GRACE) -> int | None:
        """Return its status (negative: the signal) once it has ended, None if it has not."""
        try:
            return self.popen.wait(timeout=within)
        except subprocess.TimeoutExpired:
            return None

    def errors(self) -> str:
        """Return what it said on standard error: the end of it, if that is long."""
        try:
            size = os.fstat(self._errors.fileno()).st_size
            data = os.pread(self._errors.fileno(), _ERRORS, max(0, size - _ERRORS))
        except (OSError, ValueError):
            return ""
        return data.decode("utf-8", errors="replace").strip()


def unprivileged() -> pwd.struct_passwd | None:
    """Return the user that QEMU runs as, None where we have no privileges to drop."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _drop_privileges() -> list[str]:
    command = ["setpriv", "--pdeathsig", "KILL", "--no-new-privs"]
    user = unprivileged()
    if user is not None:
        command += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid)]
        command += _groups()
    return [*command, "--"]


def _groups() -> list[str]:
    """Keep the group that may open /dev/kvm, and no other."""
    with contextlib.suppress(OSError):
        group = Path("/dev/kvm").stat().st_gid
        if group:
            return ["--groups", str(group)]
    return ["--clear-groups"]
