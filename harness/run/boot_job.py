# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot for a person: a command in a guest, or a shell."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import GuestDied, PatchbedError, UserError
from harness.guest.image import boot_files, build_image
from harness.guest.machine import Machine
from harness.guest.scratch import private_folder
from harness.guest.speed import scaled
from harness.outcomes import Outcome
from harness.paths import PROJECT, SETTINGS
from harness.run.ground import Ground, find_ground

if TYPE_CHECKING:
    from harness.events import Event, Listener
    from harness.guest.framing import Frame
    from harness.guest.guest import Guest
    from harness.guest.life import Life

DETERMINISTIC = "deterministic"
_SHOWN_LINES = 24
_SHOWN_FRAMES = 16


@dataclass(frozen=True)
class BootRequest:
    """What the command line asks for; limits are in seconds, 0 is none.

    Without a `command` it is a shell where standard input is a terminal, else what comes from
    there is run as a script. `boot_timeout` 0 stands for the limits `boot` and `silence`, scaled
    to the host's speed. With `batch`, and always on a deterministic machine, the command is baked
    into the image. With `snapshot` the guest is restored from one, which is made if need be.

    With `console` a person gets the serial console instead of a shell, with `gdb` ("now", or
    "wait" for a guest that stands still until then) a debugger's socket. The boot's files are
    kept in `bundle`, with `dump_on_crash` the memory of a guest that dies too. `settings` is the
    patchbed.toml that names bases, limits and where series are.
    """

    variant: str
    profile: str = "fast"
    machine: str = "q35-4g"
    command: tuple[str, ...] = ()
    accelerator: str = "auto"
    timeout: float = 0.0
    boot_timeout: float = 0.0
    console_log: Path | None = None
    kernel_args: tuple[str, ...] = ()
    world: int = 0
    batch: bool = False
    snapshot: bool = False
    as_json: bool = False
    console: bool = False
    gdb: str = ""
    bundle: Path | None = None
    dump_on_crash: bool = False
    settings: Path = PROJECT / SETTINGS


def execute_boot(request: BootRequest) -> int:
    """Boot, run the command, end the guest; return the command's status.

    The command's output goes to ours as it comes; with `as_json` it is part of the one object
    that is printed.

    Raises:
        PatchbedError: there is no such variant or machine, it can't be built, or the host fails.
    """
    with _progress() as listen:
        ground = find_ground(
            request.variant,
            request.profile,
            request.machine,
            request.settings,
            check=lambda machine: check_request(request, machine),
            listen=listen,
        )
    kernel = ground.kernel
    image = build_image(boot_files(kernel))
    facts: dict[str, Any] = {
        "variant": request.variant,
        "profile": request.profile,
        "machine": request.machine,
        "kernel": kernel.key,
        "release": kernel.release,
        "command": list(request.command),
    }
    with _folder(request) as folder:
        _keep_console(folder, request.console_log)
        if request.batch or ground.machine.deterministic:
            facts |= _batch(ground, image, folder, request)
        else:
            facts |= _interactive(ground, image, folder, request)
    if request.as_json:
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
    return int(facts["exit_code"])


def check_request(request: BootRequest, machine: Machine) -> None:
    """Raise UserError for what the machine can't do."""
    if request.world and not machine.deterministic:
        raise UserError(
            f"machine {request.machine!r} has no worlds",
            hint=f"take --machine {DETERMINISTIC}, or leave --machine out",
        )
    if request.snapshot and request.batch:
        raise UserError("a batch is part of its image: no snapshot has it", hint="drop --snapshot")
    if request.snapshot and request.gdb:
        raise UserError("a debugger wants the whole boot", hint="drop --snapshot")
    if request.gdb not in ("", "now", "wait"):
        raise UserError(f"no way to debug {request.gdb!r}", hint="choose from: --gdb, --gdb=wait")
    if (request.gdb or request.console) and (
        request.batch or machine.deterministic or request.snapshot
    ):
        raise UserError(
            "a console and a debugger need a guest that boots and takes commands",
            hint="leave --batch, --world and --snapshot out",
        )
    if request.console and (request.command or request.as_json or not sys.stdin.isatty()):
        raise UserError(
            "--console is for a person at a terminal",
            hint="leave the command and --json out; --console-log keeps what is said",
        )
    if request.dump_on_crash and request.bundle is None:
        raise UserError(
            "--dump-on crash has nowhere to put the memory", hint="name a folder with --bundle"
        )
    if (request.batch or machine.deterministic) and not request.command:
        raise UserError(
            "a batch needs a command: nothing goes into its guest after the start",
            hint="name one after --, as in: patchbed boot debian-6.1 --world 1 -- uname -r",
        )


