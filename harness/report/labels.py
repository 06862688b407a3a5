# SPDX-License-Identifier: GPL-2.0-or-later
"""What variants are called where there is little room: at a column, in a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.kernel.variant import Variant, parse

# A table of two variants has room for so long a label, one of three for so long a label.
MOST_OF_TWO, MOST_OF_THREE = 11, 8
_PLACEBO = "placebo"
_COMMIT = re.compile(r"[0-9a-f]{12,64}")
_SHORT_COMMIT = 8


def short_labels(variants: Sequence[str], most: int = MOST_OF_TWO) -> dict[str, str]:
    """Return a label for each variant that no other has, of at most `most` characters.

    The version where that tells them apart ("base", "v1"), else the series and version, else the
    end of the base, as in "v6.1" and "v6.2" of a repository; else they are numbered: "k1", "k2".

    Raises:
        UserError: one of them is no variant.
    """
    parsed = {name: parse(name) for name in variants}
    placebos = sum(one.series == _PLACEBO for one in parsed.values())
    for shorten in (_by_version, _by_series, _by_place):
        chosen = {
            name: _PLACEBO if one.series == _PLACEBO and placebos == 1 else shorten(one)
            for name, one in parsed.items()
        }
        unique = len(set(chosen.values())) == len(chosen)
        if unique and all(len(label) <= most for label in chosen.values()):
            return chosen
    return {name: f"k{number}" for number, name in enumerate(parsed, start=1)}


def comparison_labels(variants: Sequence[str], control: Sequence[str]) -> dict[str, str]:
    """Return the labels of a comparison's `variants`, and of its `control`, which has two or none.

    The second of `control` is the placebo, and called so.

    Raises:
        UserError: one of them is no variant.
    """
    most = MOST_OF_TWO if len(variants) <= 2 else MOST_OF_THREE
    labels = short_labels(list(dict.fromkeys([*variants, *control[:1]])), most)
    for name in control:
        if name not in labels:
            labels[name] = _PLACEBO if _PLACEBO not in labels.values() else "control"
    return labels


def _by_version(variant: Variant) -> str:
    return variant.which or "base"


def _by_series(variant: Variant) -> str:
    return f"{variant.series}@{variant.which}" if variant.series else variant.base


def _by_place(variant: Variant) -> str:
    """Return the end of the base - a commit, a folder's or a file's name - and the version."""
    scheme, colon, rest = variant.base.partition(":")
    path, _, commit = rest.rpartition("@")
    end = commit if scheme == "git" and path else rest if colon else variant.base
    end = end.rstrip("/").rpartition("/")[2]
    end = end.partition(".tar")[0] if scheme == "tarball" else end
    end = end[:_SHORT_COMMIT] if _COMMIT.fullmatch(end) else end
    return f"{end}+{variant.which}" if variant.series else end
