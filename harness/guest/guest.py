# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest: a kernel with an image, booted on a machine, taking commands while it lives."""

from __future__ import annotations

import contextlib
import importlib
import os
import pwd
import shlex
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harness.errors import GuestDied, InfrastructureError, PatchbedError
from harness.guest import qemu
from harness.guest.accelerator import (
    PROBE_LIMIT,
    PROBE_SILENCE,
    Choice,
    choose_accelerator,
)
from harness.guest.completed import Completed
from harness.guest.console import Console
from harness.guest.crash import Report
from harness.guest.image import READY
from harness.guest.machine import Machine
from harness.guest.process import QemuProcess, qemu_user
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from harness.guest.keys import BootKeys
    from harness.guest.monitor import Monitor
    from harness.guest.shell import Process, Shell
    from harness.kernel.artifact import Kernel

__all__ = ["Completed", "Guest"]

_SECRETS = (qemu.AUTHORIZED_KEYS, qemu.HOST_KEY)
_DMESG = 1.0
# How long the console may still have something to say once the machine has stopped.
_DRAIN = 0.3
_POLL = 0.1
# Why a guest's machine stops by itself: the reasons of QEMU's SHUTDOWN event.
_LAST_EVENTS = {
    "guest-reset": "the machine was reset without a word (triple fault or reboot)",
    "guest-shutdown": "the guest powered itself off",
    "guest-panic": "the guest told QEMU of a panic",
}


