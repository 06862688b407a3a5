# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed boot`: one guest, one command, or a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def boot(
    variant: Annotated[str, typer.Argument(help="BASE or BASE+SERIES@VERSION.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(help="What to run, after --; without it a shell, or a script from stdin."),
    ] = None,
    profile: Annotated[str, typer.Option(help="The kernel configuration.")] = "fast",
    machine: Annotated[str, typer.Option(help="The QEMU machine.")] = "q35-4g",
    accelerator: Annotated[str, typer.Option("--accel", help="auto, tcg or kvm.")] = "auto",
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds the command may take; 0: any time.")
    ] = 0.0,
    boot_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds until the guest must take commands.")
    ] = 60.0,
    console_log: Annotated[
        Path | None, typer.Option(help="Keep all that the kernel says in this file.")
    ] = None,
    kernel_arg: Annotated[
        list[str] | None,
        typer.Option("--kernel-arg", help="Add to the kernel's command line; may be given again."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, and nothing else.")
    ] = False,
) -> None:
    """Boot a variant and run a command in it; its exit status is ours."""
    from harness.run.boot_job import BootRequest, execute_boot

    request = BootRequest(
        variant=variant,
        profile=profile,
        machine=machine,
        command=tuple(command or ()),
        accelerator=accelerator,
        timeout=timeout,
        boot_timeout=boot_timeout,
        console_log=console_log,
        kernel_args=tuple(kernel_arg or ()),
        as_json=as_json,
    )
    raise typer.Exit(execute_boot(request))
