# SPDX-License-Identifier: GPL-2.0-or-later
"""Batches: steps baked into a guest's image, whose results leave through a port of their own."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import paths
from harness.errors import GuestDied, InfrastructureError, PatchbedError
from harness.guest import qemu
from harness.guest.archive import Entry, pack, regular
from harness.guest.assembly import Assembly
from harness.guest.follower import Follower
from harness.guest.framing import Decoder, Frame
from harness.guest.image import AGENT, PLAN
from harness.guest.life import Life, memory_file
from harness.guest.machine import Machine
from harness.guest.programs import build_programs
from harness.guest.script import ScriptResult, Step
from harness.guest.speed import scaled
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from harness.kernel.artifact import Kernel

_AGENT = "patchbed-batch"
_POLL = 0.1
# How long the guest may take from its last frame until it is off, and to stop when it has died.
_OFF = 20.0
_STOP = 5.0
# What a step may take beyond its limit until its end is told: the agent ends it by and by.
_GRACE = 15.0
# An instruction counts as a nanosecond, and takes several under TCG on a busy host.
_SLOWEST = 40.0


class Batch(Life):
    """A guest that does `steps` and nothing else; enter it, and `wait`.

    `folder` gets console.log, argv, config, plan.cpio (what the image has more than the plain
    one) and results.raw (the frames as they came). The other arguments are those of `Life`. On a
    deterministic machine console.log and results.raw depend on kernel, image, steps, kernel
    arguments, QEMU and `world` alone.
    """

    def __init__(
        self,
        kernel: Kernel,
        image: Path,
        machine: Machine,
        steps: Sequence[Step],
        folder: Path,
        *,
        boot_limit: float = 60.0,
        silence_limit: float = 60.0,
        accelerator: str = "auto",
        kernel_args: Sequence[str] = (),
        world: int = 0,
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
            world=world,
        )
        self.steps = tuple(steps)
        self._listen: Callable[[Frame], None] | None = None
        self._framing = Decoder()
        self._assembly = Assembly(steps)
        self._results: Follower | None = None
        self._raw = -1
        self._off = False
        self._since = 0.0
        self._slowness = 1.0

    def wait(self, listen: Callable[[Frame], None] | None = None) -> ScriptResult:
        """Return what came of the steps, once the guest is off or dead; its memory is still there.

        `listen` hears of each frame as it comes. Nothing is raised for what becomes of the guest:
        `ScriptResult.check` does.
        """
        with self._changed:
            self._listen = listen
        error: PatchbedError | None = None
        try:
            self._await_off()
        except PatchbedError as problem:
            error = problem
            self._await(lambda: self._off, _STOP if isinstance(problem, GuestDied) else 0.0)
        assert self._results is not None  # noqa: S101
        self._results.settle()
        with self._changed:
            return self._assembly.result(error)

    def _boot(self) -> None:
        self._slowness = scaled(_SLOWEST if self.machine.deterministic else 1.0, self.accelerator)
        ours, theirs = socket.socketpair()
        self._stack.callback(ours.close)
        overlay = plan_archive(self.steps, (programs() / _AGENT).read_bytes())
        self._raw = os.open(self.folder / "results.raw", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._stack.callback(os.close, self._raw)
        with ExitStack() as passed:
            passed.callback(theirs.close)
            kernel = os.open(self._kernel_file(), os.O_RDONLY)
            passed.callback(os.close, kernel)
            initrd = self._memory(passed, "initrd", joined(self.image.read_bytes(), overlay))
            results = self._memory(self._stack, "results")
            console = self._memory(self._stack, "console") if self.machine.deterministic else -1
            files = qemu.Files(
                _path(kernel),
                _path(initrd),
                monitor=theirs.fileno(),
                console=_path(console) if console >= 0 else "",
                results=_path(results),
            )
            inherit = [fd for fd in (kernel, initrd, results, console) if fd >= 0]
            process = self._start(files, [*inherit, theirs.fileno()])
            self._watch(process.console if console < 0 else self._piped(console, process.pid))
        self._results = Follower(results, process.pid, self._take)
        self._stack.enter_context(self._results)
        (self.folder / "plan.cpio").write_bytes(overlay)
        self._keep_facts(f"{self.image}+plan.cpio")
        self._open_monitor(ours)

    def _memory(self, stack: ExitStack, name: str, data: bytes = b"") -> int:
        descriptor = memory_file(f"patchbed-{name}", self._user)
        stack.callback(os.close, descriptor)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        return descriptor

    def _piped(self, file: int, pid: int) -> int:
        """Return the end of a pipe into which goes what is written to `file`."""
        out, into = os.pipe()
        self._stack.callback(os.close, out)

        def take(data: bytes) -> None:
            view = memoryview(data)
            while view:
                view = view[os.write(into, view) :]
            if not data:
                os.close(into)

        self._stack.enter_context(Follower(file, pid, take))
        return out

    def _take(self, data: bytes) -> None:
        items = self._framing.feed(data) if data else self._framing.close()
        if data:
            self._keep(data)
        with self._changed:
            for item in items:
                self._assembly.take(item)
                if not isinstance(item, Frame):
                    continue
                if item.kind in ("hello", "begin", "bye"):
                    self._since = time.monotonic()
                if item.kind == "hello":
                    self.seconds_to_ready = self._since - self._started
                if self._listen is not None:
                    self._listen(item)
            if items:
                self._changed.notify_all()

    def _keep(self, data: bytes) -> None:
        try:
            os.write(self._raw, data)
        except OSError as error:
            self._fail(
                InfrastructureError(
                    Outcome.INFRA_DISK,
                    f"{self.folder / 'results.raw'} can't be written: {error.strerror}",
                    hint="make room there",
                )
            )

    def _event(self, name: str, data: dict[str, Any]) -> None:
        """Take an event of QEMU's: to power off is what a batch does at its end."""
        if name == "SHUTDOWN" and data.get("guest"):
            with self._changed:
                self._off = True
                self._changed.notify_all()
            if data.get("reason") == "guest-shutdown":
                return
        super()._event(name, data)

    def _await_off(self) -> None:
        with self._changed:
            while not self._off:
                self.check()
                self._keep_limits()
                self._changed.wait(_POLL)
        assert self._results is not None  # noqa: S101
        self._results.settle()
        if not self._assembly.complete:
            # What the kernel died of is being read from the console; if it is nothing, say so.
            self._explain()
            self._stopped("the guest ended before its batch did")
            self.check()

    def _keep_limits(self) -> None:
        now = time.monotonic()
        if not self._assembly.begun:
            if now - self._started > self.boot_limit:
                self._give_up(f"no batch begun within {self.boot_limit:g} s")
            elif now - self.console.last_byte > self.silence_limit:
                self._give_up(f"not a word on the console for {self.silence_limit:g} s")
            return
        step = self._assembly.current
        if step is None:
            limit, what = _OFF, "its batch was done" if self._assembly.complete else "it began"
        else:
            limit = step.limit + _GRACE if step.limit else 0.0
            what = f"step {step.name!r} began, which may take {step.limit:g} s"
        limit *= self._slowness
        if limit and now - self._since > limit:
            title = f"no word from the guest for {limit:g} s after {what}"
            self._die(GuestDied(Outcome.KERNEL_LOST, title, lines=self.console.tail()))

    def _await(self, met: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            while not met() and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)


