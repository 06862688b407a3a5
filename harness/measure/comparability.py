# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether two variants differ in nothing but the series, and in what they do otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_DEFINED = re.compile(r"^\+(?:menu)?config[ \t]+([A-Z0-9_]+)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Circumstances:
    """All that has to be the same for two variants: `facts` by name, and the kernel's config.

    `own` are the symbols that the variant's series sets or defines: they alone may differ.
    """

    facts: Mapping[str, str]
    config: Mapping[str, str]
    own: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Difference:
    """A field in which a variant is not as the reference."""

    variant: str
    field: str
    reference: str
    value: str

    def __str__(self) -> str:
        return f"{self.variant}: {self.field} is {self.value!r}, not {self.reference!r}"


def differing_fields(
    reference: Circumstances, others: Mapping[str, Circumstances]
) -> list[Difference]:
    """Return the fields in which `others` are not as `reference`, the series' own lines apart."""
    found: list[Difference] = []
    for variant, other in others.items():
        names = dict.fromkeys([*reference.facts, *other.facts])
        found += _differences(variant, names, reference.facts, other.facts, "")
        excused = reference.own | other.own
        symbols = [
            name for name in sorted({*reference.config, *other.config}) if name not in excused
        ]
        found += _differences(variant, symbols, reference.config, other.config, "CONFIG_")
    return found


def own_symbols(lines: Sequence[str]) -> frozenset[str]:
    """Return the symbols that a series' configuration lines set: "CONFIG_X=y", "# CONFIG_X ..."."""
    names = (line.removeprefix("# ").partition("=")[0].split()[0] for line in lines if line.strip())
    return frozenset(name.removeprefix("CONFIG_") for name in names)


def defined_symbols(patch: str) -> frozenset[str]:
    """Return the symbols that the text of a patch defines, by lines that it adds to Kconfig."""
    return frozenset(_DEFINED.findall(patch))


def _differences(
    variant: str,
    names: Sequence[str] | Mapping[str, None],
    reference: Mapping[str, str],
    other: Mapping[str, str],
    prefix: str,
) -> list[Difference]:
    return [
        Difference(variant, f"{prefix}{name}", reference.get(name, "not set"), value)
        for name in names
        if (value := other.get(name, "not set")) != reference.get(name, "not set")
    ]
