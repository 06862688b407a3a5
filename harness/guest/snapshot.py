# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots: a guest booted once and saved when it takes commands, restored as often as wanted.

The guest's memory lies in a file that restored guests map privately, so that nothing is read
before it is used; the rest of its state goes through QEMU's migration, which leaves shared memory
out ("x-ignore-shared"). A snapshot holds for one boot of the host: nothing is synced to its disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from harness import paths
from harness.errors import GuestDied, InfrastructureError, UserError
from harness.guest import qemu
from harness.guest.accelerator import host
from harness.guest.archive import pack, regular
from harness.guest.batch import joined, programs
from harness.guest.guest import Guest, import_shell
from harness.guest.image import RESUME
from harness.guest.machine import Machine
from harness.guest.tsc import tsc_khz
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from harness.guest.keys import BootKeys
    from harness.kernel.artifact import Kernel

_FORMAT = 1
_IGNORE_SHARED = [{"capability": "x-ignore-shared", "state": True}]
# What QEMU calls the descriptor that the state goes through.
_STATE = "state"
_LIMIT = 20.0
_STEP = 0.005
# A snapshot of 4 GiB takes 180 MB of disk: so many are kept, the last used ones.
KEPT = 8
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in the cache: memory, state, initrd, keys and console.log of its boot."""

    folder: Path

    @property
    def memory(self) -> Path:
        return self.folder / "memory"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    def seal(self) -> None:
        """Write down what the files are now, by which damage is told later."""
        (self.folder / "meta.json").write_text(json.dumps(self._facts()), encoding="utf-8")

    def problem(self) -> str:
        """Return what is wrong with it, "" if nothing is."""
        try:
            facts = json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))
            now = self._facts()
        except (OSError, ValueError) as error:
            return str(error)
        changed = [name for name, fact in now.items() if facts.get(name) != fact]
        return f"changed since it was made: {', '.join(changed)}" if changed else ""

    def _facts(self) -> dict[str, Any]:
        # Gigabytes are not read again; whoever writes there leaves a date.
        memory = self.memory.stat()
        small = (self.state, self.initrd, self.keys)
        return {
            "memory": [memory.st_size, memory.st_mtime_ns],
            **{path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in small},
        }


def check_machine(machine: Machine) -> None:
    """Raise UserError for a machine that can't be saved."""
    if machine.deterministic or machine.nodes > 1 or machine.disk_mib:
        raise UserError(
            "a machine that is deterministic, or has nodes or a disk, can't be restored from a"
            " snapshot",
            hint="boot it afresh: --fresh-boot",
        )


@contextlib.contextmanager
def restored(
    kernel: Kernel,
    image: Path,
    machine: Machine,
    folder: Path,
    *,
    accelerator: str = "auto",
    kernel_args: Sequence[str] = (),
    warn: Callable[[str], None] | None = None,
    prepare: Callable[[Guest], None] | None = None,
    **options: Any,  # noqa: ANN401
) -> Iterator[RestoredGuest]:
    """Give a guest restored from a snapshot, which is made first if there is none.

    `options` are those of `Guest`; `prepare` gets the guest before it starts. A snapshot that is
    damaged or that QEMU can't load is made anew, of which `warn` gets a line.

    Raises:
        UserError: the machine can't be saved.
        GuestDied: the kernel died while it booted, or later.
        InfrastructureError: QEMU can't be started, or broke.
    """
    check_machine(machine)
    say = warn or _say
    boot = SnapshotBoot(
        kernel, image, machine, folder, accelerator=accelerator, kernel_args=kernel_args, **options
    )

    def restore(snapshot: Snapshot) -> RestoredGuest:
        guest = RestoredGuest(boot, snapshot)
        if prepare is not None:
            prepare(guest)
        return stack.enter_context(guest)

    with ExitStack() as stack:
        snapshot = obtain(boot, say)
        try:
            guest = restore(snapshot)
        except (GuestDied, InfrastructureError) as error:
            say(f"the snapshot can't be restored ({error.message}); it is made anew")
            discard(snapshot)
            guest = restore(obtain(boot, say))
        yield guest


