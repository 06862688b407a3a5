# SPDX-License-Identifier: GPL-2.0-or-later
"""`patchbed kernel config`: where each line of a kernel configuration comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.kernel.provenance import Configuration, Difference, Line, Origin


def config(
    variant: Annotated[str, typer.Argument(help="BASE or BASE+SERIES@VERSION.")],
    symbols: Annotated[
        list[str] | None, typer.Argument(help="Explain these, asked for or not.")
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="The kernel configuration.")
    ] = "fast",
    diff: Annotated[
        str, typer.Option("--diff", metavar="OTHER", help="A profile or a variant to compare with.")
    ] = "",
    every: Annotated[
        bool, typer.Option("--all", help="Also what is set though no line asks for it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Show who asks for each line of a variant's configuration, and what it became.

    Nothing is compiled. It ends with 2 where a line does not get its value.
    """
    from harness.kernel.provenance import lines_of

    configuration = _obtain(variant, profile)
    if diff:
        _show_differences(configuration, _other(diff, variant, profile), as_json=as_json)
        return
    lines = lines_of(configuration)
    if symbols:
        names = [name.removeprefix("CONFIG_") for name in symbols]
        _show_symbols(configuration, names, as_json=as_json)
        return
    if as_json:
        _print_json(configuration, lines, every=every)
    else:
        _print_lines(configuration, lines, every=every)
    _check_granted(lines)


def _obtain(variant: str, profile: str) -> Configuration:
    from harness.cli.places import find_places
    from harness.kernel.configuration import obtain_configuration
    from harness.kernel.variant import parse
    from harness.report.progress import Progress

    with Progress() as progress:
        where = find_places()
        return obtain_configuration(parse(variant), profile, listen=progress, where=where)


def _other(diff: str, variant: str, profile: str) -> Configuration:
    """Return what --diff names: another profile of the variant, or another variant."""
    from harness.errors import UserError
    from harness.kernel.profile import list_profiles
    from harness.kernel.request import Where

    profiles = list_profiles(Where().config)
    if diff in profiles:
        return _obtain(variant, diff)
    try:
        return _obtain(diff, profile)
    except UserError as error:
        error.hint = f"{error.hint}; or a profile: {', '.join(profiles)}".removeprefix("; ")
        raise


def _print_lines(configuration: Configuration, lines: list[Line], *, every: bool) -> None:
    from harness.kernel.fragment import config_line
    from harness.kernel.provenance import State, unasked

    width = max((len(line.request.where) for line in lines), default=0)
    for line in lines:
        state = f"is {line.became}" if line.state is State.GRANTED else _words(line)
        typer.echo(f"{line.request.where:{width}}  {line.request.text()}: {state}")
        if line.state is State.REFUSED:
            for reason in line.reasons:
                typer.echo(f"{'':{width}}    {reason}")
    for conflict in configuration.wanted.conflicts:
        typer.echo(f"conflict: {conflict}")
    rest = unasked(configuration)
    if every:
        for origin in rest:
            typer.echo(f"{'-':{width}}  {config_line(origin.symbol, origin.value)}: {origin.words}")
    counts = {state: sum(line.state is state for line in lines) for state in State}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    more = "" if every else "; --all shows them, a SYMBOL's name explains it"
    typer.echo(
        f"{configuration.variant}, profile {configuration.profile}, over"
        f" {configuration.start_name}: {len(lines)} lines: {told}."
        f" {len(rest)} symbols more are set{more}."
    )


def _words(line: Line) -> str:
    from harness.kernel.provenance import State

    if line.state is State.REFUSED:
        return f"REFUSED, is {line.became}"
    kind = "not for this kernel" if line.state is State.LEFT_OUT else "overridden"
    return f"{kind}: {'; '.join(line.reasons)}"


def _print_json(configuration: Configuration, lines: list[Line], *, every: bool) -> None:
    import json

    from harness.kernel.provenance import unasked

    document: dict[str, object] = {
        "variant": configuration.variant,
        "profile": configuration.profile,
        "start": configuration.start_name,
        "lines": [
            {
                "symbol": line.request.symbol,
                "wanted": line.request.value,
                "asked_by": line.request.where,
                "became": line.became,
                "state": line.state,
                "reasons": line.reasons,
            }
            for line in lines
        ],
        "conflicts": [str(conflict) for conflict in configuration.wanted.conflicts],
    }
    if every:
        document["unasked"] = [_origin(origin) for origin in unasked(configuration)]
    typer.echo(json.dumps(document, indent=1))


def _show_symbols(configuration: Configuration, symbols: list[str], *, as_json: bool) -> None:
    import json

    from harness.errors import UserError
    from harness.kernel.kconfig_reasons import unknown
    from harness.kernel.provenance import describe, origin_of

    asked = {request.symbol for request in configuration.wanted.requests}
    for symbol in symbols:
        if symbol not in configuration.tree.definitions and symbol not in asked:
            raise UserError(
                unknown(configuration.tree, symbol), hint="names are as in Kconfig: SECRETMEM"
            )
    if as_json:
        rows = [
            {**_origin(origin_of(configuration, symbol)), "said": describe(configuration, symbol)}
            for symbol in symbols
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for symbol in symbols:
        first, *rest = describe(configuration, symbol)
        typer.echo(first)
        for sentence in rest:
            typer.echo(f"  {sentence}")


def _show_differences(left: Configuration, right: Configuration, *, as_json: bool) -> None:
    import json

    from harness.kernel.provenance import differences

    found = differences(left, right)
    if as_json:
        document = {
            "left": {"variant": left.variant, "profile": left.profile},
            "right": {"variant": right.variant, "profile": right.profile},
            "differences": [
                {"symbol": each.symbol, "left": _origin(each.left), "right": _origin(each.right)}
                for each in found
            ],
        }
        typer.echo(json.dumps(document, indent=1))
        return
    for each in found:
        typer.echo(f"CONFIG_{each.symbol}: {each.left.value} -> {each.right.value}: {_why(each)}")
    count = "1 symbol differs" if len(found) == 1 else f"{len(found)} symbols differ"
    typer.echo(
        f"{count} between {left.variant} ({left.profile}) and {right.variant} ({right.profile})"
    )


def _why(difference: Difference) -> str:
    """Say where the set one of two values comes from, that of the right side if both are."""
    from_left = difference.right.value == "n"
    return f"was {difference.left.words}" if from_left else difference.right.words


def _origin(origin: Origin) -> dict[str, object]:
    return {"symbol": origin.symbol, "value": origin.value, "from": origin.words}


def _check_granted(lines: list[Line]) -> None:
    from harness.errors import UserError
    from harness.kernel.provenance import State

    refused = [line for line in lines if line.state is State.REFUSED]
    if refused:
        names = ", ".join(f"CONFIG_{line.request.symbol}" for line in refused)
        raise UserError(
            f"not the value asked for: {names}",
            hint="ask for what the symbol depends on too, or take the line out",
        )
