# SPDX-License-Identifier: GPL-2.0-or-later
"""One boot for a person: a command in a guest, or a shell."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import GuestDied, PatchbedError, UserError
from harness.guest.guest import Guest
from harness.guest.image import boot_files, build_image
from harness.guest.machine import load_machine
from harness.kernel.builder import obtain
from harness.kernel.variant import parse
from harness.outcomes import Outcome

if TYPE_CHECKING:
    from harness.events import Event, Listener

_SHOWN_LINES = 24


@dataclass(frozen=True)
class BootRequest:
    """What the command line asks for; limits are in seconds, 0 is none.

    Without a `command` it is a shell where standard input is a terminal, else what comes from
    there is run as a script.
    """

    variant: str
    profile: str = "fast"
    machine: str = "q35-4g"
    command: tuple[str, ...] = ()
    accelerator: str = "auto"
    timeout: float = 0.0
    boot_timeout: float = 60.0
    console_log: Path | None = None
    kernel_args: tuple[str, ...] = ()
    as_json: bool = False


def execute_boot(request: BootRequest) -> int:
    """Boot, run the command, end the guest; return the command's status.

    The command's output goes to ours as it comes; with `as_json` it is part of the one object
    that is printed.

    Raises:
        PatchbedError: there is no such variant or machine, it can't be built, or the host fails.
    """
    machine = load_machine(request.machine)
    with _progress() as listen:
        kernel = obtain(parse(request.variant), request.profile, listen=listen)
    image = build_image(boot_files(kernel))
    with tempfile.TemporaryDirectory(prefix="patchbed-boot-") as name:
        folder = Path(name)
        _keep_console(folder, request.console_log)
        guest = Guest(
            kernel,
            image,
            machine,
            folder,
            boot_limit=request.boot_timeout,
            silence_limit=request.boot_timeout,
            accelerator=request.accelerator,
            kernel_args=request.kernel_args,
            keep_log=False,
        )
        facts: dict[str, Any] = {
            "variant": request.variant,
            "profile": request.profile,
            "machine": request.machine,
            "kernel": kernel.key,
            "release": kernel.release,
            "command": list(request.command),
        }
        facts |= _live(guest, request)
    if request.as_json:
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
    return int(facts["exit_code"])


def command_line(words: tuple[str, ...]) -> str:
    """Return the shell's line for a command's words; one word alone is a line already."""
    if not words:
        return "sh"
    return words[0] if len(words) == 1 else shlex.join(words)


def _live(guest: Guest, request: BootRequest) -> dict[str, Any]:
    """Do it; return the facts for the JSON object."""
    facts: dict[str, Any] = {"stdout": "", "stderr": ""}
    try:
        with guest:
            facts["exit_code"] = facts["status"] = _command(guest, request, facts)
        facts["outcome"] = Outcome.PASS if facts["status"] == 0 else Outcome.FAIL
    except PatchbedError as error:
        if isinstance(error, UserError):
            raise
        facts |= {"outcome": error.outcome, "title": error.message, "status": None}
        facts["exit_code"] = int(error.exit_code)
        lines = error.lines if isinstance(error, GuestDied) else ()
        facts["lines"] = list(lines)
        _say(error, lines[:_SHOWN_LINES])
    facts |= {
        "accelerator": guest.accelerator,
        "accelerator_reason": guest.accelerator_reason,
        "seconds_to_ready": round(guest.seconds_to_ready, 3),
        "warnings": [report.title for report in guest.warnings],
    }
    return facts


def _command(guest: Guest, request: BootRequest, facts: dict[str, Any]) -> int:
    if not request.command and sys.stdin.isatty() and not request.as_json:
        from harness.guest.terminal import interact

        return interact(guest.shell)
    kept = (bytearray(), bytearray())
    sinks = [kept[0].extend, kept[1].extend] if request.as_json else [_writer(1), _writer(2)]
    stdin = -1 if sys.stdin is None or sys.stdin.isatty() else sys.stdin.fileno()
    limit = request.timeout or float("inf")
    try:
        with guest.start(command_line(request.command)) as process:
            return process.stream(limit, sinks[0], sinks[1], stdin)
    finally:
        facts["stdout"], facts["stderr"] = (part.decode(errors="replace") for part in kept)


def _writer(descriptor: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


def _say(error: PatchbedError, lines: tuple[str, ...]) -> None:
    indented = "".join(f"  {line}\n" for line in lines)
    sys.stderr.write(f"patchbed: {error.outcome}: {error}\n{indented}")


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
