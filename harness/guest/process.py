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
from harness.guest.accelerator import KVM
from harness.outcomes import Outcome

# Sooner the guest than whoever watches it, when memory runs out.
_OOM_SCORE = "700"
_ERRORS = 4000
_GRACE = 1.0
# The kernel tells of a parent's death only from when it was asked to: one that was killed before
# that has left the process to another parent.
_UNLESS_ORPHANED = 'test "$PPID" = "$0" && exec "$@"'


class QemuProcess:
    """A running QEMU: its console on `stdout`, dead with us at the latest.

    It has a session of its own, so that Ctrl-C on the terminal is ours alone, and is killed by
    the kernel when the thread that started it ends: start it from one that lives as long. Under
    root it runs as `user`, if that is not None; `inherit` are descriptors it keeps, and may open
    again by path.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        user: pwd.struct_passwd | None = None,
        inherit: Sequence[int] = (),
    ) -> None:
        self._argv = list(argv)
        self._user = user
        self._inherit = tuple(inherit)
        self._errors = os.fdopen(os.memfd_create("patchbed-qemu-errors"), "w+b")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [*limits(self._user), *self._argv]
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


def qemu_user(accelerator: str) -> pwd.struct_passwd | None:
    """Return the user that QEMU is to run as, None for ourselves.

    Root's is nobody, unless KVM is used and is open to no one but root.
    """
    if os.geteuid() != 0 or (accelerator == "kvm" and not _kvm_group()):
        return None
    return pwd.getpwnam("nobody")


def limits(user: pwd.struct_passwd | None) -> list[str]:
    """Return the words before a command that let it die with us and run as `user`."""
    command = ["setpriv", "--pdeathsig", "KILL", "--no-new-privs"]
    if user is not None:
        command += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid)]
        group = _kvm_group()
        command += ["--groups", str(group)] if group else ["--clear-groups"]
    return [*command, "--", "sh", "-c", _UNLESS_ORPHANED, str(os.getpid())]


def _kvm_group() -> int:
    """Return the group other than root's that may use /dev/kvm, 0 if there is none."""
    try:
        state = KVM.stat()
    except OSError:
        return 0
    return state.st_gid if state.st_mode & 0o060 == 0o060 else 0
