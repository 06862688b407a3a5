# SPDX-License-Identifier: GPL-2.0-or-later
"""Configuring a work tree, and holding the result against what was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.errors import BuildError
from harness.kernel.fragment import Request, config_line, overlay, parse_config, unmet
from harness.kernel.kconfig import read_tree
from harness.kernel.kconfig_reasons import explain
from harness.kernel.request import Request as BuildRequest
from harness.kernel.worktree import WorkTree
from harness.outcomes import Outcome

# What scripts/*-version.sh and Kconfig say of a compiler, an assembler or a linker.
_UNFIT = re.compile(r"is too old|is not supported|unknown (?:C )?compiler", re.IGNORECASE)


def configure(tree: WorkTree, request: BuildRequest, *, kept: bool = False) -> str:
    """Configure `tree` as `request` has it; return the final .config.

    With `kept`, it has been configured just so before.

    Raises:
        BuildError: build.config: a symbol did not get the value that was asked for; the lines
            say what it got, who asked, and which dependency is unmet.
    """
    config = tree.build / ".config"
    name, start = str(request.variant), request.profile.start
    if not kept:
        tree.build.mkdir(exist_ok=True)
        _make(tree, start, name)
        text = overlay(config.read_text(encoding="utf-8"), request.wanted.requests)
        config.write_text(text, encoding="utf-8")
        _make(tree, "olddefconfig", name)
    final = config.read_text(encoding="utf-8")
    missed = unmet(parse_config(final), request.required().requests)
    if missed:
        raise _not_granted(tree, missed, parse_config(final), name)
    return final


def _make(tree: WorkTree, target: str, name: str) -> None:
    try:
        tree.make(target, outcome=Outcome.BUILD_CONFIG, what=f"{name}: make {target} failed")
    except BuildError as error:
        if any(_UNFIT.search(line) for line in error.lines):
            error.hint = f"this kernel can't be built with {tree.tools.compiler}: use another"
        raise


def _not_granted(
    tree: WorkTree, missed: Sequence[tuple[Request, str]], config: dict[str, str], name: str
) -> BuildError:
    symbols = read_tree(tree.source)
    lines: list[str] = []
    for request, got in missed:
        lines.append(
            f"CONFIG_{request.symbol}: wanted {request.value} ({request.where}),"
            f" got {config_line(request.symbol, got).partition('=')[2] or 'n'}"
        )
        lines += [
            f"  {reason}" for reason in explain(symbols, config, request.symbol, request.value)
        ]
    count = f"{len(missed)} symbols do" if len(missed) > 1 else "a symbol does"
    return BuildError(
        Outcome.BUILD_CONFIG,
        f"{name}: {count} not get the value asked for",
        lines=tuple(lines),
        hint="ask for what the symbol depends on too, or take the line out",
        log=tree.log,
    )
