# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed kernel`: build, list, explain and remove kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.kernel_config import config

if TYPE_CHECKING:
    from harness.events import Listener
    from harness.kernel.artifact import Kernel
    from harness.kernel.listing import Item
    from harness.kernel.variant import Variant

app = typer.Typer(help="Build kernels, and see to the cache of them.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Profile = Annotated[str, typer.Option("--profile", "-p", help="The kernel configuration.")]


@app.command()
def build(
    variants: Annotated[list[str], typer.Argument(help="BASE or BASE+SERIES@VERSION.")],
    profile: Profile = "fast",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="make's; 0: every core.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Build variants into the cache, unless they are there, and say where they are."""
    import json

    from harness.kernel.variant import parse
    from harness.report.progress import Progress

    wanted = [parse(text) for text in variants]
    with Progress() as progress:
        kernels = [_build(variant, profile, jobs, progress) for variant in wanted]
    if as_json:
        rows = [
            {**{name: getattr(kernel, name) for name in _SHOWN}, "folder": str(kernel.folder)}
            for kernel in kernels
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for kernel in kernels:
        typer.echo(f"{kernel.variant} {kernel.profile} {kernel.release} {kernel.folder}")


def _build(variant: Variant, profile: str, jobs: int, listen: Listener) -> Kernel:
    """Build one variant, and tell its beginning and its end."""
    import time

    from harness.cli.bases import base_aliases
    from harness.events import BuildFinished, BuildStarted
    from harness.kernel.builder import obtain
    from harness.outcomes import Outcome

    began = time.monotonic()
    listen(BuildStarted(variant=str(variant), profile=profile))
    kernel = obtain(variant, profile, listen=listen, jobs=jobs or None, aliases=base_aliases())
    listen(
        BuildFinished(
            variant=str(variant),
            profile=profile,
            outcome=Outcome.PASS,
            cached=kernel.cached,
            seconds=time.monotonic() - began,
            key=kernel.key,
            release=kernel.release,
            tree=kernel.tree,
            compiler=kernel.compiler,
        )
    )
    return kernel


_SHOWN = ("variant", "profile", "cached", "key", "release", "tree", "compiler")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show what is in the cache: size, age, last use."""
    import json
    import time

    from harness.kernel.cache import default_cache
    from harness.kernel.listing import list_items
    from harness.kernel.quantity import format_age, format_size

    cache = default_cache()
    items = list_items(cache)
    if as_json:
        typer.echo(json.dumps([_item(item) for item in items], indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    now = time.time()
    table = Table("kind", "variant", "profile", "release", "size", "built", "used", "key", box=None)
    for item in items:
        table.add_row(
            item.kind,
            item.variant,
            item.profile,
            item.release,
            format_size(item.size),
            format_age(now - item.built),
            format_age(now - item.used),
            item.key[:12],
        )
    console = Console()
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
    """Free space: remove what was not used for long, kernels last."""
    import json
    import time

    from harness.errors import UserError
    from harness.kernel.cache import default_cache
    from harness.kernel.listing import choose_victims, list_items, remove_items
    from harness.kernel.quantity import format_size, parse_age, parse_size

    if not keep and not older:
        raise UserError("nothing to prune by", hint="give --keep SIZE or --older AGE, or both")
    cache = default_cache()
    victims = choose_victims(
        list_items(cache),
        now=time.time(),
        keep_bytes=parse_size(keep) if keep else None,
        older_seconds=parse_age(older) if older else None,
    )
    if not dry_run:
        remove_items(cache, victims)
    if as_json:
        document = {"dry_run": dry_run, "removed": [_item(item) for item in victims]}
        typer.echo(json.dumps(document, indent=1))
        return
    word = "would remove" if dry_run else "removed"
    for item in victims:
        typer.echo(f"{word} {item.kind} {item.variant or item.key[:12]} {format_size(item.size)}")
    typer.echo(f"{word} {format_size(sum(item.size for item in victims))} in all")


def _item(item: Item) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(item), "folder": str(item.folder)}
