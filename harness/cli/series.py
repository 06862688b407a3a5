# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed series`: import, list, show, apply, compare and check patch series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.kernel.importer import Imported
    from harness.kernel.rangediff import Comparison, Pair
    from harness.kernel.series import Series

app = typer.Typer(help="Import patch series, look at them, check them.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every version of every series, and the kernels it has patches for."""
    import json

    from harness.cli.places import find_places
    from harness.kernel.series import list_series

    found = list_series(find_places().series)
    if as_json:
        rows = [
            {
                "name": series.name,
                "version": series.version,
                "base": series.base,
                "title": series.title,
                "patches": len(series.patches),
                "patchset_hash": series.patchset_hash(),
                "edited": series.edited(),
            }
            for series in found
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for series in found:
        edited = "  (edited since its import)" if series.edited() else ""
        typer.echo(
            f"{series}  {series.base}  {len(series.patches)} patches  {series.title}{edited}"
        )


@app.command()
def show(
    series: Annotated[str, typer.Argument(help="SERIES@VERSION.")],
    kernel: Annotated[
        str, typer.Option(help="Patches for this major.minor; the only ones unless given.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show a version of a series: its facts, patches and known issues."""
    import json

    from harness.cli.places import find_places
    from harness.kernel.series import kernels_of, load_series, parse_name, subject

    name, version = parse_name(series)
    folder = find_places().series
    kernels = kernels_of(name, version, folder)
    loaded = load_series(name, version, kernel or kernels[0], folder)
    patches = [{"file": patch.name, "subject": subject(patch)} for patch in loaded.patches]
    if as_json:
        document = {
            "name": name,
            "version": version,
            "base": loaded.base,
            "kernels": kernels,
            "facts": loaded.facts.model_dump(mode="json"),
            "patchset_hash": loaded.patchset_hash(),
            "edited": loaded.edited(),
            "patches": patches,
        }
        typer.echo(json.dumps(document, indent=1))
        return
    for line in _described(loaded, kernels):
        typer.echo(line)
    for patch in patches:
        typer.echo(f"  {patch['file']}: {patch['subject']}")
    for line in loaded.config:
        typer.echo(f"  asks for {line}")
    for issue in loaded.known_issues:
        typer.echo(f"  known issue: {issue.testcase} {issue.check}: {issue.reason}")


def _described(series: Series, kernels: list[str]) -> list[str]:
    lines = [f"{series} for {series.base}: {series.title}"]
    others = [kernel for kernel in kernels if kernel != series.base]
    facts = {
        "other kernels": ", ".join(others),
        "message id": series.message_id,
        "link": series.facts.link,
        "posted on": series.facts.base,
        "patchset hash": series.patchset_hash(),
    }
    lines += [f"{what}: {fact}" for what, fact in facts.items() if fact]
    if series.edited():
        recorded = series.facts.patchset_hash[series.base]
        lines.append(f"edited since its import, when its patchset hash was {recorded}")
    return lines


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="An mbox file (also .gz, .xz), a maildir, a folder of patches, git:REPO@A..B,"
            " or a message id, which b4 fetches."
        ),
    ],
    name: Annotated[str, typer.Option(help="What the series is called here.")],
    version: Annotated[
        str, typer.Option(help="vN: which of several versions, and what it is called here.")
    ] = "",
    base: Annotated[
        str, typer.Option(help="The kernel's major.minor; what the source says unless given.")
    ] = "",
    pick: Annotated[
        str, typer.Option(help="Which of several series: a message id, or words of its subject.")
    ] = "",
    trailers: Annotated[
        bool, typer.Option("--trailers", help="Add Reviewed-by and its like from answers.")
    ] = False,
    archive: Annotated[
        str, typer.Option(help="The archive that a message id is fetched from.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Replace the patches where they are there already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import a series from mails or commits, all of it or nothing."""
    import json

    from harness.cli.places import find_places
    from harness.kernel.cache import default_cache
    from harness.kernel.importer import ImportRequest, import_series
    from harness.kernel.lore import ARCHIVE

    places = find_places()
    request = ImportRequest(
        source, name, version, base, pick, force, trailers, archive=archive or ARCHIVE
    )
    done = import_series(request, places.series, bases=places.bases, cache=default_cache())
    if as_json:
        typer.echo(json.dumps(_imported(done), indent=1))
        return
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{done.name}@{done.version} for {done.base}: {done.draft.title}")
    for patch, _ in done.draft.patches:
        typer.echo(f"  {done.folder / done.base / patch}")
    typer.echo(f"next: patchbed series check debian-{done.base}+{done.name}@{done.version}")


def _imported(done: Imported) -> dict[str, object]:
    draft = done.draft
    return {
        "name": done.name,
        "version": done.version,
        "base": done.base,
        "folder": str(done.folder),
        "title": draft.title,
        "message_id": draft.message_id,
        "link": draft.link,
        "versions": list(draft.versions),
        "patchset_hash": draft.patchset_hash(),
        "patches": [patch for patch, _ in draft.patches],
        "notes": list(done.notes),
    }


@app.command()
def apply(
    variant: Annotated[str, typer.Argument(help="BASE+SERIES@VERSION.")],
    folder: Annotated[Path, typer.Argument(help="A new folder for the patched source.")],
    as_json: AsJson = False,
) -> None:
    """Write the patched source into a new folder, as a git repository to look at."""
    import json

    from harness.cli.places import find_places
    from harness.kernel.export import export_variant
    from harness.kernel.variant import parse
    from harness.report.progress import Progress

    where = find_places()
    with Progress() as progress:
        commit, tree = export_variant(parse(variant), folder, listen=progress, where=where)
    if as_json:
        document = {"variant": variant, "folder": str(folder), "commit": commit, "tree": tree}
        typer.echo(json.dumps(document, indent=1))
        return
    typer.echo(f"{folder}: {variant}, commit {commit}")


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="SERIES@VERSION, with BASE+ in front, or a folder.")],
    new: Annotated[str, typer.Argument(help="The version to compare it with.")],
    base: Annotated[
        str, typer.Option(help="The kernel for both: a base, or Debian's by its major.minor.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show what changed between two versions of a series, as git range-diff does."""
    import json
    import os
    import sys

    from harness.cli.places import find_places
    from harness.kernel.rangediff import compare_versions
    from harness.report.progress import Progress

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    with Progress() as progress:
        found = compare_versions(
            old, new, listen=progress, base=base, colour=colour, where=find_places()
        )
    if as_json:
        typer.echo(json.dumps(_comparison(found), indent=1))
        return
    if found.old.base != found.new.base:
        typer.echo(f"note: {old} is on {found.old.base}, {new} on {found.new.base}", err=True)
    sys.stdout.write(found.text)


def _comparison(found: Comparison) -> dict[str, object]:
    sides = {
        side: {"series": version.text, "base": version.base, "patches": len(version.patches)}
        for side, version in (("old", found.old), ("new", found.new))
    }
    return {**sides, "patches": [_pair(pair) for pair in found.pairs]}


def _pair(pair: Pair) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(pair)


@app.command()
def check(
    variant: Annotated[str, typer.Argument(help="BASE+SERIES@VERSION.")],
    profile: Annotated[str, typer.Option("--profile", "-p", help="The configuration.")] = "fast",
    config: Annotated[
        list[str] | None,
        typer.Option(metavar="LINE", help="CONFIG_X=n, over all others; again for more."),
    ] = None,
    boot: Annotated[bool, typer.Option("--boot", help="Boot each kernel as well.")] = False,
    first: Annotated[int, typer.Option("--from", min=1, help="The patch to begin with.")] = 1,
    machine: Annotated[str, typer.Option(help="The QEMU machine for --boot.")] = "q35-1g",
    accelerator: Annotated[str, typer.Option("--accel", help="auto, tcg or kvm.")] = "auto",
    boot_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds until a guest must take commands.")
    ] = 60.0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="make's; 0: every core.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Build, and perhaps boot, after every single patch; name the first one that breaks."""
    from harness.cli.places import find_places
    from harness.run.check_job import CheckRequest, execute_check

    request = CheckRequest(
        variant,
        find_places(),
        profile=profile,
        first=first,
        boot=boot,
        machine=machine,
        accelerator=accelerator,
        boot_timeout=boot_timeout,
        jobs=jobs,
        as_json=as_json,
        config=tuple(config or ()),
    )
    raise typer.Exit(execute_check(request))
