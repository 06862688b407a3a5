# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed boot`: one guest, one command, or a shell."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from harness.errors import UserError

VariantName = Annotated[str, typer.Argument(help="BASE or BASE+SERIES@VERSION.")]
Command = Annotated[
    list[str] | None,
    typer.Argument(help="What to run, after --; without it a shell, or a script from stdin."),
]
Profile = Annotated[str, typer.Option("--profile", "-p", help="The kernel configuration.")]
MachineName = Annotated[
    str, typer.Option(help="The QEMU machine; q35-4g, or deterministic with --world.")
]
World = Annotated[
    int | None,
    typer.Option(min=0, max=2**31 - 1, help="Seed all that is random; the same bytes again."),
]
BatchFlag = Annotated[
    bool, typer.Option("--batch", help="Bake the command into the image: no shell, no network.")
]
Accelerator = Annotated[str, typer.Option("--accel", help="auto, tcg or kvm.")]
TimeLimit = Annotated[float, typer.Option(min=0, help="Seconds the command may take; 0: any time.")]
SnapshotFlag = Annotated[
    bool,
    typer.Option(
        "--snapshot/--fresh-boot", help="Restore a guest that was saved, or boot a new one."
    ),
]
BootLimit = Annotated[
    float | None,
    typer.Option(
        min=1, help="Seconds until the guest must take commands; else patchbed.toml says."
    ),
]
ConsoleLog = Annotated[
    Path | None, typer.Option(help="Keep all that the kernel says in this file.")
]
KernelArgs = Annotated[
    list[str] | None,
    typer.Option("--kernel-arg", help="Add to the kernel's command line; may be given again."),
]
ConsoleFlag = Annotated[
    bool, typer.Option("--console", help="The serial console instead of a shell; Ctrl-] ends.")
]
Gdb = Annotated[
    str,
    typer.Option(
        "--gdb",
        metavar="[=wait]",
        help="Open a debugger's socket and print the gdb command; with =wait, wait for it.",
    ),
]
Bundle = Annotated[
    Path | None,
    typer.Option(help="Keep the boot's files in this folder, and what a crash leaves."),
]
DumpOn = Annotated[str, typer.Option(help="`crash`: keep a dead guest's memory too, in --bundle.")]
ConfigFile = Annotated[
    Path | None, typer.Option(help="A patchbed.toml, for its bases, limits and paths.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")]


def boot(
    variant: VariantName,
    command: Command = None,
    profile: Profile = "fast",
    machine: MachineName = "",
    world: World = None,
    batch: BatchFlag = False,
    accelerator: Accelerator = "auto",
    timeout: TimeLimit = 0.0,
    snapshot: SnapshotFlag = False,
    boot_timeout: BootLimit = None,
    console_log: ConsoleLog = None,
    kernel_arg: KernelArgs = None,
    console: ConsoleFlag = False,
    gdb: Gdb = "",
    bundle: Bundle = None,
    dump_on: DumpOn = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Boot a variant and run a command in it; end with its exit status."""
    from harness.paths import find_settings
    from harness.run.boot_job import DETERMINISTIC, BootRequest, execute_boot

    if dump_on not in ("", "crash"):
        raise UserError(f"no moment {dump_on!r} to dump on", hint="choose from: crash")
    request = BootRequest(
        variant=variant,
        profile=profile,
        machine=machine or ("q35-4g" if world is None else DETERMINISTIC),
        command=tuple(command or ()),
        accelerator=accelerator,
        timeout=timeout,
        boot_timeout=boot_timeout or 0.0,
        console_log=console_log,
        kernel_args=tuple(kernel_arg or ()),
        world=world or 0,
        batch=batch,
        snapshot=snapshot,
        as_json=as_json,
        console=console,
        gdb=gdb,
        bundle=bundle,
        dump_on_crash=dump_on == "crash",
        settings=config or find_settings(Path.cwd()),
    )
    _leave(execute_boot(request))


def _leave(status: int) -> NoReturn:
    """End at once: all of ours has ended, and to take itself apart costs Python 5% of a boot."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def spell_out(words: list[str]) -> list[str]:
    """Return the command line with `--gdb` alone spelled out: Typer wants a value for it."""
    end = words.index("--") if "--" in words else len(words)
    ours = ["--gdb=now" if word == "--gdb" else word for word in words[:end]]
    return [*ours, *words[end:]]
