# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest: a kernel with an image, booted on a machine, taking commands while it lives."""

from __future__ import annotations

import contextlib
import importlib
import os
import pwd
import shlex
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.errors import GuestDied, InfrastructureError, PatchbedError
from harness.guest import qemu, speed
from harness.guest.completed import Completed
from harness.guest.gdb import listen
from harness.guest.life import Life, memory_file
from harness.guest.machine import Machine, check_interactive
from harness.guest.silence import LockupWatch
from harness.guest.speed import scaled
from harness.guest.trouble import Kind
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from harness.guest.keys import BootKeys
    from harness.guest.shell import Process, Shell
    from harness.kernel.artifact import Kernel

__all__ = ["Completed", "Guest"]

_SECRETS = (qemu.AUTHORIZED_KEYS, qemu.HOST_KEY)
_DMESG = 1.0
_POLL = 0.1


class Guest(Life):
    """A running guest; see `__enter__` and `run`.

    With `keep_log`, `folder` gets the kernel's own log as dmesg too, if the guest is alive at the
    end. The other arguments are those of `Life`; it may take `boot_limit` until it accepts
    commands. A CPU that has had interrupts off for `lockup_limit` seconds, scaled to the host's
    speed, while nothing was said is a hard lockup; 0 for no such watch, as a debugger needs it.
    """

    lockup_limit: float = 10.0
    # Where gdb finds the guest, and whether it waits for that before its first instruction.
    debugger: Path | None = None
    halted: bool = False

    def __init__(
        self,
        kernel: Kernel,
        image: Path,
        machine: Machine,
        folder: Path,
        *,
        boot_limit: float = 60.0,
        silence_limit: float = 60.0,
        accelerator: str = "auto",
        kernel_args: Sequence[str] = (),
        keep_log: bool = True,
    ) -> None:
        super().__init__(
            kernel,
            image,
            machine,
            folder,
            boot_limit=boot_limit,
            silence_limit=silence_limit,
            accelerator=accelerator,
            kernel_args=kernel_args,
        )
        self.keep_log = keep_log
        self._shell: Shell | None = None

    def __enter__(self) -> Self:
        """Boot, and return once commands are taken.

        Raises:
            GuestDied: the kernel died, or kernel.boot_timeout: it did not come up in time.
            InfrastructureError: QEMU can't be started, or broke.
            UserError: the machine has no network.
        """
        check_interactive(self.machine)
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the guest whatever its state, after a last look at its log if it is alive."""
        try:
            if self.keep_log and self.alive and not isinstance(error, KeyboardInterrupt):
                self._save_log()
        finally:
            self._end()

    @property
    def alive(self) -> bool:
        """Whether commands can be expected to work."""
        return self._shell is not None and self.death is None and self._failure is None

    @property
    def shell(self) -> Shell:
        if self._shell is None:
            raise RuntimeError("the guest was not booted")
        return self._shell

    def run(self, command: str, *, timeout: float = 30.0, stdin: bytes = b"") -> Completed:
        """Run `command` in the guest's shell with `stdin`; return status, stdout and stderr.

        Raises:
            CommandTimeout: it took longer than `timeout` seconds; it was killed.
            GuestDied: the kernel died, seen within a second.
            InfrastructureError: QEMU or the connection broke.
        """
        return self.shell.run(command, timeout=timeout, stdin=stdin)

    def start(self, command: str) -> Process:
        """Start `command` in the guest's shell; see `Process`. Raises as `run` does."""
        return self.shell.start(command)

    def put(self, data: bytes, path: str, mode: int = 0o644) -> None:
        """Write `data` to the file `path` in the guest. Raises as `run` does, and OSError."""
        name = shlex.quote(path)
        done = self.run(f"cat > {name} && chmod {mode:o} {name}", stdin=data, timeout=120.0)
        if done.status != 0:
            raise OSError(f"{path} in the guest: {done.stderr.decode(errors='replace').strip()}")

    def get(self, path: str) -> bytes:
        """Return what the file `path` in the guest holds. Raises as `run` does, and OSError."""
        done = self.run(f"cat {shlex.quote(path)}", timeout=120.0)
        if done.status != 0:
            raise OSError(f"{path} in the guest: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def _boot(self) -> None:
        ours, theirs = socket.socketpair()
        self._stack.callback(ours.close)
        keys = self._start_qemu(theirs)
        thread = threading.Thread(target=import_shell, name="imports", daemon=True)
        thread.start()
        self._keep_facts(str(self.image))
        self._open_monitor(ours)
        self._await_ready()
        self._open_shell(keys)
        self.seconds_to_ready = time.monotonic() - self._started
        if self.lockup_limit:
            self._stack.enter_context(self._lockup_watch())
        if self.kernel.profile == speed.KNOWN_PROFILE:
            speed.remember(self.seconds_to_ready, self.accelerator)

    def _start_qemu(self, monitor: socket.socket) -> BootKeys:
        """Start QEMU first and make its keys then: it waits for them at the pipes' other end."""
        with ExitStack() as passed:
            passed.callback(monitor.close)
            secrets = [_pipe(passed, self._user) for _name in _SECRETS]
            opened = [os.open(path, os.O_RDONLY) for path in (self._kernel_file(), self.image)]
            for descriptor in opened:
                passed.callback(os.close, descriptor)
            inherit = [*opened, *(out for out, _in in secrets), monitor.fileno()]
            paths = [f"/proc/self/fd/{descriptor}" for descriptor in inherit]
            items = tuple(zip(_SECRETS, paths[2:4], strict=True))
            files = qemu.Files(paths[0], paths[1], items, monitor.fileno())
            files, more = self._complete(files, passed)
            if self.machine.disk_mib:
                disk = self._disk(passed)
                files, more = replace(files, disk=f"/proc/self/fd/{disk}"), [*more, disk]
            if self.debugger is not None:
                stub = passed.enter_context(listen(self.debugger))
                more = [*more, stub.fileno()]
                files = replace(files, debugger=stub.fileno(), halted=self.halted)
            self._watch(self._start(files, [*inherit, *more]).console)
            keys = self._make_keys()
            for (_out, into), data in zip(
                secrets, (keys.authorized_keys(), keys.host_key()), strict=True
            ):
                # A QEMU that is gone already says why elsewhere.
                with contextlib.suppress(BrokenPipeError):
                    os.write(into, data)
        return keys

    def _complete(self, files: qemu.Files, passed: ExitStack) -> tuple[qemu.Files, list[int]]:
        """Return `files` with what else there is, and its descriptors, which `passed` closes."""
        return files, []

    def _disk(self, passed: ExitStack) -> int:
        disk = memory_file("patchbed-disk", self._user)
        passed.callback(os.close, disk)
        os.ftruncate(disk, self.machine.disk_mib << 20)
        return disk

    def _make_keys(self) -> BootKeys:
        from harness.guest.keys import make_keys

        return make_keys()

    def _await_ready(self) -> None:
        with self._changed:
            while not self._ready:
                self.check()
                now = time.monotonic()
                if now - self._started > self.boot_limit:
                    self._give_up(f"no commands taken within {self.boot_limit:g} s")
                elif now - self.console.last_byte > self.silence_limit:
                    self._give_up(f"not a word on the console for {self.silence_limit:g} s")
                else:
                    self._changed.wait(_POLL)

    def _open_shell(self, keys: BootKeys) -> None:
        try:
            port = self.monitor.port()
        except InfrastructureError:
            self._explain()
            raise
        from harness.guest.shell import Shell

        try:
            shell = Shell(port, keys, self.check, self._wake[0], self._unanswered)
        except InfrastructureError as error:
            if self._failure is None:
                self._give_up(f"said to be ready, but {error.message}")
                self.check()
            raise
        self._shell = self._stack.enter_context(shell)

    def _lockup_watch(self) -> LockupWatch:
        def unreachable(error: InfrastructureError) -> None:
            # What ended QEMU may not be told yet, and says more.
            with contextlib.suppress(PatchbedError):
                self._explain()
                self._fail(error)

        return LockupWatch(
            self._look,
            lambda: self.console.last_byte,
            self._locked_up,
            unreachable,
            scaled(self.lockup_limit, self.accelerator),
        )

    def _unanswered(self, problem: str) -> None:
        """Take it that no command gets through: find out whether the guest is to blame."""
        lines = self.console.tail()
        if self.examine(problem) is None and self._idle:
            title = f"{problem}; {self._notes}"
            self._die(GuestDied(Outcome.KERNEL_LOST, title, lines=lines, kind=Kind.SILENCE))

    def _save_log(self) -> None:
        with contextlib.suppress(PatchbedError):
            log = self.run("dmesg", timeout=_DMESG)
            (self.folder / "dmesg").write_bytes(log.stdout)

    def _end(self) -> None:
        super()._end()
        self._shell = None


def _pipe(stack: ExitStack, user: pwd.struct_passwd | None) -> tuple[int, int]:
    """Return a pipe's ends, the first of which `user` may open again by path."""
    out, into = os.pipe()
    stack.callback(os.close, out)
    stack.callback(os.close, into)
    if user is not None:
        os.fchown(out, user.pw_uid, user.pw_gid)
    return out, into


def import_shell() -> None:
    """Load what the shell needs while the kernel boots: it takes a fifth of a second."""
    importlib.import_module("harness.guest.shell")
