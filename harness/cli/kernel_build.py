# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed kernel build`: kernels into the cache, what was reused for them, and the proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.events import Listener
    from harness.kernel.artifact import Kernel
    from harness.kernel.variant import Variant
    from harness.kernel.verify import Proof

_SHOWN = ("variant", "profile", "cached", "key", "release", "tree", "compiler")


@dataclass(frozen=True)
class _Options:
    """How to build, as the command line has it."""

    profile: str
    compiler: str
    jobs: int | None
    niceness: int
    clean: bool
    verify: bool
    again: bool


def build(
    variants: Annotated[list[str], typer.Argument(help="BASE or BASE+SERIES@VERSION.")],
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="The kernel configuration.")
    ] = "fast",
    compiler: Annotated[
        str, typer.Option("--compiler", help="A gcc or clang, by name or path.")
    ] = "gcc",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="make's; 0: every core.")] = 0,
    niceness: Annotated[
        int, typer.Option("--niceness", min=0, max=19, help="Of make: 19 gives way most.")
    ] = 5,
    clean: Annotated[
        bool, typer.Option("--clean", help="Begin from no earlier build's work tree.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what was reused, and why.")] = (
        False
    ),
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove that it has the bytes of a clean build.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="With --verify: prove it anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Build variants into the cache, unless they are there, and say where they are.

    --verify builds each once more, aside, from a fresh checkout and without ccache, unless that
    was done before; it ends with 1 where a byte differs.
    """
    import json

    from harness.errors import UserError
    from harness.kernel.variant import parse
    from harness.report.progress import Progress

    if again and not verify:
        raise UserError("--again goes with --verify", hint="patchbed kernel build --verify --again")
    options = _Options(profile, compiler, jobs or None, niceness, clean, verify, again)
    wanted = [parse(text) for text in variants]
    with Progress() as progress:
        built = [_build(variant, options, progress) for variant in wanted]
    if as_json:
        typer.echo(json.dumps([_row(kernel, proof) for kernel, proof in built], indent=1))
        return
    for kernel, proof in built:
        typer.echo(f"{kernel.variant} {kernel.profile} {kernel.release} {kernel.folder}")
        for line in [*(_explain(kernel) if explain else []), *(_proof_lines(proof))]:
            typer.echo(f"  {line}")


def _build(variant: Variant, options: _Options, listen: Listener) -> tuple[Kernel, Proof | None]:
    """Build one variant, and tell its beginning and its end; prove it if that is wanted."""
    import time

    from harness.cli.places import find_places
    from harness.events import BuildFinished, BuildStarted
    from harness.kernel.builder import obtain
    from harness.outcomes import Outcome

    began = time.monotonic()
    places = find_places()
    listen(BuildStarted(variant=str(variant), profile=options.profile))
    kernel = obtain(
        variant,
        options.profile,
        listen=listen,
        jobs=options.jobs,
        niceness=options.niceness,
        compiler=options.compiler,
        fork=not options.clean,
        aliases=places.bases,
        series_folder=places.series,
    )
    proof = _verify(variant, kernel, options, listen) if options.verify else None
    listen(
        BuildFinished(
            variant=str(variant),
            profile=options.profile,
            outcome=Outcome.PASS,
            cached=kernel.cached,
            seconds=time.monotonic() - began,
            key=kernel.key,
            release=kernel.release,
            tree=kernel.tree,
            compiler=kernel.compiler,
        )
    )
    return kernel, proof


def _verify(variant: Variant, kernel: Kernel, options: _Options, listen: Listener) -> Proof:
    from harness.cli.places import find_places
    from harness.errors import UserError
    from harness.kernel.builder import plan_build
    from harness.kernel.cache import default_cache
    from harness.kernel.teller import Teller
    from harness.kernel.verify import verify

    if kernel.meta.get("image"):
        raise UserError(
            f"{variant} was built elsewhere: there is nothing to compare it with",
            hint="leave --verify out",
        )
    cache = default_cache()
    request, _ = plan_build(
        variant,
        options.profile,
        listen=listen,
        compiler=options.compiler,
        where=find_places(),
        cache=cache,
    )
    return verify(
        kernel,
        request,
        cache,
        Teller(variant, options.profile, listen),
        jobs=options.jobs,
        niceness=options.niceness,
        again=options.again,
    )


def _explain(kernel: Kernel) -> list[str]:
    from harness.kernel.reuse import explain, read_reuse

    meta = kernel.meta
    if meta.get("image"):
        return ["built elsewhere: nothing was compiled"]
    return explain(
        read_reuse(meta),
        cached=kernel.cached,
        built=str(meta.get("built", "")),
        seconds=float(meta.get("seconds", 0)),
    )


def _proof_lines(proof: Proof | None) -> list[str]:
    if proof is None:
        return []
    files = f"{proof.files} files, {proof.seconds:.0f} s"
    return [f"proven on {proof.proven}: the same bytes as a clean build ({files})"]


def _row(kernel: Kernel, proof: Proof | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **{name: getattr(kernel, name) for name in _SHOWN},
        "folder": str(kernel.folder),
        "reuse": kernel.meta.get("reuse"),
        "built": kernel.meta.get("built"),
        "seconds": kernel.meta.get("seconds"),
        "verified": asdict(proof) if proof else None,
    }