def run_batch(
    kernel: Kernel,
    image: Path,
    machine: Machine,
    steps: Sequence[Step],
    folder: Path,
    *,
    listen: Callable[[Frame], None] | None = None,
    accelerator: str = "auto",
    kernel_args: Sequence[str] = (),
    world: int = 0,
) -> ScriptResult:
    """Boot, have `steps` done, and return what came of them; see `Batch`.

    Raises:
        UserError: the machine can't do what is asked of it.
        InfrastructureError: QEMU can't be started; what happens later is in the result.
    """
    batch = Batch(
        kernel,
        image,
        machine,
        steps,
        folder,
        accelerator=accelerator,
        kernel_args=kernel_args,
        world=world,
    )
    with batch:
        return batch.wait(listen)


def programs() -> Path:
    """Return the folder with the programs of the guest that are ours; see `build_programs`."""
    return build_programs(paths.INIT.parent)


def plan_archive(steps: Sequence[Step], agent: bytes) -> bytes:
    """Return what an image needs to do `steps`: the agent, and a folder a step."""
    entries: dict[str, Entry] = {AGENT.lstrip("/"): regular(agent, executable=True)}
    for number, step in enumerate(steps, start=1):
        parts = {
            "command": step.command.encode() + b"\n",
            "name": step.name.encode(),
            "limit": f"{step.limit:g}".encode(),
            "files": "\n".join(step.files).encode(),
        }
        if step.stdin:
            parts["stdin"] = step.stdin
        entries |= {
            f"{PLAN.lstrip('/')}/{number}/{name}": regular(data) for name, data in parts.items()
        }
    return pack(entries)


def joined(image: bytes, archive: bytes) -> bytes:
    """Return `image` with a plain archive after it.

    The kernel unpacks one after the other, skips zeros between, and wants a plain archive at a
    multiple of four (init/initramfs.c, `unpack_to_rootfs`).
    """
    return image + bytes(-len(image) % 4) + archive


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
