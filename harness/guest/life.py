# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's life under QEMU, whatever way in it has: watched from its start, and its end told."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shlex
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harness.errors import GuestDied, InfrastructureError, PatchbedError, UserError
from harness.guest import qemu
from harness.guest.accelerator import PROBE_LIMIT, PROBE_SILENCE, Choice, choose_accelerator
from harness.guest.admission import Room, admit
from harness.guest.console import Console
from harness.guest.crash import Report
from harness.guest.decode import Decoder, decoder_for
from harness.guest.image import READY
from harness.guest.machine import Machine
from harness.guest.post_mortem import death_of, dump_memory, lockup_of, write_bundle
from harness.guest.process import QemuProcess, qemu_user
from harness.guest.scratch import private_folder
from harness.guest.silence import CpuState, Verdict, examine, parse_registers
from harness.guest.trouble import Kind
from harness.guest.tsc import tsc_khz
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from harness.guest.monitor import Monitor
    from harness.kernel.artifact import Kernel

# How long the console may still have something to say once the machine has stopped.
_DRAIN = 0.3
_POLL = 0.1
# How long QEMU may take to tell its CPUs' state, and a kernel to tell what an NMI interrupted: it
# waits for the other CPUs meanwhile.
_LOOK = 5.0
_NMI = 20.0
# What goes wrong where a disk is full, broken, or not to be written.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)
# Why a guest's machine stops by itself: the reasons of QEMU's SHUTDOWN event.
_LAST_EVENTS = {
    "guest-reset": (Kind.RESET, "the machine was reset without a word (triple fault or reboot)"),
    "guest-shutdown": (Kind.POWER_OFF, "the guest powered itself off"),
}