def again_argv(request: BootRequest) -> tuple[str, ...]:
    """Return the command that does the same again; () where a script came from elsewhere."""
    if not request.command:
        return ()
    argv = ["patchbed", "boot", request.variant, "--profile", request.profile]
    argv += ["--machine", request.machine, "--accel", request.accelerator]
    if request.world:
        argv += ["--world", str(request.world)]
    argv += ["--batch"] if request.batch else []
    argv += ["--snapshot"] if request.snapshot else []
    for name, value in (("timeout", request.timeout), ("boot-timeout", request.boot_timeout)):
        argv += [f"--{name}", f"{value:g}"] if value else []
    for word in request.kernel_args:
        argv += ["--kernel-arg", word]
    return (*argv, "--", *request.command)


def command_line(words: tuple[str, ...]) -> str:
    """Return the shell's line for a command's words; one word alone is a line already."""
    if not words:
        return "sh"
    return words[0] if len(words) == 1 else shlex.join(words)


def _limits(ground: Ground, request: BootRequest) -> dict[str, float]:
    if request.boot_timeout:
        return {"boot_limit": request.boot_timeout, "silence_limit": request.boot_timeout}
    return {"boot_limit": scaled(ground.boot), "silence_limit": scaled(ground.silence)}


def _interactive(ground: Ground, image: Path, folder: Path, request: BootRequest) -> dict[str, Any]:
    """Run the command in a guest that takes commands; return the facts for the JSON object."""
    from harness.guest.guest import Guest

    kernel, machine = ground.kernel, ground.machine
    options: dict[str, Any] = {
        "accelerator": request.accelerator,
        "kernel_args": request.kernel_args,
        "keep_log": False,
        **_limits(ground, request),
    }
    facts: dict[str, Any] = {"stdout": "", "stderr": "", "restored": request.snapshot}
    way: AbstractContextManager[Guest] = Guest(kernel, image, machine, folder, **options)
    if request.snapshot:
        from harness.guest.snapshot import restored

        def prepare(guest: Guest) -> None:
            _prepare(guest, request)

        way = restored(kernel, image, machine, folder, prepare=prepare, **options)
    guest = way if isinstance(way, Guest) else None
    if guest is not None:
        _prepare(guest, request)
    try:
        with way as guest:
            if request.snapshot:
                _prepare(guest, request)
            facts["exit_code"] = facts["status"] = _command(guest, request, facts)
        facts["outcome"] = Outcome.PASS if facts["status"] == 0 else Outcome.FAIL
    except PatchbedError as error:
        facts |= _trouble(error)
    return facts | (_circumstances(guest) if guest is not None else {})


def _batch(ground: Ground, image: Path, folder: Path, request: BootRequest) -> dict[str, Any]:
    """Run the command as a batch; return the facts for the JSON object."""
    from harness.guest.batch import Batch
    from harness.guest.script import Step

    step = Step("command", command_line(request.command), limit=request.timeout)
    batch = Batch(
        ground.kernel,
        image,
        ground.machine,
        [step],
        folder,
        accelerator=request.accelerator,
        kernel_args=request.kernel_args,
        world=request.world,
        **_limits(ground, request),
    )
    _prepare(batch, request)
    sinks, kept = _sinks(request)
    facts: dict[str, Any] = {"world": request.world}
    try:
        with batch:
            result = batch.wait(lambda frame: _hand_on(frame, sinks))
        result.check()
        done = result.steps[0]
        facts |= {"outcome": done.outcome, "status": None, "exit_code": 1}
        if done.completed is not None:
            facts["status"] = facts["exit_code"] = done.completed.status
        else:
            facts["title"] = "; ".join(done.problems)
            sys.stderr.write(f"patchbed: {done.outcome}: {facts['title']}\n")
    except PatchbedError as error:
        facts |= _trouble(error)
    return (
        facts
        | {name: part.decode(errors="replace") for name, part in kept.items()}
        | (_circumstances(batch))
    )


def _prepare(life: Life, request: BootRequest) -> None:
    """Let `life` leave what was asked for, and show itself to whoever wants to look inside."""
    from harness.guest.guest import Guest

    life.again = again_argv(request)
    life.dump_on_crash = request.dump_on_crash
    if not isinstance(life, Guest):
        return
    if request.gdb:
        from harness.guest import gdb
        from harness.guest.decode import decoder_for
        from harness.kernel.cache import default_cache
        from harness.kernel.trees import SOURCE

        life.debugger = life.folder.resolve() / gdb.SOCKET
        life.halted = request.gdb == "wait"
        # Whoever debugs stops the guest for as long as it takes.
        life.lockup_limit = 0.0
        life.boot_limit = life.silence_limit = float("inf")
        if life.machine.boot == "bzimage":
            life.kernel_args = (*life.kernel_args, "nokaslr")
        sources = default_cache().trees / life.kernel.key / SOURCE
        decoder = decoder_for(life.kernel)
        text = gdb.describe(
            life.kernel.debug_vmlinux, decoder, life.debugger, sources, waits=life.halted
        )
        sys.stderr.write(f"{text}\n")
    if request.console:
        life.on_console = _writer(1)


