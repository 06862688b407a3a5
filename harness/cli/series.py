# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed series`: list, show and apply patch series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at patch series, and apply them.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every version of every series, and the kernels it has patches for."""
    import json

    from harness.kernel.series import list_series

    found = list_series()
    if as_json:
        rows = [
            {
                "name": series.name,
                "version": series.version,
                "base": series.base,
                "title": series.title,
                "patches": len(series.patches),
                "patchset_hash": series.patchset_hash(),
            }
            for series in found
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for series in found:
        typer.echo(f"{series}  {series.base}  {len(series.patches)} patches  {series.title}")


@app.command()
def show(
    series: Annotated[str, typer.Argument(help="SERIES@VERSION.")],
    kernel: Annotated[str, typer.Option(help="Patches for this major.minor.")] = "6.1",
    as_json: AsJson = False,
) -> None:
    """Show a version of a series: its facts, patches and known issues."""
    import json

    from harness.kernel.series import load_series, parse_name, subject

    name, version = parse_name(series)
    loaded = load_series(name, version, kernel)
    patches = [{"file": patch.name, "subject": subject(patch)} for patch in loaded.patches]
    if as_json:
        document = {
            "name": name,
            "version": version,
            "base": kernel,
            **loaded.facts.model_dump(mode="json"),
            "patchset_hash": loaded.patchset_hash(),
            "patches": patches,
        }
        typer.echo(json.dumps(document, indent=1))
        return
    typer.echo(f"{loaded} for {kernel}: {loaded.title}")
    if loaded.message_id:
        typer.echo(f"message id: {loaded.message_id}")
    typer.echo(f"patchset hash: {loaded.patchset_hash()}")
    for patch in patches:
        typer.echo(f"  {patch['file']}: {patch['subject']}")
    for line in loaded.config:
        typer.echo(f"  asks for {line}")
    for issue in loaded.known_issues:
        typer.echo(f"  known issue: {issue.testcase} {issue.check}: {issue.reason}")


@app.command()
def apply(
    variant: Annotated[str, typer.Argument(help="BASE+SERIES@VERSION.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the patched source.")],
    as_json: AsJson = False,
) -> None:
    """Write the patched source into a new folder, as a git repository to look at."""
    import json

    from harness.cli.bases import base_aliases
    from harness.kernel.export import export_variant
    from harness.kernel.request import Where
    from harness.kernel.variant import parse
    from harness.report.progress import Progress

    where = Where(bases=base_aliases())
    with Progress() as progress:
        commit, tree = export_variant(parse(variant), folder, listen=progress, where=where)
    if as_json:
        document = {"variant": variant, "folder": str(folder), "commit": commit, "tree": tree}
        typer.echo(json.dumps(document, indent=1))
        return
    typer.echo(f"{folder}: {variant}, commit {commit}")


@app.command()
def check(
    variant: Annotated[str, typer.Argument(help="BASE+SERIES@VERSION.")],
    profile: Annotated[str, typer.Option("--profile", "-p", help="The configuration.")] = "fast",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="make's; 0: every core.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Build after every single patch; name the first one that breaks."""
    import json

    from harness.cli.bases import base_aliases
    from harness.kernel.check import check_series
    from harness.kernel.request import Where
    from harness.kernel.variant import parse
    from harness.report.progress import Progress

    where = Where(bases=base_aliases())
    with Progress() as progress:
        steps = check_series(
            parse(variant), profile, listen=progress, jobs=jobs or None, where=where
        )
    if as_json:
        typer.echo(json.dumps([{"patch": step.patch, "key": step.key} for step in steps], indent=1))
        return
    for step in steps:
        typer.echo(f"{step.patch}: builds")