class Guest:
    """A running guest; see `__enter__` and `run`.

    `folder` gets console.log, argv, config and, with `keep_log` and if it is alive at the end,
    dmesg. `boot_limit` is how long it may take until it accepts commands, `silence_limit` how
    long it may say nothing meanwhile, both in seconds. `kernel_args` go to the end of the
    kernel's command line. Enter it in a thread that lives as long: QEMU dies with that.
    """

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
        self.kernel = kernel
        self.image = image
        self.machine = machine
        self.folder = folder
        self.boot_limit = boot_limit
        self.silence_limit = silence_limit
        self.kernel_args = tuple(kernel_args)
        self.keep_log = keep_log
        self.argv: list[str] = []
        self.seconds_to_ready = 0.0
        self.death: GuestDied | None = None
        self.warnings: list[Report] = []
        self._wanted = accelerator
        self._choice = Choice("", "")
        self._failure: PatchbedError | None = None
        self._ready = False
        self._ending = False
        self._changed = threading.Condition()
        self._stack = ExitStack()
        self._console: Console | None = None
        self._process: QemuProcess | None = None
        self._monitor: Monitor | None = None
        self._shell: Shell | None = None
        self._scratch = -1
        self._wake = (-1, -1)
        self._started = 0.0

    def __enter__(self) -> Self:
        """Boot, and return once commands are taken.

        Raises:
            GuestDied: the kernel died, or kernel.boot_timeout: it did not come up in time.
            InfrastructureError: QEMU can't be started, or broke.
        """
        self._choice = choose_accelerator(self._wanted, self._probe)
        try:
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

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
    def accelerator(self) -> str:
        return self._choice.name

    @property
    def accelerator_reason(self) -> str:
        return self._choice.reason

    @property
    def alive(self) -> bool:
        """Whether commands can be expected to work."""
        return self._shell is not None and self.death is None and self._failure is None

    @property
    def shell(self) -> Shell:
        if self._shell is None:
            raise RuntimeError("the guest was not booted")
        return self._shell

    @property
    def monitor(self) -> Monitor:
        if self._monitor is None:
            raise RuntimeError("the guest was not booted")
        return self._monitor

    @property
    def console(self) -> Console:
        if self._console is None:
            raise RuntimeError("the guest was not booted")
        return self._console

    def check(self) -> None:
        """Raise what has become of the guest, if anything has.

        Raises:
            GuestDied: the kernel died.
            InfrastructureError: QEMU broke.
        """
        if self.death is not None:
            raise self.death
        if self._failure is not None:
            raise self._failure

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

    def hmp(self, command: str) -> str:
        """Return what QEMU's human monitor prints for `command`."""
        return self.monitor.hmp(command)

    def physical_memory(self, address: int, size: int) -> bytes:
        """Return `size` bytes of guest memory from the physical `address`, as QEMU sees it."""
        path = f"/proc/self/fd/{self._scratch}"
        self.monitor.execute("pmemsave", val=address, size=size, filename=path)
        return os.pread(self._scratch, size, 0)

    def translate(self, address: int) -> int | None:
        """Return the physical address that the first CPU's page table has for `address`."""
        text = self.hmp(f"gva2gpa {address:#x}")
        return int(text.split("gpa:")[1], 16) if "gpa:" in text else None

    def _boot(self) -> None:
        self._started = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._wake = os.pipe()
        self._stack.callback(os.close, self._wake[0])
        self._stack.callback(os.close, self._wake[1])
        ours, theirs = socket.socketpair()
        self._stack.callback(ours.close)
        self._scratch = _scratch(qemu_user(self.accelerator))
        self._stack.callback(os.close, self._scratch)
        keys = self._start_qemu(theirs)
        thread = threading.Thread(target=_import_shell, name="imports", daemon=True)
        thread.start()
        self._keep_facts()
        self._open_monitor(ours)
        self._await_ready()
        self._open_shell(keys)
        self.seconds_to_ready = time.monotonic() - self._started

    def _start_qemu(self, monitor: socket.socket) -> BootKeys:
        """Start QEMU first and make its keys then: it waits for them at the pipes' other end."""
        user = qemu_user(self.accelerator)
        with ExitStack() as passed:
            passed.callback(monitor.close)
            secrets = [_pipe(passed, user) for _name in _SECRETS]
            files = [os.open(path, os.O_RDONLY) for path in (self._kernel_file(), self.image)]
            inherit = [monitor.fileno(), self._scratch, *(out for out, _in in secrets), *files]
            for descriptor in files:
                passed.callback(os.close, descriptor)
            self.argv = self._qemu_argv([out for out, _in in secrets], files, monitor.fileno())
            process = QemuProcess(self.argv, user=user, inherit=inherit)
            self._process = self._stack.enter_context(process)
            console = Console(
                process.console,
                self.folder / "console.log",
                marker=READY.encode(),
                on_report=self._report,
                on_marker=self._said_ready,
                on_end=self._console_ended,
            )
            self._console = self._stack.enter_context(console)
            from harness.guest.keys import make_keys

            keys = make_keys()
            for (_out, into), data in zip(
                secrets, (keys.authorized_keys(), keys.host_key()), strict=True
            ):
                # A QEMU that is gone already says why elsewhere.
                with contextlib.suppress(BrokenPipeError):
                    os.write(into, data)
        return keys

    def _qemu_argv(self, secrets: list[int], files: list[int], monitor: int) -> list[str]:
        paths = [f"/proc/self/fd/{descriptor}" for descriptor in (*files, *secrets)]
        items = tuple(zip(_SECRETS, paths[2:], strict=True))
        opened = qemu.Files(paths[0], paths[1], items, monitor)
        return qemu.qemu_argv(opened, self.machine, self.accelerator, self.kernel_args)

    def _kernel_file(self) -> Path:
        return self.kernel.vmlinux if self.machine.boot == "pvh" else self.kernel.bzimage

    def _keep_facts(self) -> None:
        files = qemu.Files(str(self._kernel_file()), str(self.image))
        by_hand = qemu.qemu_argv(files, self.machine, self.accelerator, self.kernel_args)
        (self.folder / "argv").write_text(shlex.join(by_hand) + "\n", encoding="utf-8")
        shutil.copyfile(self.kernel.config_file, self.folder / "config")

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
            shell = Shell(port, keys, self.check, self._wake[0])
        except InfrastructureError as error:
            if self._failure is None:
                self._give_up(f"said to be ready, but {error.message}")
                self.check()
            raise
        self._shell = self._stack.enter_context(shell)

    def _open_monitor(self, channel: socket.socket) -> None:
        from harness.guest.monitor import Monitor

        try:
            self._monitor = self._stack.enter_context(Monitor(channel, self._event))
        except InfrastructureError:
            self._explain()
            raise

    def _explain(self) -> None:
        """Raise what is known of QEMU's end, which says more than a broken connection."""
        deadline = time.monotonic() + 1.0
        with self._changed:
            while time.monotonic() < deadline:
                self.check()
                self._changed.wait(_POLL)

    def _give_up(self, title: str) -> None:
        lines = self.console.tail()
        self._die(GuestDied(Outcome.KERNEL_BOOT_TIMEOUT, title, lines=lines))

    def _said_ready(self) -> None:
        with self._changed:
            self._ready = True
            self._changed.notify_all()

    def _report(self, report: Report) -> None:
        if report.fatal:
            self._die(GuestDied(report.outcome, report.title, lines=report.lines))
        else:
            self.warnings.append(report)

    def _event(self, name: str, data: dict[str, Any]) -> None:
        """Take an event of QEMU's: a machine that stopped by itself is dead, word or no word."""
        if name == "SHUTDOWN" and data.get("guest"):
            title = _LAST_EVENTS.get(str(data.get("reason")), "the machine stopped")
            timer = threading.Timer(_DRAIN, self._stopped, [title])
            timer.daemon = True
            timer.start()

    def _stopped(self, title: str) -> None:
        self.console.settle()
        self._die(GuestDied(Outcome.KERNEL_LOST, title, lines=self.console.tail()))

    def _console_ended(self) -> None:
        if self._ending or self._process is None:
            return
        status = self._process.ended()
        said = self._process.errors()
        if status == 0 and not said:
            title = "QEMU ended without a word from the kernel"
            self._die(GuestDied(Outcome.KERNEL_LOST, title, lines=self.console.tail()))
            return
        how = f"was killed by signal {-status}" if status and status < 0 else f"ended ({status})"
        self._fail(
            InfrastructureError(
                Outcome.INFRA_QEMU,
                f"QEMU {how}: {said or 'it said nothing'}",
                hint="run `patchbed doctor`; the command line is in the boot's folder",
                log=self.folder / "argv",
            )
        )

    def _die(self, death: GuestDied) -> None:
        with self._changed:
            if self.death is None and self._failure is None and not self._ending:
                self.death = death
                os.write(self._wake[1], b"!")
                self._changed.notify_all()

    def _fail(self, failure: PatchbedError) -> None:
        with self._changed:
            if self.death is None and self._failure is None and not self._ending:
                self._failure = failure
                os.write(self._wake[1], b"!")
                self._changed.notify_all()

    def _save_log(self) -> None:
        with contextlib.suppress(PatchbedError):
            log = self.run("dmesg", timeout=_DMESG)
            (self.folder / "dmesg").write_bytes(log.stdout)

    def _end(self) -> None:
        with self._changed:
            self._ending = True
        if self._process is not None:
            self._process.kill()
        self._stack.close()
        self._shell = None

    def _probe(self) -> str:
        """Try this kernel with KVM; return what goes wrong, "" if nothing does."""
        with tempfile.TemporaryDirectory(prefix="patchbed-probe-") as folder:
            guest = Guest(
                self.kernel,
                self.image,
                self.machine,
                Path(folder),
                boot_limit=PROBE_LIMIT,
                silence_limit=PROBE_SILENCE,
                accelerator="kvm",
            )
            try:
                with guest:
                    return ""
            except (GuestDied, InfrastructureError) as error:
                return str(error).splitlines()[0]


def _scratch(user: pwd.struct_passwd | None) -> int:
    """Return a descriptor of an unnamed file in memory that `user` may open again by path."""
    descriptor = os.memfd_create("patchbed-memory", os.MFD_CLOEXEC)
    if user is not None:
        os.fchown(descriptor, user.pw_uid, user.pw_gid)
    os.fchmod(descriptor, 0o600)
    return descriptor


def _pipe(stack: ExitStack, user: pwd.struct_passwd | None) -> tuple[int, int]:
    """Return a pipe's ends, the first of which `user` may open again by path."""
    out, into = os.pipe()
    stack.callback(os.close, out)
    stack.callback(os.close, into)
    if user is not None:
        os.fchown(out, user.pw_uid, user.pw_gid)
    return out, into


def _import_shell() -> None:
    """Load what the shell needs while the kernel boots: it takes a fifth of a second."""
    importlib.import_module("harness.guest.shell")
