# SPDX-License-Identifier: GPL-2.0-or-later
"""The base called `debian`: whichever of Debian's kernel sources this host has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError
from harness.kernel.series import series_folder
from harness.kernel.source import debian_hint, installed_debian
from harness.kernel.variant import Variant

NAME = "debian"
_KERNEL = re.compile(r"\d+\.\d+")


def settle(
    variants: Sequence[Variant], bases: Mapping[str, str], patches: Path
) -> tuple[Variant, ...]:
    """Return `variants` with the base `debian` replaced by the one that it stands for.

    It is the oldest of Debian's sources that is installed and that every series on top of it has
    patches for; with no series on top, that any series in the folder `patches` has some for. The
    oldest, so that a newer source, or patches for one, do not change what a plan has compared.
    `bases` are the short names of patchbed.toml, where `debian` may be another's.

    Raises:
        UserError: no such source is installed, or there is no such series.
    """
    meant = [variant for variant in variants if variant.base == NAME]
    if not meant or NAME in bases:
        return tuple(variants)
    chosen = f"debian-{_choose(meant, installed_debian(), patches)}"
    return tuple(
        replace(variant, base=chosen) if variant.base == NAME else variant for variant in variants
    )


def _choose(meant: Sequence[Variant], installed: Sequence[str], patches: Path) -> str:
    """Return the version (major.minor) to take; `installed` is sorted, the oldest first."""
    named = [variant for variant in meant if variant.patched]
    wanted = [kernels(series_folder(one.series, one.version, patches)) for one in named]
    if named:
        suitable = set.intersection(*wanted)
    else:
        suitable = {version for folder in patches.glob("*/*") for version in kernels(folder)}
        suitable = suitable & set(installed) or set(installed)
    for version in installed:
        if version in suitable:
            return version
    series = " and ".join(f"{one.series}@{one.version}" for one in named)
    there = ", ".join(f"debian-{version}" for version in installed) or "none"
    asked = f" that {series} has patches for ({_listed(suitable)})" if named else ""
    raise UserError(
        f"none of Debian's kernel sources is installed{asked}; installed: {there}",
        hint=debian_hint(_sorted(suitable)),
    )


def kernels(folder: Path) -> set[str]:
    """Return the kernels (major.minor) that the version of a series in `folder` has patches for."""
    return {path.name for path in folder.glob("*") if _KERNEL.fullmatch(path.name)}


def _listed(versions: set[str]) -> str:
    return ", ".join(_sorted(versions)) or "for no kernel that all of them are for"


def _sorted(versions: set[str]) -> list[str]:
    return sorted(versions, key=lambda version: [int(part) for part in version.split(".")])
