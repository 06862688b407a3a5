# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed test`: testcases as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Write testcases.", no_args_is_help=True)


def _testcases(config: Path | None = None) -> Path:
    """Return the folder of testcases of the patchbed.toml in use."""
    from harness.config import load_settings
    from harness.paths import find_settings

    file = config or find_settings(Path.cwd())
    return file.resolve().parent / load_settings(file).paths.testcases


def complete_area(incomplete: str) -> list[str]:
    """Return the areas that begin with what was typed; none where there is trouble."""
    from harness.errors import PatchbedError
    from harness.testing.draft import areas

    try:
        return [area for area in areas(_testcases()) if area.startswith(incomplete)]
    except PatchbedError:
        return []


@app.callback()
def _group() -> None:
    """Write testcases."""


@app.command()
def new(
    area: Annotated[
        str, typer.Argument(help="Its folder: gfp_unmapped, ...", autocompletion=complete_area)
    ],
    name: Annotated[str, typer.Argument(help="What it is called: late-unmap.")],
    program: Annotated[
        bool, typer.Option("--program", help="Also a C program that runs in the guest.")
    ] = False,
    module: Annotated[
        bool, typer.Option("--module/--no-module", help="With a KUnit module, or without.")
    ] = True,
    letter: Annotated[
        str, typer.Option(help="Its letter in the catalogue; the area's own unless given.")
    ] = "",
    config: Annotated[
        Path | None, typer.Option(help="A patchbed.toml; else the nearest one.")
    ] = None,
) -> None:
    """Lay out a testcase that builds and runs at once: a pytest file and a KUnit module."""
    from harness.testing.draft import make_draft

    folder = _testcases(config)
    draft = make_draft(folder, area, name, letter=letter, module=module, program=program)
    draft.write()
    for path in draft.made:
        typer.echo(f"made     {_shown(path)}")
    for path in draft.replaced:
        typer.echo(f"changed  {_shown(path)}")
    typer.echo(f"run it:  patchbed run -k {draft.id}")
    typer.echo(f"tell it: | `{draft.area}/{draft.id}` | ... | runs |   in docs/testcases.md")


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