class Life:
    """What an interactive guest and a batch have in common; enter one of those.

    `folder` gets console.log, argv and config. `boot_limit` is how long it may take until it does
    what it is booted for, `silence_limit` how long it may say nothing meanwhile, both in seconds.
    `kernel_args` go to the end of the kernel's command line. Enter it in a thread that lives as
    long: QEMU dies with that.

    A guest that dies leaves crash.json, stack and again too (see `write_bundle`), with
    `dump_on_crash` its memory. `modules` are .ko files or folders of what it may load besides its
    kernel's own, `again` is the command that boots the same again: QEMU's if it is empty.
    """

    dump_on_crash: bool = False
    modules: tuple[Path, ...] = ()
    again: tuple[str, ...] = ()
    # Hears every byte of the console as it comes, b"" at its end.
    on_console: Callable[[bytes], None] | None = None

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
        world: int = 0,
    ) -> None:
        self.kernel = kernel
        self.image = image
        if machine.boot == "pvh" and not kernel.enters_through_pvh:
            machine = replace(machine, boot="bzimage")
        self.machine = machine
        self.folder = folder
        self.boot_limit = boot_limit
        self.silence_limit = silence_limit
        self.kernel_args = tuple(kernel_args)
        self.world = world
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
        self._scratch = -1
        self._wake = (-1, -1)
        self._started = 0.0
        self._stuck: CpuState | None = None
        self._told = False
        self._idle = False
        self._notes = ""

    def __enter__(self) -> Self:
        """Boot.

        Raises:
            GuestDied: the kernel died, or kernel.boot_timeout: it did not come up in time.
            InfrastructureError: QEMU can't be started, or broke.
            UserError: the machine can't do what is asked of it.
        """
        self._choice = self._choose()
        try:
            self._begin()
            self._boot()
        except BaseException as error:
            self._end()
            if isinstance(error, OSError) and error.errno in _DISK:
                raise self._unwritable(error) from error
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the guest whatever its state."""
        self._end()

    @property
    def accelerator(self) -> str:
        return self._choice.name

    @property
    def accelerator_reason(self) -> str:
        return self._choice.reason

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

    @property
    def reporting(self) -> bool:
        """Whether the kernel has begun to report a trouble, and has not come to its end."""
        with self._changed:
            return self.console.reporting or (self._told and self.death is None)

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

    def hmp(self, command: str, timeout: float = 10.0) -> str:
        """Return what QEMU's human monitor prints for `command`, within `timeout` seconds."""
        return self.monitor.hmp(command, timeout)

    def physical_memory(self, address: int, size: int) -> bytes:
        """Return `size` bytes of guest memory from the physical `address`, as QEMU sees it."""
        path = f"/proc/self/fd/{self._scratch}"
        self.monitor.execute("pmemsave", val=address, size=size, filename=path)
        return os.pread(self._scratch, size, 0)

    def translate(self, address: int) -> int | None:
        """Return the physical address that the first CPU's page table has for `address`."""
        text = self.hmp(f"gva2gpa {address:#x}")
        return int(text.split("gpa:")[1], 16) if "gpa:" in text else None

    def _choose(self) -> Choice:
        if not self.machine.deterministic:
            return choose_accelerator(self._wanted, self._probe)
        if self._wanted == "kvm":
            raise UserError(
                "a deterministic machine counts instructions, which KVM can't",
                hint="use the accelerator tcg, or auto",
            )
        return Choice("tcg", "a deterministic machine counts instructions")

    def _boot(self) -> None:
        """Bring the guest to where it can be used; its context begins then."""
        raise NotImplementedError

    def _begin(self) -> None:
        room = Room(self.machine.memory_mib, self.machine.cpus)
        self._stack.enter_context(admit(room, check=self.check))
        self._started = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._wake = os.pipe()
        self._stack.callback(os.close, self._wake[0])
        self._stack.callback(os.close, self._wake[1])
        self._scratch = memory_file("patchbed-memory", self._user)
        self._stack.callback(os.close, self._scratch)

    @property
    def _user(self) -> pwd.struct_passwd | None:
        return qemu_user(self.accelerator)

    def _kernel_file(self) -> Path:
        # An image that was built elsewhere may have only one of the two.
        wanted = [self.kernel.vmlinux, self.kernel.bzimage]
        if self.machine.boot == "bzimage":
            wanted.reverse()
        return next((file for file in wanted if file.is_file()), wanted[0])

    def _start(self, files: qemu.Files, inherit: Sequence[int]) -> QemuProcess:
        """Start QEMU with `files`, for which it inherits those descriptors."""
        self.argv = self._argv(files)
        process = QemuProcess(self.argv, user=self._user, inherit=[*inherit, self._scratch])
        self._process = self._stack.enter_context(process)
        return process

    def _argv(self, files: qemu.Files) -> list[str]:
        return qemu.qemu_argv(
            files,
            self.machine,
            self.accelerator,
            self.kernel_args,
            world=self.world,
            tsc_khz=tsc_khz(),
        )

    def _watch(self, output: int) -> None:
        """Read the console from the descriptor `output`."""
        console = Console(
            output,
            self.folder / "console.log",
            marker=READY.encode(),
            on_report=self._report,
            on_marker=self._said_ready,
            on_end=self._console_ended,
            on_log_error=lambda error: self._fail(self._unwritable(error)),
        )
        if self.on_console is not None:
            console.listen(self.on_console)
        self._console = self._stack.enter_context(console)

    def _keep_facts(self, initrd: str) -> None:
        """Write down how to boot the same by hand."""
        by_hand = self._argv(qemu.Files(str(self._kernel_file()), initrd))
        (self.folder / "argv").write_text(shlex.join(by_hand) + "\n", encoding="utf-8")
        shutil.copyfile(self.kernel.config_file, self.folder / "config")

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

    def type(self, data: bytes) -> None:
        """Type `data` on the serial console."""
        if self._process is not None:
            self._process.type(data)

    def examine(self, problem: str) -> PatchbedError | None:
        """Find out why the guest does not answer; return what it died of, None if it lives.

        A CPU that has interrupts off for good gets an NMI: its kernel tells then where it is.
        `problem` says what was seen.
        """
        try:
            verdict, stuck, states = examine(self._look)
        except InfrastructureError as error:
            error.message = f"{problem}; {error.message} (is QEMU stopped?)"
            self._fail(error)
            return self._failure or self.death
        if stuck is not None:
            self._locked_up(stuck)
            return self.death or self._failure
        self._idle = verdict is Verdict.IDLE
        does = "wait for something to do" if self._idle else "are busy"
        self._notes = f"its CPUs {does}: {'; '.join(str(state) for state in states)}"
        return None

    def _look(self) -> list[CpuState]:
        line = {"command-line": "info registers -a"}
        return parse_registers(self.monitor.execute("human-monitor-command", _LOOK, **line))

    def _locked_up(self, cpu: CpuState) -> None:
        """Take it that `cpu` hangs: let an NMI tell where, and end the guest's life."""
        with self._changed:
            self._stuck = cpu
        with contextlib.suppress(InfrastructureError):
            self.monitor.execute("inject-nmi")
        deadline = time.monotonic() + _NMI
        with self._changed:
            while time.monotonic() < deadline and not (self.death or self._failure):
                self._changed.wait(_POLL)
        title = f"hard lockup, and no answer to an NMI: {cpu}"
        lines = self.console.tail()
        kind = Kind.HARD_LOCKUP
        self._die(GuestDied(kind.outcome, title, lines=lines, kind=kind))

    def _give_up(self, title: str) -> None:
        lines = self.console.tail()
        if self.examine(title) is None:
            what = f"{title}; {self._notes}"
            self._die(GuestDied(Outcome.KERNEL_BOOT_TIMEOUT, what, lines=lines, kind=Kind.IDLE))

    def _said_ready(self) -> None:
        with self._changed:
            self._ready = True
            self._changed.notify_all()

    def _report(self, report: Report) -> None:
        if not report.fatal:
            self.warnings.append(report)
            return
        with self._changed:
            if self._told:
                return
            # Decoding takes a moment, in which the machine's reset must not pass for its death.
            self._told = True
        if self._stuck is not None and report.kind is Kind.PANIC:
            report = lockup_of(report, self._stuck)
        self._die(death_of(report, self._decoder()), told=True)

    def _decoder(self) -> Decoder:
        return decoder_for(self.kernel, self.modules)

    def _event(self, name: str, data: dict[str, Any]) -> None:
        """Take an event of QEMU's: a machine that stopped by itself is dead, word or no word."""
        if name == "SHUTDOWN" and data.get("guest"):
            kind, title = _LAST_EVENTS.get(
                str(data.get("reason")), (Kind.RESET, "the machine stopped")
            )
            timer = threading.Timer(_DRAIN, self._stopped, [title, kind])
            timer.daemon = True
            timer.start()

    def _stopped(self, title: str, kind: Kind = Kind.POWER_OFF) -> None:
        self.console.settle()
        self._die(GuestDied(Outcome.KERNEL_LOST, title, lines=self.console.tail(), kind=kind))

    def _unwritable(self, error: OSError) -> InfrastructureError:
        return InfrastructureError(
            Outcome.INFRA_DISK,
            f"can't keep what the boot says in {self.folder}: {error.strerror}",
            hint="make room on that disk",
        )

    def _console_ended(self) -> None:
        if self._ending or self._process is None:
            return
        status = self._process.ended()
        said = self._process.errors()
        if status == 0 and not said:
            title = "QEMU ended without a word from the kernel"
            lines = self.console.tail()
            self._die(GuestDied(Outcome.KERNEL_LOST, title, lines=lines, kind=Kind.QEMU_EXIT))
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

    def _die(self, death: GuestDied, *, told: bool = False) -> None:
        with self._changed:
            if self._told and not told:
                return
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

    def _leave(self) -> None:
        """Keep what tells of the guest's death, while its memory is there."""
        if self.death is None:
            return
        notes = [self._notes] if self._notes else []
        if self.dump_on_crash and self._monitor is not None:
            try:
                dump = dump_memory(self._monitor, self.folder, self.machine.memory_mib)
                notes.append(f"memory: {dump.name}")
            except (InfrastructureError, OSError) as error:
                notes.append(f"memory not dumped: {error}")
        by_hand = shlex.split((self.folder / "argv").read_text(encoding="utf-8"))
        write_bundle(self.folder, self.death, self.again or by_hand, "; ".join(notes))

    def _end(self) -> None:
        with self._changed:
            ended, self._ending = self._ending, True
        if not ended:
            with contextlib.suppress(OSError):
                self._leave()
        if self._process is not None:
            self._process.kill()
        self._stack.close()

    def _probe(self) -> str:
        """Try this kernel with KVM; return what goes wrong, "" if nothing does."""
        from harness.guest.guest import Guest

        with private_folder() as folder:
            guest = Guest(
                self.kernel,
                self.image,
                self.machine,
                folder,
                boot_limit=PROBE_LIMIT,
                silence_limit=PROBE_SILENCE,
                accelerator="kvm",
            )
            try:
                with guest:
                    return ""
            except (GuestDied, InfrastructureError) as error:
                return str(error).splitlines()[0]


def memory_file(name: str, user: pwd.struct_passwd | None) -> int:
    """Return a descriptor of a file in memory alone that `user` may open again by path."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    if user is not None:
        os.fchown(descriptor, user.pw_uid, user.pw_gid)
    os.fchmod(descriptor, 0o600)
    return descriptor
