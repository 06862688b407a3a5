# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed run`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", help="BASE or BASE+SERIES@VERSION; may be given again."),
]
Reference = Annotated[
    str, typer.Option(help="The variant to compare with; the first unless given.")
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(help="The kernel configuration; several: fast,debug, or given again."),
]
MachineName = Annotated[str, typer.Option(help="The QEMU machine.")]
Keyword = Annotated[str, typer.Option("-k", help="Only testcases that match, in pytest's words.")]
Accelerator = Annotated[str, typer.Option("--accel", help="auto, tcg or kvm.")]
SnapshotFlag = Annotated[
    bool,
    typer.Option(
        "--snapshot/--fresh-boot", help="Restore a guest for each testcase, or boot one for all."
    ),
]
Stress = Annotated[
    float, typer.Option(min=0.01, metavar="FACTOR", help="Storms do this many times their work.")
]
Kselftest = Annotated[
    str,
    typer.Option(
        metavar="COLLECTION",
        help="Run the kernel's own selftests of this name, such as mm, from its source.",
    ),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=0, help="make's; 0: every core.")]
ConfigFile = Annotated[Path | None, typer.Option(help="A patchbed.toml; else the nearest one.")]
RunsFolder = Annotated[
    Path | None, typer.Option(help="Where run folders go; else beside patchbed.toml.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")
]


def run(
    variant: Variants = None,
    reference: Reference = "",
    profile: Profiles = None,
    machine: MachineName = "",
    keyword: Keyword = "",
    accelerator: Accelerator = "auto",
    snapshot: SnapshotFlag = False,
    stress: Stress = 1.0,
    kselftest: Kselftest = "",
    jobs: Jobs = 0,
    config: ConfigFile = None,
    runs: RunsFolder = None,
    as_json: AsJson = False,
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
