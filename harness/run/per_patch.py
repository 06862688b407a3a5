# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison patch by patch: its variants, and which of their kernels are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError
from harness.events import Listener
from harness.kernel.artifact import Kernel
from harness.kernel.cache import default_cache
from harness.kernel.interrupt import terminable
from harness.kernel.series import load_series, subject
from harness.kernel.source import find_source, obtain_base
from harness.kernel.teller import Teller
from harness.kernel.variant import Variant

# What of an entry of the cache is booted.
_BOOTED = ("bzImage", "vmlinux")


def patch_by_patch(
    variants: Sequence[Variant], patches: Path, bases: Mapping[str, str], listen: Listener
) -> tuple[list[Variant], list[str]]:
    """Return the base and the variant after each patch of its series, and the patches' subjects.

    `variants` are the base and the series on it, or the latter alone; `patches` is the folder of
    all series, `bases` the short names of bases.

    Raises:
        UserError: they are anything else, or there is no such base, series or version.
    """
    whole = the_series(variants)
    teller = Teller(whole, "", listen)
    source = find_source(whole.base, bases)
    with terminable():
        base = obtain_base(source, default_cache(), teller.phase, teller.waiting)
    series = load_series(whole.series, whole.version, base.series_version, patches)
    found = series.upto(whole.upto).patches
    return after_each(whole, len(found)), [subject(patch) for patch in found]


def the_series(variants: Sequence[Variant]) -> Variant:
    """Return the one of `variants` that has a series; another may only be its base.

    Raises:
        UserError: it is not so.
    """
    patched = [variant for variant in variants if variant.patched]
    others = [variant for variant in variants if not variant.patched]
    if len(patched) != 1 or any(one.base != patched[0].base for one in others):
        names = " ".join(map(str, variants))
        raise UserError(
            f"--per-patch goes through one series, from its base on, not {names}",
            hint="name them: BASE BASE+SERIES@VERSION",
        )
    return patched[0]


def after_each(whole: Variant, patches: int) -> list[Variant]:
    """Return the base of `whole`, and the variant after each of its `patches`."""
    parts = [replace(whole, upto=number) for number in range(1, patches)]
    return [Variant(whole.base), *parts, whole]


def booted_bytes(kernel: Kernel, image: Path) -> str:
    """Return what is the same for two kernels only where a guest boots the same bytes.

    An image in the cache is named by what is in it.
    """
    checksums = kernel.meta.get("checksums", {})
    # An image that was built elsewhere may lack one of them.
    return " ".join([*(str(checksums.get(name, kernel.key)) for name in _BOOTED), image.name])


def twins(boots: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return, for each variant that boots the same bytes as an earlier one, the first of these.

    `boots` are the variants and what `booted_bytes` says of them, in order.
    """
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for variant, digest in boots:
        if first.setdefault(digest, variant) != variant:
            found[variant] = first[digest]
    return found
