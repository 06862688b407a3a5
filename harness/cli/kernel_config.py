# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed kernel config`: where each line of a kernel configuration comes from."""

from __future__ import annotations

from typing import Annotated

import typer


def config(
    variant: Annotated[str, typer.Argument(help="BASE or BASE+SERIES@VERSION.")],
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="The kernel configuration.")
    ] = "fast",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Show who asks for each line of a variant's configuration, and what it became."""
    import json

    from harness.cli.bases import base_aliases
    from harness.kernel.builder import plan_build
    from harness.kernel.request import Where
    from harness.kernel.variant import parse
    from harness.report.progress import Progress

    where = Where(bases=base_aliases())
    with Progress() as progress:
        recipe, kernel = plan_build(parse(variant), profile, listen=progress, where=where)
    became = kernel.config() if kernel else None
    rows = [
        {
            "symbol": request.symbol,
            "wanted": request.value,
            "asked_by": request.where,
            "became": became.get(request.symbol, "n") if became is not None else None,
        }
        for request in recipe.wanted.requests
    ]
    conflicts = [str(conflict) for conflict in recipe.wanted.conflicts]
    if as_json:
        document = {"variant": variant, "profile": profile, "lines": rows, "conflicts": conflicts}
        typer.echo(json.dumps(document, indent=1))
        return
    for row in rows:
        state = "not built yet" if row["became"] is None else f"is {row['became']}"
        typer.echo(f"CONFIG_{row['symbol']}={row['wanted']}  ({row['asked_by']}): {state}")
    for conflict in conflicts:
        typer.echo(f"conflict: {conflict}")
