# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed compare`: which version is better, and how sure that is."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Form(StrEnum):
    """What is printed at the end."""

    TEXT = "text"
    JSON = "json"
    MAIL = "mail"
    MARKDOWN = "markdown"
    HTML = "html"


Variants = Annotated[
    list[str] | None,
    typer.Argument(help="REF NEW...: what is compared, the reference first."),
]
Workloads = Annotated[
    list[str] | None,
    typer.Option("--workload", "-w", help="NAME or NAME:parameter=value,...; again for more."),
]
Blocks = Annotated[
    int, typer.Option("--worlds", "--blocks", min=1, max=10000, help="How many boots each.")
]
FirstWorld = Annotated[int, typer.Option(min=1, help="The first world's number.")]
Profile = Annotated[str, typer.Option("--profile", "-p", help="The kernel configuration.")]
MachineName = Annotated[
    str, typer.Option(help="The QEMU machine; worlds need a deterministic one.")
]
Accelerator = Annotated[str, typer.Option("--accel", help="auto, tcg or kvm.")]
Placebo = Annotated[
    str, typer.Option(help="The control, SERIES@VERSION on the reference's base, or none.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Of the boots' order and of the statistics.")]
Jobs = Annotated[
    int,
    typer.Option("--jobs", "-j", min=0, help="Guests at a time; 0: what the host has room for."),
]
Resumed = Annotated[
    str, typer.Option(help='Go on with a comparison: an id, its beginning, or "last".')
]
Reported = Annotated[str, typer.Option(help="Boot nothing: report again, by what was measured.")]
Force = Annotated[
    bool, typer.Option("--force", help="Compare what is not comparable; labels the report.")
]
PerPatch = Annotated[
    bool,
    typer.Option("--per-patch", help="After each patch of a series: BASE BASE+SERIES@VERSION."),
]
Attribute = Annotated[
    bool,
    typer.Option("--attribute", help="Boot once more, apart, and say who splits the map."),
]
Printed = Annotated[Form, typer.Option("--format", "-f", help="What to print.")]
Figures = Annotated[
    Path | None, typer.Option(help="Write the pictures of report.html as .svg files there.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
RunsFolder = Annotated[
    Path | None, typer.Option(help="Where it is kept; else beside patchbed.toml.")
]
ConfigFile = Annotated[Path | None, typer.Option(help="A patchbed.toml; else the nearest one.")]


def compare(
    context: typer.Context,
    variants: Variants = None,
    workload: Workloads = None,
    worlds: Blocks = 20,
    first: FirstWorld = 1,
    profile: Profile = "fast",
    machine: MachineName = "deterministic",
    accelerator: Accelerator = "auto",
    placebo: Placebo = "placebo@v1",
    seed: Seed = None,
    jobs: Jobs = 0,
    resume: Resumed = "",
    report: Reported = "",
    force: Force = False,
    per_patch: PerPatch = False,
    attribute: Attribute = False,
    form: Printed = Form.TEXT,
    figures: Figures = None,
    as_json: AsJson = False,
    runs: RunsFolder = None,
    config: ConfigFile = None,
) -> None:
    """Measure workloads over the same worlds, and give a verdict on every metric.

    Ends with 0 where every gate has a verdict and none is worse, 1 where one is worse, 3 where
    one has none.
    """
    # Threads of the linear algebra would only take from the guests, and wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from harness.config import load_settings
    from harness.paths import find_settings
    from harness.run.compare_job import CompareRequest, execute_compare
    from harness.run.compare_local import places_of
    from harness.run.compare_plan import Design, make_compare_plan

    _refuse_unclear(context, variants, resume, report)
    file = config or find_settings(Path.cwd())
    folder, settings = file.resolve().parent, load_settings(file)
    plan = None
    if variants:
        how = Design(worlds, first, profile, machine, accelerator, placebo, seed, force, per_patch)
        command = ["patchbed", *sys.argv[1:]]
        plan = make_compare_plan(settings, folder, variants, command, workload or (), how)
    request = CompareRequest(
        runs or folder / "runs",
        places_of(settings, folder),
        plan,
        resume=resume or report,
        report_only=bool(report),
        attribute=attribute,
        at_once=jobs,
        form="json" if as_json else form.value,
        figures=figures,
    )
    raise typer.Exit(execute_compare(request))


# What a comparison's plan keeps; what is left can be said anew each time.
_PLANNED = (
    "workload",
    "worlds",
    "first",
    "profile",
    "machine",
    "accelerator",
    "placebo",
    "seed",
    "force",
    "per_patch",
)


def _refuse_unclear(
    context: typer.Context, variants: list[str] | None, resume: str, report: str
) -> None:
    """Refuse a command that names not just one comparison, or changes one that has begun."""
    from harness.errors import UserError

    if bool(variants) + bool(resume) + bool(report) != 1:
        raise UserError(
            "what to compare?", hint="REF NEW..., or --resume RUN, or --report RUN: one of them"
        )
    if not variants:
        _refuse_changes(context)


def _refuse_changes(context: typer.Context) -> None:
    """Refuse options that a comparison which is gone on with, or reported, can't heed."""
    from harness.errors import UserError

    given: list[str] = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in _PLANNED and source is not None and source.name == "COMMANDLINE":
            given.append(max(parameter.opts, key=len))
    if given:
        raise UserError(
            f"{', '.join(given)}: the plan is kept as it was stored, nothing of it changes",
            hint="leave that out, or start a new comparison",
        )
