# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed run`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    variant: Annotated[
        list[str] | None,
        typer.Option("--variant", help="BASE or BASE+SERIES@VERSION; may be given again."),
    ] = None,
    reference: Annotated[
        str, typer.Option(help="The variant to compare with; the first unless given.")
    ] = "",
    profile: Annotated[
        list[str] | None,
        typer.Option(help="The kernel configuration; several: fast,debug, or given again."),
    ] = None,
    machine: Annotated[str, typer.Option(help="The QEMU machine.")] = "",
    keyword: Annotated[
        str, typer.Option("-k", help="Only testcases that match, in pytest's words.")
    ] = "",
    accelerator: Annotated[str, typer.Option("--accel", help="auto, tcg or kvm.")] = "auto",
    snapshot: Annotated[
        bool,
        typer.Option(
            "--snapshot/--fresh-boot",
            help="Restore a guest for each testcase, or boot one for all.",
        ),
    ] = False,
    stress: Annotated[
        float,
        typer.Option(min=0.01, metavar="FACTOR", help="Storms do this many times their work."),
    ] = 1.0,
    kselftest: Annotated[
        str,
        typer.Option(
            metavar="COLLECTION",
            help="Run the kernel's own selftests of this name, such as mm, from its source.",
        ),
    ] = "",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="make's; 0: every core.")] = 0,
    config: Annotated[
        Path | None, typer.Option(help="A patchbed.toml; else the nearest one.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Where run folders go; else beside patchbed.toml.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")
    ] = False,
) -> None:
    """Build every variant, boot it, run the testcases, pull the counters, report."""
    from harness.config import load_settings
    from harness.paths import find_settings
    from harness.run.main_job import RunRequest, execute_run
    from harness.run.plan import make_plan

    file = config or find_settings(Path.cwd())
    settings = load_settings(file)
    plan = make_plan(
        settings,
        file.resolve().parent,
        variants=variant or (),
        reference=reference,
        profiles=profile or (),
        machine=machine,
        selection=keyword,
        accelerator=accelerator,
        snapshot=snapshot,
        stress=stress,
        kselftest=kselftest,
    )
    request = RunRequest(plan, runs or file.resolve().parent / "runs", jobs=jobs, as_json=as_json)
    raise typer.Exit(execute_run(request))