def obtain(boot: SnapshotBoot, warn: Callable[[str], None]) -> Snapshot:
    """Return the snapshot of what `boot` boots, from the cache or made now.

    Raises: as `restored` does.
    """
    root = paths.cache() / "snapshots"
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        resume = (programs() / "patchbed-resume").read_bytes()
        initrd = joined(
            boot.image.read_bytes(), pack({RESUME.lstrip("/"): regular(resume, executable=True)})
        )
        snapshot = Snapshot(root / boot.key(initrd))
        with FileLock(root / f"{snapshot.folder.name}.lock"):
            problem = snapshot.problem() if snapshot.folder.is_dir() else "none"
            if problem and problem != "none":
                warn(f"the snapshot is damaged ({problem}); it is made anew")
                discard(snapshot)
            if problem:
                _make(boot, initrd, root, snapshot)
        os.utime(snapshot.folder)
    except OSError as error:
        raise InfrastructureError(
            Outcome.INFRA_DISK, f"can't keep a snapshot: {error}", hint=f"is there room in {root}?"
        ) from error
    return snapshot


def discard(snapshot: Snapshot) -> None:
    """Remove a snapshot; guests that were restored from it go on."""
    shutil.rmtree(snapshot.folder, ignore_errors=True)


def _make(boot: SnapshotBoot, initrd: bytes, root: Path, snapshot: Snapshot) -> None:
    others = sorted(
        (path for path in root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    for old in others[: max(0, len(others) - KEPT + 1)]:
        discard(Snapshot(old))
    with tempfile.TemporaryDirectory(dir=root, prefix=".new-") as name:
        aside = Snapshot(Path(name) / "snapshot")
        aside.folder.mkdir(mode=0o700)
        aside.initrd.write_bytes(initrd)
        SnapshotBoot(**boot.arguments() | {"keep_log": False}).save_to(aside)
        aside.seal()
        aside.folder.rename(snapshot.folder)


class SnapshotBoot(Guest):
    """The boot of a guest that is to be saved; `save_to` does it."""

    _target: Snapshot | None = None

    def key(self, initrd: bytes) -> str:
        """Return what tells this snapshot from others: all that its guest depends on."""
        files = qemu.Files("kernel", "initrd")
        parts = [
            _FORMAT,
            self.kernel.key,
            hashlib.sha256(initrd).hexdigest(),
            qemu.qemu_argv(
                files, self.machine, self._choose().name, self.kernel_args, tsc_khz=tsc_khz()
            ),
            host(),
            _BOOT_ID.read_text(encoding="ascii"),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def arguments(self) -> dict[str, Any]:
        """Return what makes another one like it; a guest lives only once."""
        return {
            "kernel": self.kernel,
            "image": self.image,
            "machine": self.machine,
            "folder": self.folder,
            "boot_limit": self.boot_limit,
            "silence_limit": self.silence_limit,
            "accelerator": self._wanted,
            "kernel_args": self.kernel_args,
            "keep_log": self.keep_log,
        }

    def save_to(self, snapshot: Snapshot) -> None:
        """Boot with the snapshot's initrd, save to it, and end. Raises as `__enter__` does."""
        self._target = snapshot
        self.image = snapshot.initrd
        with self:
            pass
        shutil.copyfile(self.folder / "console.log", snapshot.folder / "console.log")

    def _boot(self) -> None:
        assert self._target is not None  # noqa: S101
        ours, theirs = socket.socketpair()
        self._stack.callback(ours.close)
        keys = self._start_qemu(theirs)
        self._keep_facts(str(self.image))
        self._open_monitor(ours)
        self._await_ready()
        self._save(self._target, keys)

    def _complete(self, files: qemu.Files, passed: ExitStack) -> tuple[qemu.Files, list[int]]:
        assert self._target is not None  # noqa: S101
        memory = os.open(self._target.memory, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        passed.callback(os.close, memory)
        os.ftruncate(memory, self.machine.memory_mib << 20)
        if self._user is not None:
            # QEMU opens it again by its descriptor; the folder lets nobody else near.
            os.fchown(memory, self._user.pw_uid, self._user.pw_gid)
        return replace(files, memory=f"/proc/self/fd/{memory}", shared=True), [memory]

    def _save(self, snapshot: Snapshot, keys: BootKeys) -> None:
        from harness.guest.keys import save_keys

        snapshot.keys.touch(mode=0o600)
        snapshot.keys.write_bytes(save_keys(keys))
        state = os.open(snapshot.state, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self.monitor.execute("stop")
            self.monitor.execute("migrate-set-capabilities", capabilities=_IGNORE_SHARED)
            self.monitor.hand_over(_STATE, state)
            self.monitor.execute("migrate", uri=f"fd:{_STATE}")
            self._await_status("query-migrate", ("completed",), ("failed", "cancelled"))
        finally:
            os.close(state)

    def _await_status(self, query: str, good: Sequence[str], bad: Sequence[str]) -> None:
        """Ask until the answer is a `good` one."""
        deadline = time.monotonic() + _LIMIT
        while (status := self.monitor.execute(query).get("status")) not in good:
            self.check()
            if status in bad or time.monotonic() > deadline:
                raise InfrastructureError(Outcome.INFRA_QEMU, f"QEMU's {query} says {status}")
            time.sleep(_STEP)


class RestoredGuest(SnapshotBoot):
    """A guest restored from `snapshot`, otherwise as `boot` says: it is ready at once.

    Its clock is set and its random numbers are its own. `folder` gets what the kernel said before
    it was saved as console-before.log; console.log goes on from there.
    """

    def __init__(self, boot: SnapshotBoot, snapshot: Snapshot) -> None:
        super().__init__(**boot.arguments())
        self.snapshot = snapshot
        self.image = snapshot.initrd

    def _boot(self) -> None:
        thread = threading.Thread(target=import_shell, name="imports", daemon=True)
        ours, theirs = socket.socketpair()
        self._stack.callback(ours.close)
        keys = self._start_qemu(theirs)
        thread.start()
        self._keep_facts(str(self.image))
        before = self.snapshot.folder / "console.log"
        if before.is_file():
            shutil.copyfile(before, self.folder / "console-before.log")
        self._open_monitor(ours)
        self._load()
        self._open_shell(keys)
        self._wake_up()
        self.seconds_to_ready = time.monotonic() - self._started
        if self.lockup_limit:
            self._stack.enter_context(self._lockup_watch())

    def _complete(self, files: qemu.Files, passed: ExitStack) -> tuple[qemu.Files, list[int]]:
        memory = os.open(self.snapshot.memory, os.O_RDWR)
        passed.callback(os.close, memory)
        return replace(files, memory=f"/proc/self/fd/{memory}", incoming=True), [memory]

    def _make_keys(self) -> BootKeys:
        from harness.guest.keys import load_keys

        try:
            return load_keys(self.snapshot.keys.read_bytes())
        except (OSError, ValueError) as error:
            raise InfrastructureError(Outcome.INFRA_DISK, f"its keys: {error}") from error

    def _load(self) -> None:
        state = os.open(self.snapshot.state, os.O_RDONLY)
        try:
            self.monitor.execute("migrate-set-capabilities", capabilities=_IGNORE_SHARED)
            self.monitor.hand_over(_STATE, state)
            self.monitor.execute("migrate-incoming", uri=f"fd:{_STATE}")
            self._await_status("query-status", ("paused", "running"), ())
        finally:
            os.close(state)
        self.monitor.execute("cont")

    def _wake_up(self) -> None:
        done = self.run(f"{RESUME} {time.time():.6f}", stdin=os.urandom(64))
        if done.status != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise InfrastructureError(Outcome.INFRA_QEMU, f"the restored guest: {said}")


def _say(text: str) -> None:
    sys.stderr.write(f"patchbed: {text}\n")