def _hand_on(frame: Frame, sinks: dict[str, Callable[[bytes], None]]) -> None:
    """Write what a batch says; that nobody listens any more does not end it."""
    if frame.kind in sinks:
        with contextlib.suppress(BrokenPipeError):
            sinks[frame.kind](frame.payload)


def _trouble(error: PatchbedError) -> dict[str, Any]:
    """Say what went wrong, and return it for the JSON object."""
    if isinstance(error, UserError):
        raise error
    if isinstance(error, GuestDied):
        return _death(error)
    sys.stderr.write(f"patchbed: {error.outcome}: {error}\n")
    return {
        "outcome": error.outcome,
        "title": error.message,
        "status": None,
        "exit_code": int(error.exit_code),
        "lines": [],
    }


def _death(death: GuestDied) -> dict[str, Any]:
    """Say what a guest died of, and return it for the JSON object."""
    where = f"in {death.function}, " if death.function else ""
    head = [f"{where}{death.kind} {death.fingerprint}"] if death.fingerprint else []
    stack = [f"  {line}" for line in death.stack[:_SHOWN_FRAMES]]
    shown = "".join(f"  {line}\n" for line in (*head, *stack, *death.lines[:_SHOWN_LINES]))
    sys.stderr.write(f"patchbed: {death.outcome}: {death}\n{shown}")
    return {
        **death.facts(),
        "status": None,
        "exit_code": int(death.exit_code),
        "lines": list(death.lines),
    }


def _circumstances(life: Life) -> dict[str, Any]:
    return {
        "accelerator": life.accelerator,
        "accelerator_reason": life.accelerator_reason,
        "seconds_to_ready": round(life.seconds_to_ready, 3),
        "warnings": [report.title for report in life.warnings],
    }


def _command(guest: Guest, request: BootRequest, facts: dict[str, Any]) -> int:
    if request.console:
        from harness.guest import serial

        serial.interact(guest)
        return 0
    if not request.command and sys.stdin.isatty() and not request.as_json:
        from harness.guest.terminal import interact

        return interact(guest.shell)
    sinks, kept = _sinks(request)
    stdin = -1 if sys.stdin is None or sys.stdin.isatty() else sys.stdin.fileno()
    limit = request.timeout or float("inf")
    try:
        with guest.start(command_line(request.command)) as process:
            return process.stream(limit, sinks["out"], sinks["err"], stdin)
    finally:
        facts |= {name: part.decode(errors="replace") for name, part in kept.items()}


def _sinks(
    request: BootRequest,
) -> tuple[dict[str, Callable[[bytes], None]], dict[str, bytearray]]:
    """Return where output goes by stream, and what is kept of it for the JSON object."""
    kept = {"stdout": bytearray(), "stderr": bytearray()}
    if request.as_json:
        return {"out": kept["stdout"].extend, "err": kept["stderr"].extend}, kept
    return {"out": _writer(1), "err": _writer(2)}, kept


def _writer(descriptor: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


@contextlib.contextmanager
def _folder(request: BootRequest) -> Iterator[Path]:
    """Give the boot's folder: the one that was asked for, or one that is gone afterwards."""
    if request.bundle is None:
        with private_folder() as folder:
            yield folder
        return
    folder = request.bundle
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty", hint="choose another --bundle")
        folder.chmod(0o700)
    except OSError as error:
        raise UserError(
            f"{folder} can't be used: {error.strerror}", hint="choose another --bundle"
        ) from error
    yield folder


def _keep_console(folder: Path, log: Path | None) -> None:
    """Let the console be written to `log` from the start, not copied there at the end."""
    if log is None:
        return
    try:
        log.write_bytes(b"")
    except OSError as error:
        raise UserError(
            f"{log} can't be written: {error.strerror}", hint="choose another --console-log"
        ) from error
    (folder / "console.log").symlink_to(log.resolve())


@contextlib.contextmanager
def _progress() -> Iterator[Listener]:
    """Show a build's progress; costs nothing where nothing is built."""
    with contextlib.ExitStack() as stack:
        shown: list[Listener] = []

        def listen(event: Event) -> None:
            if not shown:
                from harness.report.progress import Progress

                shown.append(stack.enter_context(Progress()))
            shown[0](event)

        yield listen
