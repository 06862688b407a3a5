# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed kernel`: build, list, explain and remove kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.kernel_build import build
from harness.cli.kernel_config import config

if TYPE_CHECKING:
    from harness.kernel.listing import Item

app = typer.Typer(help="Build kernels, and see to the cache of them.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


app.command()(build)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show what is in the cache: size, age, last use."""
    import json
    import sys
    import time

    from harness.cli.counting import counting
    from harness.kernel.cache import default_cache
    from harness.kernel.listing import list_items
    from harness.kernel.quantity import format_age, format_size

    cache = default_cache()
    with counting("adding up sizes") as watch:
        items = list_items(cache, watch)
    if as_json:
        typer.echo(json.dumps([_item(item) for item in items], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    now = time.time()
    table = Table(box=None)
    for name in ("kind", "what", "profile", "release", "size", "age", "used", "key"):
        table.add_column(name, no_wrap=True)
    for item in items:
        table.add_row(
            item.kind,
            item.variant or item.what,
            item.profile,
            item.release,
            format_size(item.size),
            format_age(now - item.built),
            format_age(now - item.used),
            item.key[:12],
        )
    # A pipe has no width that a table must keep to.
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    total = format_size(sum(item.size for item in items))
    console.print(f"{len(items)} items, {total}, in {cache.root}", soft_wrap=True)


app.command()(config)


@app.command()
def prune(
    keep: Annotated[str, typer.Option(help="Leave at most this much, e.g. 20GB.")] = "",
    older: Annotated[str, typer.Option(help="Remove what was not used for, e.g. 30d.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Free space: remove what was not used for long, kernels last.

    The sources of bases and ccache's own folder stay: they save the most, and ccache keeps its
    own limit.
    """
    import json
    import time

    from harness.cli.counting import counting
    from harness.errors import UserError
    from harness.kernel.cache import default_cache
    from harness.kernel.listing import choose_victims, list_items, remove_items
    from harness.kernel.quantity import format_size, parse_age, parse_size

    if not keep and not older:
        raise UserError("nothing to prune by", hint="give --keep SIZE or --older AGE, or both")
    cache = default_cache()
    keep_bytes = parse_size(keep, "--keep") if keep else None
    older_seconds = parse_age(older, "--older") if older else None
    with counting("adding up sizes") as watch:
        items = list_items(cache, watch)
    chosen = choose_victims(
        items, now=time.time(), keep_bytes=keep_bytes, older_seconds=older_seconds
    )
    victims = chosen if dry_run else remove_items(cache, chosen)
    left = sum(item.size for item in items) - sum(item.size for item in victims)
    if as_json:
        document = {"dry_run": dry_run, "removed": [_item(item) for item in victims], "left": left}
        typer.echo(json.dumps(document, indent=1))
        return
    word = "would remove" if dry_run else "removed"
    for item in victims:
        name = item.variant or item.what or item.key[:12]
        typer.echo(f"{word} {item.kind} {name} {format_size(item.size)}")
    freed = format_size(sum(item.size for item in victims))
    typer.echo(f"{word} {freed} in all, {format_size(left)} stay")


def _item(item: Item) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(item), "folder": str(item.folder)}
